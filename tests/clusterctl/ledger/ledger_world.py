"""What the ledger's tests put in: a run, a machine, moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from clusterctl.ledger.rows import Intent, PhaseSeconds, ReportBatch, Run, Step

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_run(run_id: str = "rlcef-1", **changes: Any) -> Run:
    given: dict[str, Any] = {"run_id": run_id, "name": "rlcef", "target": "local", "created_at": T0}
    return Run(**given | changes)


def a_machine(resource_id: str = "rlcef-1/node/1", run_id: str = "rlcef-1", **changes: Any) -> Intent:
    given: dict[str, Any] = {"resource_id": resource_id, "run_id": run_id}
    given |= {
        "role": "node",
        "kind": "machine",
        "provider": "local",
        "usd_per_hour": Decimal("3.6"),
        "price_source": "you",
    }
    return Intent(**given | changes)


def a_batch(
    number: int, *, of: int, at: datetime, rollout_seconds: float, run_id: str = "rlcef-1", **metrics: float | None
) -> ReportBatch:
    """One step of stage `rl` with its one phase."""
    step = Step(run_id=run_id, stage="rl", step=number, of=of, at=at, metrics=metrics)
    phase = PhaseSeconds(run_id=run_id, stage="rl", phase="rollout", step=number, seconds=rollout_seconds, at=at)
    return ReportBatch(steps=(step,), phases=(phase,), since=T0)
