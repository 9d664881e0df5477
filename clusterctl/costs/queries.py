"""Who used the money and for what: an account of the ledger's charges, split by what the ledger knows of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import polars as pl
from sqlalchemy import select

from clusterctl.costs.load import explained, in_plan, read_charges, read_use
from clusterctl.costs.unmeasured import why_unmeasured
from clusterctl.errors import SpecError
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.ledger_tables import PLANS, RUNS
from clusterctl.store.source import TelemetrySource
from planners.costs.allocate import allocate
from planners.costs.cost_tables import BILLED, ESTIMATE, GPU_USAGE
from planners.costs.spend import Spend, by, spend, within


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who used the money and for what.  `planners.costs.spend.by(account.parts, "team", "use")` groups it."""

    parts: pl.DataFrame
    """PARTS of `planners.costs.cost_tables`."""
    problems: tuple[str, ...]
    """What of the telemetry could not be read: these seconds are unmeasured."""
    unmeasured: tuple[str, ...] = ()
    """Why nobody measured the GPUs of some machines."""

    @cached_property
    def spend(self) -> Spend:
        return spend(self.parts)

    @property
    def status(self) -> str:
        """billed, partly billed, or an estimate as long as no invoice has been imported."""
        found = set(self.parts["status"].unique())
        return BILLED if found == {BILLED} else f"partly {BILLED}" if BILLED in found else ESTIMATE


def account(
    ledger: Ledger,
    source: TelemetrySource | None,
    *,
    run: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Account:
    """The money of one run (its id) or all, between two moments or ever.  Without a source GPUs are unmeasured."""
    charges = within(read_charges(ledger, run=run, since=since, until=until), since, until)
    if source is None:
        return Account(parts=allocate(charges, pl.DataFrame(schema=GPU_USAGE)), problems=())
    use = read_use(source, charges)
    why = why_unmeasured(source, charges, use)
    return Account(parts=allocate(charges, use), problems=source.problems(), unmeasured=why)


COLUMNS = {
    "use": ("use", "reason"),
    "reason": ("use", "reason"),
    "run": ("run",),
    "role": ("role",),
    "team": ("team",),
    "provider": ("provider",),
    "resource": ("resource",),
    "model": ("model",),
    "node": ("node",),
    "namespace": ("namespace",),
    "pod": ("pod",),
}
"""Key that people write → columns of the answer."""
LABEL = "label:"


def split(
    ledger: Ledger, parts: pl.DataFrame, keys: Sequence[str], *, labels: Mapping[str, Mapping[str, str]] | None = None
) -> tuple[list[str], pl.DataFrame]:
    """The columns that `keys` mean, and the parts grouped by them (`planners.costs.spend.by`).

    keys: those of COLUMNS, or `label:NAME` of the runs' labels.  labels: of pods (`namespace/pod`), no runs of
    the ledger.  Raises SpecError.
    """
    pod = pl.col("run").str.extract_groups(r"^(?<namespace>[^/]+)/(?<pod>[^/]+)$")
    parts = parts.with_columns(pod.struct.field("namespace", "pod"))
    columns: list[str] = []
    for key in keys:
        if key.startswith(LABEL) and len(key) > len(LABEL):
            name = key.removeprefix(LABEL)
            of_pods = {pod: found.get(name) for pod, found in (labels or {}).items()}
            parts = _with(parts, key, of_pods | _labels(ledger, name))
        elif key not in COLUMNS:
            raise SpecError(
                f"--by: `{key[:40]}` is not something to split by", hint=f"one of {', '.join(COLUMNS)}, label:NAME"
            )
        elif key == "model":
            parts = _with(parts, key, _models(ledger))
        columns += [name for name in COLUMNS.get(key, (key,)) if name not in columns]
    return columns, by(parts, *columns)


def _with(parts: pl.DataFrame, name: str, of_run: dict[str, str | None]) -> pl.DataFrame:
    values = pl.DataFrame(list(of_run.items()), schema={"run": pl.String, name: pl.String}, orient="row")
    return parts.join(values, on="run", how="left")


def _labels(ledger: Ledger, name: str) -> dict[str, str | None]:
    """A label's value by run."""
    rows = ledger.transact(lambda connection: connection.execute(select(RUNS.c.run_id, RUNS.c.labels)).all())
    return {run: None if labels.get(name) is None else str(labels[name]) for run, labels in rows}


def _models(ledger: Ledger) -> dict[str, str | None]:
    """The models that a run's plan names, by run: `a + b`."""
    query = select(RUNS.c.run_id, in_plan(ledger, "spec", "stages")).join_from(
        RUNS, PLANS, PLANS.c.plan_id == RUNS.c.plan_id
    )
    rows = ledger.transact(lambda connection: connection.execute(query).all())
    named: dict[str | None, str | None] = {}
    with explained(ledger):
        for stages in {text for _, text in rows}:
            refs = [stage.get("model") for stage in json.loads(stages or "[]")]
            names = dict.fromkeys(ref if isinstance(ref, str) else ref.get("name", "unnamed") for ref in refs if ref)
            named[stages] = " + ".join(names) or None
    return {run: named[text] for run, text in rows}
