"""The execution reward: 1 where a program passes its tests in a sandbox, 0 where it doesn't, None without a verdict.

Rows of the data: `prompt` (text or chat messages), `tests` (Python that raises where the program is wrong), and, where
the answer continues the prompt, `entry_point` (the function that must be defined).  `clusterctl_execution` decides
whether a program has passed; `clusterctl_mixed_rewards` adds judges and predictions to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from clusterctl_chat import code_in
from clusterctl_execution import called_tests, run, whole_program

AT_ONCE = 64
TIME_LIMIT_SECONDS = 10.0
observers: list[Callable[[list[float | None] | None], None]] = []
"""Called with each batch of rewards: before it (None) and after it (the list)."""


def passes(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    tests: Sequence[Any],
    entry_point: Sequence[str | None] | None = None,
    **_: Any,
) -> list[float | None]:
    """Reward function of TRL: one number for each completion."""
    points = entry_point or [None] * len(tests)
    for tell in observers:
        tell(None)
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, max(len(tests), 1))) as pool:
        rewards = list(pool.map(verdict, prompts, completions, tests, points))
    for tell in observers:
        tell(rewards)
    return rewards


def verdict(prompt: Any, completion: Any, tests: Any, entry_point: str | None = None) -> float | None:
    """Reward of one answer; None where the sandbox failed."""
    program = whole_program(_text(prompt), code_in(_text(completion)), entry_point or "")
    listed = (tests,) if isinstance(tests, str) else tuple(tests)
    result = run(program, called_tests(listed, entry_point or ""), seconds=TIME_LIMIT_SECONDS)
    return None if result is None else float(result.all_passed)


def _text(said: Any) -> str:
    return said if isinstance(said, str) else str(said[-1]["content"])
