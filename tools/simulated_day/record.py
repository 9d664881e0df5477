"""A simulated run as data: what `ledger_rows.py` puts into a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from planners.plan.value import Plan
from tools.simulated_day.incidents import Incident


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step as the job reports it."""

    stage: str
    step: int
    of: int
    at: datetime
    phases: Mapping[str, float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run of the day; `end` is None while it goes on."""

    plan: Plan
    nodes: Mapping[str, tuple[str, ...]]
    """Host names by role."""
    start: datetime
    end: datetime | None
    steps: tuple[StepDone, ...]
    gpu: tuple[pl.DataFrame, ...]
    events: tuple[tuple[str, str, datetime, str | None], ...] = ()
    """(kind, message, when, role)."""
    left: tuple[str, ...] = ()
    """Nodes that were not taken down when the run ended."""
    sandbox: pl.DataFrame = field(default_factory=pl.DataFrame)
    notes: tuple[Incident, ...] = ()
