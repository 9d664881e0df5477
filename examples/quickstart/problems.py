"""The problems: a prompt, the arguments, a right answer, and tests that are visible (they make the reward) or hidden
(they measure)."""

from __future__ import annotations

import tomllib
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Case = tuple[tuple[Any, ...], Any]
"""Arguments of one call, and what it must return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One task: write `solve(arguments)`."""

    name: str
    prompt: str
    arguments: str
    answer: str
    """A right program; the grammar holds it.  What it returns is what the tests expect."""
    visible: tuple[Case, ...]
    hidden: tuple[Case, ...]

    @property
    def words(self) -> frozenset[str]:
        """What the policy sees: the words of the prompt, and the arguments."""
        return frozenset({*self.prompt.lower().replace(",", "").split(), f"({self.arguments})"})


def _problem(row: dict[str, Any], calls: dict[str, dict[str, list[list[Any]]]]) -> Problem:
    """A problem as `problems.toml` writes it; `calls`: its tables of arguments."""
    arguments = row["arguments"]
    answer, space = f"def solve({arguments}):\n{row['answer']}", dict[str, Any]()
    exec(answer, space)  # noqa: S102 - a file beside this one

    def cases(calls: list[list[Any]]) -> tuple[Case, ...]:
        return tuple((tuple(call), space["solve"](*deepcopy(call))) for call in calls)

    return Problem(
        name=row["name"],
        prompt=row["prompt"],
        arguments=arguments,
        answer=answer,
        visible=cases(row.get("visible", calls["visible"][arguments])),
        hidden=cases(calls["hidden"][arguments]),
    )


_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
PROBLEMS: tuple[Problem, ...] = tuple(_problem(row, _FILE) for row in _FILE["problem"])
