"""`clusterctl up`: shows the money, asks, starts a run here, and follows it."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from clusterctl.console import terminal
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import run_lock
from clusterctl.ledger.rows import LIVE
from clusterctl.paths import user_data_dir
from clusterctl.planning import Planner, open_source
from clusterctl.run.end import planned_against_actual
from clusterctl.run.runs import open_run, target_of
from clusterctl.run.start import Allowed, check_money, ensure_supervisor, prepare
from clusterctl.run.view import bill_text, event_text, step_text

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from planners.plan.value import Plan

FOLLOW_SECONDS = 0.2


def up(
    spec: Annotated[str, typer.Argument(help="Run spec (YAML) or plan.json.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and what it costs; do nothing.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return as soon as the run is under way.")] = False,
    allow_unknown_price: Annotated[
        bool, typer.Option("--allow-unknown-price", help="Start without a known price.")
    ] = False,
    allow_over_limit: Annotated[
        bool, typer.Option("--allow-over-limit", help="Start although the plan's P90 breaks a limit.")
    ] = False,
    allow_old_prices: Annotated[
        bool, typer.Option("--allow-old-prices", help="Start on prices over half a year old.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Start a run, or resume it: the same plan again goes on where it stopped.

    Ctrl-C stops following; the run goes on, and `clusterctl down` ends it.
    """
    plan = Planner(now=datetime.now(tz=UTC)).plan(open_source(spec))
    store = user_data_dir()
    target_of(plan, store)
    check_money(
        plan, Allowed(unknown_price=allow_unknown_price, over_limit=allow_over_limit, old_prices=allow_old_prices)
    )
    typer.echo(_preview(plan), err=as_json)
    if dry_run:
        return
    _confirm(yes=yes)
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_ledger() as ledger:
        with run_lock(ledger, plan.name, "up", wait_seconds=5.0):
            run_id = prepare(ledger, store, plan)
            ensure_supervisor(ledger, store, run_id)
        typer.echo(f"run {run_id}; `clusterctl status` shows it, `clusterctl down {run_id}` ends it", err=as_json)
        if not detach:
            _follow(ledger, run_id, as_json=as_json)


def _preview(plan: Plan) -> str:
    """What will be started, and the money."""
    pools = "\n".join(f"  + {p.role}: {p.nodes} × {p.instance_type} ({p.cloud})" for p in plan.pools)
    unknown = "at least " if plan.at_least else ""
    limits = plan.spec.get("limits", {})
    bound = ", ".join(f"{name} {value:g}" for name, value in limits.items()) or "none stated"
    return (
        f"{plan.name}: plan {plan.id}\n{pools}\n"
        f"  {unknown}${plan.usd.p50:,.4f} (${plan.usd.p10:,.4f} to ${plan.usd.p90:,.4f}) in "
        f"{plan.hours.p50 * 60:,.1f} minutes, ${plan.usd_per_hour:,.4f} an hour\n"
        f"  limits, enforced while it runs: {bound}"
    )


def _confirm(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpecError("nobody is there to ask", hint="pass --yes to start without asking")
    if not typer.confirm("start it?", default=False):
        raise ClusterctlError("not started")


def _follow(ledger: Ledger, run_id: str, *, as_json: bool) -> None:
    """Prints events and steps until the run has ended, then planned against actual.  Ctrl-C leaves the run alone."""
    seen, step = 0, 0
    watched = terminal(sys.stderr).interactive
    try:
        while True:
            run = ledger.get_run(run_id)
            for event in ledger.events(run_id, since_seq=seen):
                seen = event.seq
                row = {"at": event.at.isoformat(), "kind": event.kind, "role": event.role, "message": event.message}
                typer.echo(json.dumps(row) if as_json else event_text(event))
            for done in ledger.steps(run_id)[step:]:
                step += 1
                typer.echo(
                    json.dumps({"step": done.step, "of": done.of, **done.metrics}) if as_json else step_text(done)
                )
            if run.state not in LIVE:
                break
            time.sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        typer.echo(
            f"\n{run_id} goes on; `clusterctl up` follows it again, `clusterctl down {run_id}` ends it", err=True
        )
        raise
    opened = open_run(ledger, user_data_dir(), run_id)
    why = f": {run.note}" if run.note else ""
    typer.echo(f"\n{run_id} has {run.state}{why}\n{bill_text(planned_against_actual(opened))}", err=as_json)
    if watched:
        typer.echo(f"logs and results: {opened.folder.path}", err=True)
    if run.state == "failed":
        raise ClusterctlError(f"{run_id} failed: {run.note}", hint=f"`clusterctl logs {run_id}` shows why")
