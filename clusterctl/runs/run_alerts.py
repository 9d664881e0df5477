"""Warnings of a run: its steps from the ledger and the texts that its job wrote, through `planners.alerts`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.foreign_files import opened
from clusterctl.ledger.rows import PhaseSeconds, Step

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from planners.alerts.check import Alert
    from planners.alerts.measures import Sample

SAMPLES = "samples.jsonl"
"""In a run's folder, by its job: a line {"step": 3, "text": "...", "problem": "..."} for some texts of a step."""
HEAD_BYTES, TAIL_BYTES = 2 << 20, 6 << 20
"""Of the file, what is read: the first texts and the newest."""
MOST_CHARACTERS = 20_000
"""Of a text."""


def run_alerts(ledger: Ledger, run_id: str, folder: Path) -> tuple[Alert, ...]:
    """Warnings of one run, the worst first; `folder` is the run's."""
    return alerts_of(ledger.steps(run_id), ledger.phases(run_id, "sandbox"), folder)  # no other phase is looked at


def alerts_of(steps: Sequence[Step], phases: Sequence[PhaseSeconds], folder: Path) -> tuple[Alert, ...]:
    """The same of rows that are at hand."""
    from planners.alerts.check import Report, alerts

    seconds: dict[tuple[str, int], dict[str, float]] = {}
    for phase in phases:
        seconds.setdefault((phase.stage, phase.step), {})[phase.phase] = phase.seconds
    reports = [Report(s.stage, s.step, s.of, s.metrics, seconds.get((s.stage, s.step), {})) for s in steps]
    return alerts(reports, list(read_samples(folder / SAMPLES)))


def read_samples(file: Path) -> Iterator[Sample]:
    """The texts of a job; a line that is none is left out, and so is a file that isn't there or can't be read."""
    from planners.alerts.measures import Sample

    try:
        with opened(file) as descriptor:
            if descriptor is None:
                return
            stream = os.fdopen(os.dup(descriptor), "rb")
        with stream:
            content = stream.read(HEAD_BYTES)
            rest = file.stat().st_size - len(content)
            if rest > TAIL_BYTES:
                content = content[: content.rfind(b"\n") + 1]
                stream.seek(-TAIL_BYTES, 2)
                stream.readline()
            content += stream.read(TAIL_BYTES)
    except OSError:
        return
    for line in content.splitlines():
        try:
            row = json.loads(line)
            text, problem = row["text"], row.get("problem")
            yield Sample(int(row["step"]), str(text)[:MOST_CHARACTERS], "" if problem is None else str(problem))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue


def alert_text(alert: Alert) -> str:
    """`reward hacking since step 41: 38% of what passes the visible tests fails the hidden ones`"""
    return f"{alert.kind} since step {alert.since_step}: {alert.sentence}"
