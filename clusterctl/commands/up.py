"""`clusterctl up`: shows the money, asks, starts a run here or goes on with it, and follows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, Interrupted, SpecError
from clusterctl.interrupt import Interrupt
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import run_lock
from clusterctl.ledger.rows import Run
from clusterctl.paths import user_data_dir
from clusterctl.plan_service import Planner, open_source
from clusterctl.runs.adopting import known_run
from clusterctl.runs.follow import follow
from clusterctl.runs.own_cluster import change_cluster, cluster_lines, make_cluster, teller
from clusterctl.runs.preflight import Allowed, check_money
from clusterctl.runs.render import preview_text
from clusterctl.runs.run import OpenRun, open_run
from clusterctl.runs.run_forecast import planned_forecast, run_forecast, seconds_left
from clusterctl.runs.starting import (
    Launch,
    UpAction,
    check_limits_left,
    decide,
    decide_with_place,
    held_plan,
    limits_of,
    prepare,
)
from clusterctl.runs.watching import ensure_watched
from clusterctl.targets import target_of
from clusterctl.telemetry.settings import installed
from clusterctl.ui.terminal import ask
from planners.plan.value import Plan
from planners.runs.forecast import Forecast

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.targets.base import Target

LOCK_SECONDS = 10.0
"""Of two at once the second waits so long for the first to have written its intent, and then follows the same run."""


def up(
    what: Annotated[str, Argument(metavar="SPEC", help="Run spec (YAML), plan.json, or a run to resume.")],
    *,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show what would be done and what it costs, without doing it.")
    ] = False,
    detach: Annotated[bool, Option("--detach", "-d", help="Return as soon as the run has started.")] = False,
    again: Annotated[bool, Option("--again", help="Run a finished plan once more.")] = False,
    limit_usd: Annotated[
        float | None, Option(help="Limit in dollars instead of the spec's; also changes that of a live run.")
    ] = None,
    limit_hours: Annotated[
        float | None, Option(help="Limit in hours instead of the spec's; also changes that of a live run.")
    ] = None,
    allow_unknown_price: Annotated[bool, Option("--allow-unknown-price", help="Start without a known price.")] = False,
    allow_over_limit: Annotated[
        bool, Option("--allow-over-limit", help="Start although the plan's P90 exceeds a limit.")
    ] = False,
    allow_old_prices: Annotated[
        bool, Option("--allow-old-prices", help="Start although too many of the dollars rest on old prices.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON lines: plan, events, steps, bill.")] = False,
) -> None:
    """Start a run, or resume it where it stopped.

    The same plan again follows its live run, and resumes its stopped or failed one; a spec that was edited changes its
    live run, once it has shown what that costs. Ctrl-C stops following: the run
    keeps running, and `clusterctl down` ends it. A second Ctrl-C stops at once.
    """
    store, now = user_data_dir(), datetime.now(tz=UTC)
    allowed = Allowed(unknown_price=allow_unknown_price, over_limit=allow_over_limit, old_prices=allow_old_prices)
    usd, hours = _amount("--limit-usd", limit_usd), _amount("--limit-hours", limit_hours)
    with open_ledger() as ledger:
        plan, only = _meant(ledger, store, what, now)
        target = target_of(plan, store)
        target.check(plan, held=held_plan(ledger, plan))
        launch = decide_with_place(ledger, store, plan, only=only, again=again)
        limits = limits_of(plan, launch, usd=usd, hours=hours)
        ahead = planned_forecast(plan, limits, now)
        if launch.run is not None:
            before = launch.change.before if launch.change else None
            ahead = run_forecast(ledger, launch.run, plan, now, limits=limits, goes_on=True, before=before)
        asked = () if launch.action is UpAction.FOLLOW else _asked(ledger, target, plan, launch, ahead, in_full=dry_run)
        _show(plan, launch, ahead, asked, as_json=as_json)
        if launch.action is not UpAction.FOLLOW:
            check_limits_left(ahead.spent, launch, limits)
            if note := check_money(plan, allowed, ahead, now=now):
                typer.echo(f"note: {note}", err=True)
        if dry_run:
            return
        if launch.action is not UpAction.FOLLOW and not ask(f"{launch.action} it?", yes=yes):
            raise ClusterctlError("not changed" if launch.change else "not started")
        if launch.action is not UpAction.FOLLOW:
            target.home.make_ready()
        with Interrupt() as interrupt:
            with run_lock(ledger, plan.name, "up", wait_seconds=LOCK_SECONDS):
                launch = decide(ledger, store, plan, only=only, again=again and launch.action is UpAction.START)
                seen = ledger.events(launch.run_id)
                _change_cluster(ledger, store, plan, launch, interrupt, as_json=as_json)
                prepare(ledger, store, plan, launch, limits)
                opened = open_run(ledger, store, launch.run_id)
                _make_cluster(opened, interrupt, as_json=as_json)
                ensure_watched(opened, wait=True)
            if not installed():
                typer.echo("not measured: `pip install 'clusterctl[telemetry]'` adds telemetry", err=True)
            if detach:
                hint = f"`clusterctl status {launch.run_id}` shows it, `clusterctl down {launch.run_id}` ends it"
                typer.echo(f"{launch.run_id} is under way; {hint}", err=as_json)
                return
            last = ledger.last_step(launch.run_id)
            follow(
                open_run(ledger, store, launch.run_id),
                interrupt,
                as_json=as_json,
                since_seq=seen[-1].seq if seen else 0,
                since=last.at if last else datetime.min.replace(tzinfo=UTC),
            )


def _asked(
    ledger: Ledger, target: Target, plan: Plan, launch: Launch, ahead: Forecast, *, in_full: bool
) -> Sequence[str]:
    """What the place will be asked for, and what must be made before it can be."""
    asked = target.preview(plan, seconds=seconds_left(ahead))
    return [*asked, *cluster_lines(ledger, target, plan, launch.run_id, in_full=in_full)]


def _change_cluster(
    ledger: Ledger, store: Path, plan: Plan, launch: Launch, interrupt: Interrupt, *, as_json: bool
) -> None:
    """Pools that the new plan needs are there before its supervisor is told of it.  Raises Interrupted."""
    if launch.change is None:
        return
    ledger.keep_plan(plan)
    change_cluster(open_run(ledger, store, launch.run_id).by_plan(plan), teller(as_json=as_json))
    if interrupt.asked:
        raise Interrupted(f"{launch.run_id} goes on by its old plan", hint="the same command again changes it")


def _make_cluster(run: OpenRun, interrupt: Interrupt, *, as_json: bool) -> None:
    """Raises Interrupted where that was asked for meanwhile: nothing runs on it yet."""
    make_cluster(run, teller(as_json=as_json))
    if interrupt.asked and run.target.cluster_maker is not None:
        hint = f"`clusterctl up {run.run_id}` goes on; `clusterctl down {run.run_id}` removes it"
        raise Interrupted(f"the cluster of {run.run_id} is made, and nothing runs on it", hint=hint)


def _amount(option: str, value: float | None) -> Decimal | None:
    if value is not None and not 0 < value < float("inf"):
        raise SpecError(f"{option}: must be more than 0, not {value:g}")
    return None if value is None else Decimal(str(value))


def _meant(ledger: Ledger, store: Path, what: str, now: datetime) -> tuple[Plan, Run | None]:
    """The plan of a file, or the run with its plan.  Raises SpecError where it is neither."""
    if what == "-" or Path(what).exists():
        return Planner(now=now).plan(open_source(what)), None
    try:
        run = known_run(ledger, store, what)
    except SpecError as error:
        hint = f"{error.hint}; `clusterctl init quickstart --out run.yaml` writes a spec"
        raise SpecError(f"`{what}` is neither a file nor a run", hint=hint) from error
    return open_run(ledger, store, run.run_id).plan, run


def _show(plan: Plan, launch: Launch, ahead: Forecast, asked: Sequence[str], *, as_json: bool) -> None:
    """What will be done, and the money."""
    if not as_json:
        typer.echo(preview_text(plan, launch, ahead, asked))
        return
    limits, spent, rate = ahead.limits, ahead.spent, ahead.rate
    about = {"action": launch.action.value, "run": launch.run_id, "plan": plan.id, "name": plan.name}
    planned: dict[str, Any] = plan.model_dump(mode="json", include={"usd", "hours", "at_least", "pools"})
    money = {
        "limit_usd": limits.usd,
        "limit_hours": limits.hours,
        "usd_per_hour": rate.usd_per_hour,
        "known_usd_per_hour": rate.known_usd_per_hour,
        "spent_usd": spent.usd,
        "known_spent_usd": spent.known_usd,
    }
    amounts = {name: None if amount is None else str(amount) for name, amount in money.items()}
    typer.echo(json_text({"kind": "plan", **about, **planned, **amounts, "step": ahead.step, "asks": list(asked)}))
