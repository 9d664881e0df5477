"""Rewards: the mean by weight, predictions in place of executions, and what TRL, verl and OpenRLHF get."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clusterctl_mixed_rewards as rewards
import pytest
from clusterctl_critic import OutcomeCritic, agreement
from clusterctl_execution import Ran
from clusterctl_http import ServerAway, ServerRefused, post_json
from clusterctl_mixed_rewards import Reward, Sample
from stand_in_server import Answer, chat_answer

RIGHT, HALF, WRONG, BROKEN = "right", "half", "wrong", "broken"
SHARES = {RIGHT: 2, HALF: 1, WRONG: 0}


@dataclass
class StubSandbox:
    """Passes what says so; None for what breaks it."""

    ran: list[str] = field(default_factory=list)

    def run(self, program: str, tests: Sequence[str]) -> Ran | None:
        self.ran.append(program)
        if program.startswith(BROKEN):
            return None
        passed = SHARES[program.split(maxsplit=1)[0]]
        return Ran(passed=passed, tests=len(tests), status="ran", stdout="", stderr="")


@dataclass(frozen=True)
class StubJudge:
    name: str
    weight: float
    says: float | None
    only_passing: bool = False
    asked: list[str] = field(default_factory=list)

    def score(self, problem: str, answer: str) -> float | None:
        self.asked.append(answer.strip())
        return self.says


def sample(answer: str, problem: str = "p") -> Sample:
    return Sample(problem=problem, answer=answer, tests=("t1", "t2"))


def score(*answers: str, judges: tuple[Any, ...] = (), critic: Any = None) -> tuple[list[Any], dict[str, float]]:
    parts: Any = {"execute": StubSandbox().run, "judges": judges, "critic": critic}
    return Reward(**parts).score([sample(answer) for answer in answers])


def test_without_judges_it_is_the_share_of_tests_passed() -> None:
    scored, metrics = score(RIGHT, HALF, WRONG)
    assert [one.reward for one in scored] == [1.0, 0.5, 0.0]
    assert metrics["pass_at_1"] == pytest.approx(1 / 3)
    assert metrics["execution"] == 0.5
    assert metrics["predicted_share"] == 0.0


def test_judges_count_by_weight() -> None:
    scored, metrics = score(RIGHT, judges=(StubJudge("readability", 0.3, 0.5), StubJudge("safety", 0.7, 1.0)))
    assert scored[0].reward == pytest.approx((1.0 + 0.3 * 0.5 + 0.7 * 1.0) / 2.0)
    assert metrics["judge_readability"] == 0.5
    assert metrics["judge_readability_unknown_share"] == 0.0


def test_a_judge_of_weight_0_is_not_asked() -> None:
    judge = StubJudge("readability", 0.0, 0.0)
    assert score(RIGHT, judges=(judge,))[0][0].reward == 1.0
    assert judge.asked == []


def test_a_score_that_is_unknown_is_left_out_of_the_mean_and_counted() -> None:
    judges = (StubJudge("readability", 5.0, None), StubJudge("safety", 1.0, 0.5))
    scored, metrics = score(RIGHT, judges=judges)
    assert scored[0].reward == pytest.approx(1.5 / 2.0)
    assert metrics["judge_readability_unknown_share"] == 1.0
    assert "judge_readability" not in metrics


def test_a_judge_that_is_away_ends_the_step() -> None:
    class Away(StubJudge):
        def score(self, problem: str, answer: str) -> float | None:
            raise ServerAway("no answer")

    with pytest.raises(ServerAway):
        score(RIGHT, judges=(Away("readability", 0.1, None),))


def test_a_judge_of_passing_answers_is_asked_about_no_other() -> None:
    judge = StubJudge("readability", 1.0, 0.6, only_passing=True)
    scored, _ = score(RIGHT, HALF, WRONG, judges=(judge,))
    assert judge.asked == [RIGHT]
    assert [one.reward for one in scored] == pytest.approx([0.8, 0.25, 0.0])


def test_a_sample_whose_sandbox_failed_has_no_reward() -> None:
    judge = StubJudge("readability", 1.0, 1.0)
    scored, metrics = score(BROKEN, RIGHT, judges=(judge,))
    assert [one.reward for one in scored] == [None, 1.0]
    assert metrics["execution_unknown_share"] == 0.5
    assert metrics["pass_at_1"] == 1.0
    assert judge.asked == [RIGHT]


class StubCritic(OutcomeCritic):
    def chances(self, samples: Sequence[tuple[str, str]]) -> list[float]:
        return [0.9 if answer.startswith((RIGHT, HALF)) else 0.2 for _, answer in samples]


def answers(count: int) -> list[str]:
    return [f"{(RIGHT, HALF, WRONG)[n % 3]} {n}" for n in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_a_share_of_the_executions_is_predicted_the_same_each_time(share: float) -> None:
    critic = StubCritic(urls=(), replaced_share=share)
    first, metrics = score(*answers(600), critic=critic)
    again, _ = score(*reversed(answers(600)), critic=critic)
    assert [one.predicted for one in first] == [one.predicted for one in reversed(again)]
    assert metrics["predicted_share"] == pytest.approx(share, abs=0.06)
    assert {one.execution for one in first if one.predicted} <= {0.9, 0.2}


def test_only_what_is_not_predicted_is_run_and_the_rest_tells_how_often_both_agree() -> None:
    sandbox, critic = StubSandbox(), StubCritic(urls=(), replaced_share=0.5)
    parts: Any = {"execute": sandbox.run, "critic": critic}
    scored, metrics = Reward(**parts).score([sample(answer) for answer in answers(300)])
    ran = [one for one in scored if not one.predicted]
    assert len(sandbox.ran) == len(ran) == metrics["critic_compared"]
    wrongly = sum(one.execution == 0.5 for one in ran)  # it says "passes", the sandbox: half of the tests
    assert metrics["critic_agreement_share"] == pytest.approx(1 - wrongly / len(ran))
    assert metrics["critic_false_pass_share"] == pytest.approx(wrongly / len(ran))


def test_nothing_compared_is_no_agreement() -> None:
    assert agreement([]) == {"critic_compared": 0.0, "critic_agreed": 0.0}


def test_the_critic_is_asked_as_vllm_classifies(serve: Callable[[Answer], str]) -> None:
    def answer(path: str, said: dict[str, Any]) -> tuple[int, Any]:
        assert path == "/classify"
        rows = [{"index": n, "probs": [len(text) / 100]} for n, text in enumerate(said["input"])]
        return 200, {"data": list(reversed(rows))}

    critic = OutcomeCritic(urls=[serve(answer)], replaced_share=1.0)
    assert critic.chances([("p", "a"), ("p", "longer")]) == [0.05, 0.1]
    assert critic.chances([]) == []


@pytest.mark.parametrize("said", [{}, {"data": []}, {"data": [{"index": 0, "probs": []}]}, {"data": [{"index": 0}]}])
def test_no_prediction_is_an_error(serve: Callable[[Answer], str], said: dict[str, Any]) -> None:
    critic = OutcomeCritic(urls=[serve(lambda *_: (200, said))], replaced_share=1.0)
    with pytest.raises(ValueError, match=r"predictions|outcome critic"):
        critic.chances([("p", "a")])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Answer], str]) -> Iterator[None]:
    """`reward.json`, with a sandbox and a judge that answer."""

    def sandbox(_: str, said: dict[str, Any]) -> tuple[int, Any]:
        import base64

        word = base64.b64decode(said["files"]["word"]).decode()
        if "broken" in said["code"]:
            return 200, {"status": "SandboxError", "run_result": None}
        passed = "1" if "return a + b" in said["code"] else "0"
        return 200, {"status": "Success", "run_result": {"status": "Finished", "stdout": f"\n{word}{passed}\n"}}

    monkeypatch.setenv("CLUSTERCTL_FOLDER", str(tmp_path))
    monkeypatch.setenv("CLUSTERCTL_SANDBOXES", serve(sandbox))
    monkeypatch.setenv("JUDGE_URLS", serve(lambda *_: (200, chat_answer("Score: 5"))))
    judge = {"name": "readability", "weight": 1.0, "urls": "JUDGE_URLS"}
    (tmp_path / "reward.json").write_text(json.dumps({"judges": [judge]}), encoding="utf-8")
    rewards.from_settings.cache_clear()
    yield
    rewards.from_settings.cache_clear()


ADD = "```python\ndef add(a, b):\n    return a + b\n```"


def test_trl_gets_a_reward_for_each_and_the_metrics(settings: None) -> None:
    logged: dict[str, float] = {}
    got = rewards.reward(
        prompts=[[{"role": "user", "content": "Add."}]] * 3,
        completions=[[{"role": "assistant", "content": text}] for text in (ADD, "x = 1", "broken")],
        tests=[["assert add(1, 2) == 3"]] * 3,
        log_metric=logged.__setitem__,
        trainer_state=None,
    )
    assert got == [0.75, 0.25, None]
    assert logged["pass_at_1"] == 0.5
    assert logged["execution_unknown_share"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("tests", ["assert add(1, 2) == 3", '["assert add(1, 2) == 3"]', ["assert add(1, 2) == 3"]])
def test_verl_gets_a_score_and_the_same_metrics_of_each_sample(settings: None, tests: Any) -> None:
    right = rewards.compute_score(data_source="d", solution_str=ADD, ground_truth=tests, extra_info={"problem": "Add."})
    wrong = rewards.compute_score(data_source="d", solution_str="x = 1", ground_truth=tests)
    assert (right["score"], wrong["score"]) == (0.75, 0.25)
    assert right.keys() == wrong.keys()
    with pytest.raises(ServerAway, match="no sandbox has a verdict on any of 1 programs"):
        rewards.compute_score(data_source="d", solution_str="broken", ground_truth=tests)


def test_openrlhf_gets_a_number_for_one_query(settings: None) -> None:
    got = rewards.reward_func(["Add." + ADD], ["Add."], ["assert add(1, 2) == 3"])
    assert got["rewards"] == got["scores"] == 0.75
    assert got["extra_logs"] == {
        "execution": 1.0,
        "execution_unknown_share": 0.0,
        "predicted_share": 0.0,
        "judge_readability_unknown_share": 0.0,
    }
    with pytest.raises(ServerAway, match="no sandbox has a verdict on any of 1 programs"):
        rewards.reward_func(["broken"], [""], ["x"])


def test_skyrl_gets_the_reward_and_the_metrics_of_a_row(settings: None) -> None:
    row = {"prompt": [{"role": "user", "content": "Add."}], "tests": "assert add(1, 2) == 3"}
    got, metrics = rewards.score_row(row, ADD)
    assert (got, metrics["pass_at_1"], metrics["judge_readability"]) == (0.75, 1.0, 0.5)
    assert rewards.score_row(row, "broken") == (0.0, {"sandbox_error_share": 1.0})


def test_without_a_server_it_says_which_variable_is_empty(settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_URLS", "")
    with pytest.raises(SystemExit, match="JUDGE_URLS names no server"):
        rewards.reward_func(["x"], [""], ["x"])


def test_a_served_critic_answers_as_vllm_does() -> None:
    import http.server
    import threading
    import urllib.request

    from clusterctl_serve_critic import handler

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), handler(lambda texts: [len(text) / 100 for text in texts])
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        critic = OutcomeCritic(urls=[url], replaced_share=0.5)
        assert critic.chances([("p", "a"), ("p", "longer")]) == [0.05, 0.1]
        with urllib.request.urlopen(f"{url}/health") as answer:
            assert answer.status == 200
        with pytest.raises(ServerRefused, match="HTTP status 400"):
            post_json([url], "/classify", {"text": "x"}, patience_seconds=0, timeout_seconds=5)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
