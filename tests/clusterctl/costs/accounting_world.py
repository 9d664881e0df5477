"""A ledger with runs that have cost something, and telemetry of what their GPUs did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import Intent, Run
from planners.costs.cost_tables import GPU_USAGE
from planners.telemetry.tables import schema

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def add_run(ledger: Ledger, run_id: str = "rlcef-1", *, hours: float = 2, **changes: Any) -> Run:
    """A run that began at T0 and has ended after `hours`."""
    given: dict[str, Any] = {
        "run_id": run_id,
        "name": run_id,
        "target": "aws",
        "created_at": T0,
        "labels": {"team": "ml"},
    }
    return ledger.add_run(Run(**given | {"state": "finished", "started_at": T0, "ended_at": at(hours)} | changes))


def add_charge(
    ledger: Ledger,
    run_id: str = "rlcef-1",
    name: str = "trainer/1",
    *,
    usd_per_hour: str | None = "98.32",
    hours: float = 2,
    live: bool = False,
    begins: float = 0,
    **changes: Any,
) -> str:
    """A resource that lives from hour `begins` on, paid until `hours`.  Tags are given without their prefix."""
    tags = {"node": f"node-{name}", "gpus": "8"} | changes.pop("tags", {})
    given: dict[str, Any] = {
        "resource_id": f"{run_id}/{name}",
        "run_id": run_id,
        "role": name.split("/", maxsplit=1)[0],
        "kind": "machine",
        "provider": "aws",
        "usd_per_hour": None if usd_per_hour is None else Decimal(usd_per_hour),
        "price_source": "AWS list price",
    } | changes
    intent = Intent(tags={f"clusterctl.dev/{key}": value for key, value in tags.items() if value is not None}, **given)
    ledger.intend(intent, at=at(begins))
    ledger.mark_live(intent.resource_id, address=f"i-{intent.resource_id}", at=at(begins))
    ledger.extend_cost(intent.resource_id, until=at(hours))
    if not live:
        ledger.mark_gone(intent.resource_id, at=at(hours))
    return intent.resource_id


class Telemetry:
    """A store that holds these rows and remembers what it was asked."""

    def __init__(self, *rows: tuple[str, str, float, float, str | None, str | None, str | None]) -> None:
        """Rows: node, gpu, from hour, to hour, run, role, reason (None = it worked)."""
        self.asked: list[dict[str, Any]] = []
        self.frame = pl.DataFrame(
            [
                {
                    "node": node,
                    "gpu": gpu,
                    "at": at(end),
                    "seconds": (end - start) * 3600,
                    "run": run,
                    "role": role,
                    "reason": reason,
                }
                for node, gpu, start, end, run, role, reason in rows
            ],
            schema=GPU_USAGE,
        )

    def read(self, table: str, **asked: Any) -> pl.DataFrame:
        self.asked.append({"table": table} | asked)
        if table != "gpu":
            return pl.DataFrame(schema=schema(table))
        return self.frame.filter(pl.col("node").is_in(asked["nodes"]))

    def span(self) -> None:
        return None

    def problems(self) -> tuple[str, ...]:
        return ("2026/03/01/seg-1.parquet: not a Parquet file",)
