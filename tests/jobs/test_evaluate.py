"""Benchmarks: pass@k, resuming, and what an answer's program is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusterctl_agents import summary
from clusterctl_chat import ChatModel, read_settings, urls_of
from clusterctl_evaluate import Settings, pass_at_k, unbiased, write_samples
from clusterctl_reports import whole_rows
from stand_in_server import Answer, chat_answer


@pytest.mark.parametrize(
    ("samples", "correct", "k", "chance"),
    [(1, 1, 1, 1.0), (1, 0, 1, 0.0), (10, 3, 1, 0.3), (5, 2, 2, 0.7), (10, 9, 2, 1.0), (200, 0, 100, 0.0)],
)
def test_pass_at_k_is_unbiased(samples: int, correct: int, k: int, chance: float) -> None:
    assert unbiased(samples, correct, k) == pytest.approx(chance)


def test_a_sample_without_a_verdict_is_counted_and_is_no_failure() -> None:
    assert pass_at_k({"a": [True, None], "b": [False, False], "c": [None, None]}) == {
        "pass_at_1": 0.5,
        "without_verdict": 3.0,
    }
    assert pass_at_k({"a": [True] * 10})["pass_at_10"] == 1.0
    assert "pass_at_10" not in pass_at_k({"a": [True] * 9})


def test_what_was_answered_is_not_asked_again(tmp_path: Path, serve: Callable[[Answer], str]) -> None:
    asked: list[dict[str, Any]] = []

    def answer(_: str, said: dict[str, Any]) -> tuple[int, Any]:
        asked.append(said)
        return 200, chat_answer("```python\n    return a + b\n```")

    model = ChatModel(urls=[serve(answer)])
    problems = {"t/1": {"prompt": "def add(a, b):\n", "entry_point": "add"}}
    settings = Settings(benchmark="humaneval", output=str(tmp_path), samples=2)
    first = write_samples(settings, model, problems)
    assert first[0]["solution"] == "def add(a, b):\n    return a + b\n"
    assert {said["temperature"] for said in asked} == {0.8}
    with (tmp_path / "samples.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"task_id": "t/1", "numb')
    more = write_samples(Settings(benchmark="humaneval", output=str(tmp_path), samples=3), model, problems)
    assert [row["number"] for row in more] == [0, 1, 2]
    assert len(asked) == 3
    assert len((tmp_path / "samples.jsonl").read_text("utf-8").splitlines()) == 3


def test_settings_name_folders_by_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_CHECKPOINTS", "/run/checkpoints")
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"settings": {"output": "$CLUSTERCTL_CHECKPOINTS/x", "n": 1}, "model": 2}), "utf-8")
    assert read_settings(file) == {"settings": {"output": "/run/checkpoints/x", "n": 1}, "model": 2}


def test_addresses_of_providers_end_in_v1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URLS", "https://api.example/v1/,http://10.0.0.1:80")
    assert urls_of("URLS") == ("https://api.example", "http://10.0.0.1:80")


def attempt(task: str, number: int, *, resolved: bool) -> dict[str, Any]:
    return {
        "instance_id": task,
        "attempt": number,
        "exit_status": "Submitted",
        "resolved": resolved,
        "patch": "",
        "api_calls": 3,
        "usd": 0.5,
        "input_tokens": 100,
        "output_tokens": 10,
    }


def test_attempts_are_summed_up_by_attempt_and_by_task() -> None:
    rows = [attempt("a", 0, resolved=True), attempt("a", 1, resolved=False), attempt("b", 0, resolved=False)]
    told = summary(rows)
    assert told["resolved_share"] == pytest.approx(1 / 3)
    assert told["resolved_tasks_share"] == 0.5
    assert (told["usd"], told["input_tokens"], told["turns"]) == (1.5, 300.0, 3.0)


@pytest.mark.parametrize("torn", ['{"instance', '{"instance_id": "a"}'])  # the second only lacks its end of line
def test_a_torn_attempt_is_cut_off(tmp_path: Path, torn: str) -> None:
    file = tmp_path / "attempts.jsonl"
    whole = json.dumps(attempt("a", 0, resolved=True)) + "\n"
    file.write_text(whole + torn, encoding="utf-8")
    assert len(whole_rows(file)) == 1
    assert file.read_text("utf-8") == whole
