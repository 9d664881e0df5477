"""What a loop says: the metrics and the report of a step, its line in the log, the result of the run."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from clusterctl.jobs.judge import Judgement, reward
from clusterctl.specfile.write import write_atomic
from clusterctl.telemetry import phase
from examples.quickstart.problems import Problem

STAGE = "rlcef"
REPORTS = "reports.jsonl"
"""In the run's folder: a line per step."""
ENDS = 5
"""Steps at the start and at the end over which the result takes means."""


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def append_line(file: Path, line: str) -> None:
    """Append a line and wait until it is on the disk."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


class Phases:
    """Seconds of the phases of a step, one after the other; each is announced to whoever measures this machine."""

    def __init__(self, first: str) -> None:
        self._seconds: dict[str, float] = {}
        self._name, self._since = "", 0.0
        self.enter(first)

    def enter(self, name: str) -> None:
        """The current phase ends and `name` begins."""
        self.end()
        self._name = name
        phase(name)

    def end(self) -> dict[str, float]:
        """The current phase ends; seconds by phase."""
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = now - self._since
        self._name, self._since = "", now
        return self._seconds


def report_of(step: int, steps: int, phases: dict[str, float], metrics: dict[str, float]) -> dict[str, Any]:
    """What a step leaves for its supervisor; `phases` in seconds."""
    at = datetime.now(tz=UTC).isoformat()
    return {"at": at, "stage": STAGE, "step": step, "of": steps, "phases": phases, "metrics": metrics}


def measure(verdicts: Sequence[Judgement | None]) -> dict[str, float]:
    """Means over the samples that have a verdict.  pass@1 is the share of them that pass every visible test, or every
    test of both kinds.  The others, whose sandbox failed, are counted in `sandbox_error_share`."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    visible = float(np.mean([verdict.passes_visible for verdict in judged]))
    hidden = float(np.mean([verdict.passes_hidden for verdict in judged]))
    shares = {
        f"{status}_share": float(np.mean([verdict.visible.status == status for verdict in judged]))
        for status in ("not_compiled", "error", "time_limit")
    }
    return {
        "reward": float(np.mean([reward(verdict) for verdict in judged])),
        "pass_at_1_visible": visible,
        "pass_at_1_hidden": hidden,
        "visible_hidden_gap": visible - hidden,
        **shares,
        "sandbox_error_share": 1.0 - len(judged) / len(verdicts),
    }


def show_step(
    run_dir: Path, report: dict[str, Any], problems: Sequence[Problem], programs: Sequence[str], *, every: int
) -> None:
    """Of a step that is reported: the first of `every` programs for each problem, and a line on stdout."""
    texts = zip(problems[::every], programs[::every], strict=True)
    rows = [{"step": report["step"], "problem": problem.name, "text": program} for problem, program in texts]
    append_line(run_dir / "samples.jsonl", "\n".join(json.dumps(row) for row in rows))
    m, seconds = report["metrics"], report["phases"]
    say(
        f"step {report['step']:>3}/{report['of']}  reward {m['reward']:5.2f}  pass@1 {m['pass_at_1_visible']:4.0%} "
        f"hidden {m['pass_at_1_hidden']:4.0%}  not compiled {m['not_compiled_share']:3.0%} "
        f"error {m['error_share']:3.0%} time limit {m['time_limit_share']:3.0%}  "
        f"entropy {m['entropy_nats']:.2f}  {sum(seconds.values()):.1f} s"
        + (f"  left out, sandbox failed: {m['sandbox_error_share']:.0%}" if m["sandbox_error_share"] else "")
    )


def write_result(
    run_dir: Path, settings: dict[str, Any], final: Iterable[tuple[Problem, str, Judgement | None]]
) -> None:
    """Means of the first and last steps, seconds by phase, and `final`: what the policy now writes for each problem."""
    lines = (run_dir / REPORTS).read_text("utf-8", "replace").splitlines()
    reports = [json.loads(line) for line in lines if '"phases"' in line]  # others report costs

    def means(part: list[dict[str, Any]], key: str) -> dict[str, float]:
        return {name: float(np.mean([report[key][name] for report in part])) for name in reports[0][key]}

    first, last = means(reports[:ENDS], "metrics"), means(reports[-ENDS:], "metrics")
    result = {
        "stage": STAGE,
        "steps": len(reports),
        "settings": settings,
        "first": first,
        "last": last,
        "seconds_per_step": means(reports, "phases"),
        "problems": [
            {
                "name": problem.name,
                "prompt": problem.prompt,
                "program": program,
                "visible_share": verdict and verdict.visible.passed_share,
                "hidden_share": verdict and verdict.hidden and verdict.hidden.passed_share,
            }
            for problem, program, verdict in final
        ],
    }
    write_atomic(run_dir / "result.json", json.dumps(result, indent=1) + "\n")
    say(f"done: reward {first['reward']:.2f} in the first steps, {last['reward']:.2f} in the last")
