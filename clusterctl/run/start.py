"""`up`: check, show the money, ask, write the intent, start the supervisor.  Safe to repeat after any crash."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, Infeasible, PriceError, StateError
from clusterctl.files.plan_file import write_plan
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.run.folder import RunFolder
from clusterctl.run.runs import LOCAL, open_run, run_id_of, target_of
from clusterctl.targets.local import SUPERVISOR, LocalTarget, log_file
from clusterctl.targets.processes import spawn

if TYPE_CHECKING:
    from pathlib import Path

    from clusterctl.ledger import Ledger
    from planners.plan.value import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the person has accepted in words."""

    unknown_price: bool = False
    over_limit: bool = False
    old_prices: bool = False


def check_money(plan: Plan, allowed: Allowed) -> None:
    """Refuses a plan whose prices are unknown or old, or whose P90 breaks its own limits, unless it was accepted.

    Raises PriceError or Infeasible, naming the option that accepts it.
    """
    if plan.at_least and not allowed.unknown_price:
        names = ", ".join(line.name for line in plan.lines if line.usd is None)
        raise PriceError(
            f"`{plan.name}` has no known price for {names}: nobody can say what it will cost",
            hint="state the price (usd_per_hour under fleet.machines, or prices.rates), or pass --allow-unknown-price",
        )
    if plan.prices.age_days is not None and plan.prices.age_days > MAX_PRICE_AGE_DAYS and not allowed.old_prices:
        raise PriceError(
            f"the prices of `{plan.name}` are {plan.prices.age_days} days old",
            hint="`clusterctl prices refresh` and plan again, or pass --allow-old-prices",
        )
    limits = plan.spec.get("limits", {})
    over = [
        f"P90 is {value:,.4g} {unit} against limits.{name} of {limits[name]:,.4g}"
        for name, value, unit in (("usd", plan.usd.p90, "dollars"), ("hours", plan.hours.p90, "hours"))
        if name in limits and value > limits[name]
    ]
    if over and not allowed.over_limit:
        raise Infeasible(
            f"`{plan.name}` may break its limits: {'; '.join(over)}",
            hint="raise the limit, pick a cheaper fleet (`plan --pick N`), or pass --allow-over-limit: "
            "the run is stopped at the limit whatever the plan said",
        )


MAX_PRICE_AGE_DAYS = 180
LEDGER_VARIABLE = "CLUSTERCTL_LEDGER"


def prepare(ledger: Ledger, store: Path, plan: Plan) -> str:
    """Writes what is wanted: folder, plan and run; returns the run's id.  The same plan again resumes its live run.

    Raises StateError when another plan runs under this name.
    """
    target_of(plan, store)
    for run in ledger.runs(states=LIVE):
        if run.name == plan.name and run.plan_id != plan.id:
            raise StateError(
                f"a run named `{plan.name}` is live with another plan ({run.run_id})",
                hint=f"`clusterctl down {run.run_id}` first, or give the spec another name",
            )
    again = 1
    known = {run.run_id: run for run in ledger.runs()}
    while (run_id := run_id_of(plan, again=again)) in known and known[run_id].state not in LIVE:
        again += 1
    folder = RunFolder(store / "runs" / run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    if not folder.plan.exists():
        write_plan(folder.plan, plan)
    if run_id not in known:
        ledger.put_plan(plan.id, schema=plan.schema_name, content=plan.model_dump_json(exclude={"created_at"}))
        limits = plan.spec.get("limits", {})
        ledger.add_run(
            Run(
                run_id=run_id, name=plan.name, target=LOCAL, plan_id=plan.id, state="wanted", desired="up",
                created_at=datetime.now(tz=UTC), limit_usd=_decimal(limits.get("usd")),
                limit_hours=_decimal(limits.get("hours")), usd_per_hour=_decimal(plan.usd_per_hour),
                labels=plan.spec.get("labels", {}),
            )
        )  # fmt: skip
        ledger.record_event(run_id, "wanted", f"up of plan {plan.id}", event_id=f"wanted:{run_id}")
    return run_id


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def ensure_supervisor(ledger: Ledger, store: Path, run_id: str) -> None:
    """Starts the run's supervisor, detached, unless one is live.  Two at once is harmless: the second leaves."""
    try:
        with run_lock(ledger, run_id, SUPERVISOR):
            pass
    except LockHeldError:
        return
    run = open_run(ledger, store, run_id)
    target = run.target
    if not isinstance(target, LocalTarget):
        raise ClusterctlError(f"{run_id} does not run on this machine")
    environment = target.environment(run_id, SUPERVISOR, f"{run_id}/{SUPERVISOR}")
    if LEDGER_VARIABLE in os.environ:
        environment[LEDGER_VARIABLE] = os.environ[LEDGER_VARIABLE]  # never an argument: it may hold a password
    spawn(
        [sys.executable, "-P", "-m", "clusterctl.run.supervisor", str(store), run_id],
        folder=store, environment=environment, log=log_file(run.folder.path, SUPERVISOR),
    )  # fmt: skip
