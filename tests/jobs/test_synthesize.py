"""The synthetic chain: filters in order, duplicates, resuming, and what `trl sft` gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import clusterctl_reports
import pytest
from clusterctl_duplicates import Duplicates, shingles
from clusterctl_execution import Ran
from clusterctl_http import ServerAway
from clusterctl_synthesize import FILTERS, Chain, Settings, accepted, append_lines, read_log, run_chain, yields
from clusterctl_triples import Triple, Writer, asserts_in, parses, seeds_in, training_row, without_bodies

SOLUTION = "def add(a, b):\n    return a + b\n"
TRIPLE = Triple(
    index=0, seed="s", problem="Add.", solution=SOLUTION, tests=("assert add(1, 2) == 3", "assert add(0, 0) == 0")
)


@dataclass
class Scripted:
    """A writer whose problem says what becomes of it."""

    asked: int = 0
    dies_at: int | None = None

    @property
    def model(self) -> Any:
        return type("Model", (), {"tokens": type("Tokens", (), {"output": self.asked * 10})})

    def problem(self, text: str, seed: int) -> str:
        self.asked += 1
        if self.dies_at is not None and seed // 1000 >= self.dies_at:
            raise ServerAway("no answer")
        return f"{text} of number {seed // 1000}, a problem with words of its own {seed * 7919}"

    def solution(self, problem: str, seed: int) -> tuple[str, str]:
        late = problem.startswith("late") and seed % 1000 < 3
        return ("def f(" if problem.startswith("broken") or late else SOLUTION + f"# {problem}\n"), "Sums are sums."

    def tests(self, problem: str, solution: str, seed: int) -> tuple[str, ...]:
        if problem.startswith("same"):
            return ("assert add(1, 2) is not None or True", "assert add(1, 2) == None or True")
        return TRIPLE.tests


def execute(program: str, tests: Sequence[str]) -> Ran | None:
    """As the sandbox would, by what the problem says."""
    if "wrong" in program:
        passed = 0
    elif "pass\n" in program:  # no body
        passed = len(tests) if "True" in tests[0] else 0
    else:
        passed = len(tests)
    return Ran(passed=passed, tests=len(tests), status="ran", stdout="", stderr="")


def chain(folder: Path, *, student: Any = None, teacher: Any = None, **settings: Any) -> Chain:
    known = {"seeds": "", "output": str(folder), "candidates": 6, "batch": 2, "tries": 3, "attempts": 2}
    said: Any = Settings(**known | settings)
    return Chain(settings=said, teacher=teacher or Scripted(), student=student, execute=execute)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_each_filter_stops_what_it_should_and_says_its_yield(tmp_path: Path) -> None:
    seeds = ["good", "broken", "wrong", "same", "late", "good"]
    shares = run_chain(chain(tmp_path), seeds)
    stopped = [row["stopped_by"] for row in lines(tmp_path / "candidates.jsonl")]
    assert stopped == ["", "parses", "tests_pass", "fails_without", "", ""]
    assert shares == {
        "yield_parses": 5 / 6,
        "yield_tests_pass": 4 / 5,
        "yield_fails_without": 3 / 4,
        "yield_not_trivial": 1.0,
        "yield_not_duplicate": 1.0,
    }
    assert [row["tries"] for row in lines(tmp_path / "candidates.jsonl")] == [1, 3, 3, 3, 3, 1]


@pytest.mark.parametrize(("most", "stopped"), [(1.0, ""), (0.9, "not_trivial")])
def test_what_the_student_always_solves_is_trivial(tmp_path: Path, most: float, stopped: str) -> None:
    run_chain(chain(tmp_path, student=Scripted(), candidates=1, most_solved_share=most), ["good"])
    (row,) = lines(tmp_path / "candidates.jsonl")
    assert (row["stopped_by"], row["solved_share"]) == (stopped, 1.0)


def test_a_near_duplicate_is_left_out_also_of_what_is_to_be_kept_away(tmp_path: Path) -> None:
    class Same(Scripted):
        def problem(self, text: str, seed: int) -> str:
            return "Write a function that adds two numbers and returns the sum of both of them, as a number."

    run_chain(chain(tmp_path / "a", teacher=Same(), candidates=3), ["good"])
    assert [row["stopped_by"] for row in lines(tmp_path / "a" / "candidates.jsonl")] == ["", *["not_duplicate"] * 2]
    text = (tmp_path / "a" / "candidates.jsonl").read_text(encoding="utf-8").splitlines()[0]
    known = json.loads(text)
    run_chain(
        chain(tmp_path / "b", teacher=Same(), candidates=1), ["good"], [known["problem"] + "\n" + known["solution"]]
    )
    assert [row["stopped_by"] for row in lines(tmp_path / "b" / "candidates.jsonl")] == ["not_duplicate"]


def test_it_goes_on_where_it_was_also_after_a_torn_line(tmp_path: Path) -> None:
    whole = chain(tmp_path / "whole")
    run_chain(whole, ["good", "wrong"])
    with pytest.raises(ServerAway):
        run_chain(chain(tmp_path / "cut", teacher=Scripted(dies_at=4)), ["good", "wrong"])
    log = tmp_path / "cut" / "candidates.jsonl"
    assert len(read_log(log)) == 4
    with log.open("a", encoding="utf-8") as stream:
        stream.write('{"index": 4, "se')
    teacher = Scripted()
    run_chain(chain(tmp_path / "cut", teacher=teacher), ["good", "wrong"])
    assert teacher.asked == 2
    for name in ("candidates.jsonl", "sft.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_enough_is_enough(tmp_path: Path) -> None:
    run_chain(chain(tmp_path, candidates=100, items=3), ["good", "wrong"])
    assert len(lines(tmp_path / "candidates.jsonl")) == 6
    assert len(lines(tmp_path / "sft.jsonl")) == 3


def test_each_batch_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_REPORTS", str(tmp_path / "reports.jsonl"))
    run_chain(chain(tmp_path), ["good", "wrong"])
    reports = lines(tmp_path / "reports.jsonl")
    assert [(row["step"], row["of"]) for row in reports] == [(1, 3), (2, 3), (3, 3)]
    assert reports[-1]["metrics"]["accepted"] == 3
    assert reports[-1]["metrics"]["yield_tests_pass"] == 0.5
    assert reports[0]["phases"]["generate"] >= 0
    assert clusterctl_reports is not None


def test_a_log_of_another_order_is_read_up_to_there(tmp_path: Path) -> None:
    log = tmp_path / "candidates.jsonl"
    rows = [{**TRIPLE.__dict__, "index": index} for index in (0, 1, 3)]
    append_lines(log, rows)
    assert [triple.index for triple in read_log(log)] == [0, 1]
    assert len(log.read_bytes().splitlines()) == 2
    assert read_log(tmp_path / "none.jsonl") == []


def test_yields_name_only_filters_to_which_something_came() -> None:
    assert yields([]) == {}
    stopped = [TRIPLE.stopped("parses")] * 2
    assert yields(stopped) == {"yield_parses": 0.0}
    assert accepted([*stopped, TRIPLE]) == 1
    assert {name.removeprefix("yield_") for name in yields([TRIPLE])} == set(FILTERS)


def test_the_tests_of_an_answer() -> None:
    text = (
        "Here:\n```python\nassert add(1, 2) == 3\n  - assert add(0, 0) == 0\nassert add(1, 2) == 3\nassert True\n"
        "assert add(1,\nprint(add(1, 2))\n```"
    )
    assert asserts_in(text) == ("assert add(1, 2) == 3", "assert add(0, 0) == 0")


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"problem": ""}, False),
        ({"solution": "def add("}, False),
        ({"solution": "x = 1"}, False),
        ({"tests": TRIPLE.tests[:1]}, False),
        ({"tests": ("assert sub(1, 2) == 3", "assert sub(2, 2) == 0")}, False),
    ],
)
def test_what_parses(changes: dict[str, Any], passes: bool) -> None:
    assert parses(replace(TRIPLE, **changes)) == passes


def test_a_solution_without_its_body_returns_none() -> None:
    space: dict[str, Any] = {}
    exec(without_bodies("LIMIT = 3\n\ndef add(a, b):\n    def inner():\n        return 1\n    return a + b\n"), space)
    assert space["add"](1, 2) is None
    assert space["LIMIT"] == 3


def test_a_training_row_is_what_trl_sft_takes() -> None:
    row = training_row(replace(TRIPLE, reasoning="Sums are sums.", solved_share=0.5))
    user, assistant = row["messages"]
    assert user == {"role": "user", "content": "Add."}
    assert assistant["content"] == f"<think>\nSums are sums.\n</think>\n\n```python\n{SOLUTION.rstrip()}\n```"
    assert "<think>" not in training_row(TRIPLE)["messages"][1]["content"]


def test_seeds_are_lines_of_text_or_json() -> None:
    assert seeds_in(["a sum", "", '{"text": "a product", "n": 1}']) == ["a sum", "a product"]


def test_a_teacher_shows_examples_as_turns_and_reads_reasoning() -> None:
    asked: list[list[dict[str, str]]] = []

    class Model:
        def ask(self, messages: list[dict[str, str]], **_: Any) -> Any:
            from clusterctl_chat import Said

            asked.append(messages)
            return Said(text=f"```python\n{SOLUTION}```", reasoning="thoughts", finished=True)

    model: Any = Model()
    assert Writer(model=model).solution("Add.", 1) == (SOLUTION, "thoughts")
    assert [message["role"] for message in asked[0]] == ["user", "assistant"] * 2 + ["user"]
    assert "Add." in asked[0][-1]["content"]
    assert Writer(model=model, examples=False).problem("sums", 1)
    assert len(asked[1]) == 1


def test_duplicates_are_told_by_their_words() -> None:
    seen = Duplicates(["the quick brown fox jumps over the lazy dog again and again"])
    assert not seen.is_new("The quick brown fox jumps over the lazy dog, again and again")
    assert seen.is_new("an entirely different text about sorting a list of numbers")
    assert not seen.is_new("an entirely different text about sorting a list of numbers")
    assert seen.is_new("")
    assert shingles("one two") == {"one two"}
