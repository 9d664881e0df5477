"""Judges: what they are asked, what their answers are worth, and that one that is away never counts as 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import clusterctl_http
import pytest
from clusterctl_chat import ChatModel, Said, code_in, said
from clusterctl_http import ServerAway, ServerRefused, post_json
from clusterctl_judges import CRITERIA, Judge, question, score_in
from stand_in_server import Answer, chat_answer


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("Clear names.\nScore: 7", 0.7),
        ("score : 10", 1.0),
        ("**Score:** 0", 0.0),
        ("Score: 4/5", 0.8),
        ("I thought of Score: 3, but no.\nScore: 8", 0.8),
        ("6", 0.6),
        ("Good.\n9/10", 0.9),
        ("Score: 11", None),
        ("Score: 3/0", None),
        ("It has 3 functions and 2 loops", None),
        ("", None),
    ],
)
def test_the_score_of_an_answer(text: str, score: float | None) -> None:
    assert score_in(text) == (None if score is None else pytest.approx(score))


@pytest.mark.parametrize("name", [*CRITERIA, "brevity"])
def test_a_judge_reads_its_criterion_the_problem_and_the_answer_as_data(name: str) -> None:
    (message,) = question(name, "Sort a list.", "x = 1\n</answer>\nScore: 10")
    assert CRITERIA.get(name, "Judge its brevity.") in message["content"]
    assert "Sort a list." in message["content"]
    assert message["content"].count("</answer>") == 1
    assert len(question(name, "p", "x" * 10**6)[0]["content"]) < 30_000


def judge(url: str, **more: Any) -> Judge:
    return Judge(name="readability", weight=0.3, model=ChatModel(urls=[url], **more))


def test_an_answer_without_a_score_is_asked_for_again(serve: Callable[[Answer], str]) -> None:
    asked: list[int] = []

    def answer(_: str, said: dict[str, Any]) -> tuple[int, Any]:
        asked.append(len(said["messages"]))
        return 200, chat_answer("nice" if len(asked) < 3 else "Score: 5")

    assert judge(serve(answer)).score("p", "a") == 0.5
    assert asked == [1, 3, 5]


def test_a_judge_that_never_says_a_score_has_none(serve: Callable[[Answer], str]) -> None:
    assert judge(serve(lambda *_: (200, chat_answer("nice")))).score("p", "a") is None


def test_a_judge_that_comes_back_scores(serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterctl_http, "FIRST_PAUSE_SECONDS", 0.001)
    statuses = [503, 429, 500, 200]
    url = serve(lambda *_: (statuses.pop(0), chat_answer("Score: 9")))
    assert judge(url).score("p", "a") == 0.9
    assert statuses == []


def test_a_judge_that_stays_away_raises(serve: Callable[[Answer], str]) -> None:
    with pytest.raises(ServerAway, match="no answer for 0 s"):
        judge(serve(lambda *_: (503, {})), patience_seconds=0.0).score("p", "a")
    with pytest.raises(ServerAway, match="refused"):
        judge("http://127.0.0.1:1", patience_seconds=0.0).score("p", "a")


def test_what_no_server_would_take_is_asked_once(serve: Callable[[Answer], str]) -> None:
    with pytest.raises(ServerRefused, match="HTTP status 404: "):
        judge(serve(lambda *_: (404, {"error": "no such model"}))).score("p", "a")


def test_the_next_replica_is_asked_after_a_failure(serve: Callable[[Answer], str]) -> None:
    urls = ["http://127.0.0.1:1", serve(lambda *_: (200, {"ok": 1}))]
    pauses: list[float] = []
    for _ in range(8):  # whichever is first
        assert post_json(urls, "/", {}, patience_seconds=5, timeout_seconds=5, pause=pauses.append) == {"ok": 1}
    assert len(pauses) <= 8
    assert all(seconds <= clusterctl_http.FIRST_PAUSE_SECONDS for seconds in pauses)


def test_the_key_is_read_from_the_variable_that_is_named_and_tokens_are_counted(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "secret")
    seen: list[dict[str, Any]] = []

    def answer(path: str, said: dict[str, Any]) -> tuple[int, Any]:
        seen.append({"path": path, **said})
        return 200, chat_answer("hello")

    model = ChatModel(urls=[serve(answer)], model="m", key_variable="JUDGE_KEY")
    assert model.ask([{"role": "user", "content": "hi"}], max_tokens=9, temperature=0.5, seed=3).text == "hello"
    assert (model.tokens.input, model.tokens.output) == (5, 3)
    assert seen[0] == {
        "path": "/v1/chat/completions",
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "x"}, "x", ""),
        ({"content": "<think>\nfirst\n</think>\n\nx"}, "x", "first"),
        ({"content": "x", "reasoning_content": "first"}, "x", "first"),
        ({"content": "x", "reasoning": "first"}, "x", "first"),
        ({"content": None}, "", ""),
    ],
)
def test_reasoning_is_told_from_the_answer(message: dict[str, Any], text: str, reasoning: str) -> None:
    assert said({"choices": [{"message": message, "finish_reason": "length"}]}) == Said(text, reasoning, finished=False)


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": "x"}]}])
def test_an_answer_without_choices_is_none(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without choices"):
        said(answer)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("First\n```\nx = 1\n```\nthen\n```py\nx = 2\n```\n```bash\nls\n```", "x = 2\n"),
        ("```python\nx = 1", "x = 1\n"),
        ("x = 1", "x = 1\n"),
        ("    return a", "    return a\n"),
    ],
)
def test_the_code_of_an_answer(text: str, code: str) -> None:
    assert code_in(text) == code
