"""The cluster of a run's own: made before its supervisor can live, billed while it stands, removed by `down`.

What of it is paid is written down before anything is made, and billed from when the program says that it was made until
it says that it is gone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from clusterctl.errors import ClusterctlError
from clusterctl.fleet.stack import FleetEvent
from clusterctl.json_text import json_text
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.runs.ending import close_unseen, end_run
from clusterctl.runs.standing import standing_of
from clusterctl.runs.waiting import WAITING
from clusterctl.targets.base import TAG_PREFIX, Unreachable
from clusterctl.ui.formats import elapsed
from planners.runs.limits import MACHINE, STANDING

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Resource
    from clusterctl.runs.run import OpenRun
    from clusterctl.targets.base import OwnCluster, Standing, Target
    from planners.plan.value import Plan

PLAN_TAG = f"{TAG_PREFIX}/plan-id"
WHAT = f"{TAG_PREFIX}/what"
AWAY_SECONDS, AGAIN_SECONDS = 180.0, 5.0
"""For a cluster that `down` can't reach to come back, so that jobs can save their work; and between two tries."""
Tell = Callable[[FleetEvent], None]


def cluster_lines(ledger: Ledger, target: Target, plan: Plan, run_id: str, *, in_full: bool) -> list[str]:
    """What making the run's cluster would make, and its dollars; in_full: each resource.  Nothing is done."""
    if (maker := target.cluster_maker) is None:
        return []
    preview = maker.preview(run_id, plan, earlier_plans(ledger, run_id, plan))
    return [*preview.lines, *(preview.steps if in_full else ())]


def teller(*, as_json: bool) -> Tell:
    """Prints what becomes of each resource."""

    def tell(event: FleetEvent) -> None:
        if as_json:
            typer.echo(json_text({"cluster": event.kind, **asdict(event), "kind": "cluster"}))
        elif event.kind != "started":
            what = " ".join(filter(None, (event.kind, event.op, event.type, event.name)))
            took = f", {elapsed(event.seconds)}" if event.seconds else ""
            typer.echo(f"  {what}{took}{f': {event.message}' if event.message else ''}", err=True)

    return tell


def make_cluster(run: OpenRun, tell: Tell) -> None:
    """Make what the run's supervisor needs to live, unless it is there.  Raises ClusterctlError; then again goes on."""
    cluster, home = run.target.cluster_maker, run.target.home
    if cluster is None or (cluster.is_made(run.ref) and home.find(run.run_id)):
        return
    row, began = run.ledger.get_run(run.run_id), run.clock.now()
    if row.state == "wanted":
        run.ledger.set_state(run.run_id, "provisioning", at=began)
    run.event(WAITING, "its cluster is being made", f"waiting:cluster:{began.isoformat()}")
    _make(run, cluster, began, tell)
    now = run.clock.now()
    took = elapsed((now - began).total_seconds())
    text = f"its cluster is there, after {took}, without a node; its supervisor is started"
    run.event(WAITING, text, f"waiting:cluster:{now.isoformat()}")


def change_cluster(run: OpenRun, tell: Tell) -> None:
    """Give the cluster of a run, if it is made, what another plan needs; pools that an earlier plan had stay, empty and
    for nothing, until the run takes no node of them any more.  run: by the new plan.  Raises ClusterctlError.
    """
    cluster = run.target.cluster_maker
    if cluster is None or not cluster.is_made(run.ref):
        return
    began = run.clock.now()
    _make(run, cluster, began, tell)
    took = elapsed((run.clock.now() - began).total_seconds())
    run.event("cluster", f"its cluster is changed, after {took}", f"cluster:{began.isoformat()}")


def earlier_plans(ledger: Ledger, run_id: str, plan: Plan) -> tuple[Plan, ...]:
    """Other plans by which the run has had, or has, machines."""
    found = {r.tags.get(PLAN_TAG): None for r in ledger.resources(run_id) if r.kind == MACHINE}
    plans = []
    for plan_id in found:
        if plan_id and plan_id != plan.id:
            with contextlib.suppress(ClusterctlError):  # another machine's ledger may lack it
                plans.append(stored_plan(ledger, plan_id, name=f"an earlier plan of {run_id}"))
    return tuple(plans)


def _make(run: OpenRun, cluster: OwnCluster, began: datetime, tell: Tell) -> None:
    """What is paid is written down first, and billed from when it is made."""
    earlier = earlier_plans(run.ledger, run.run_id, run.plan)
    for standing in cluster.preview(run.run_id, run.plan, earlier).standing:
        _intend(run, standing, began)
    cluster.make(run.ref, earlier, _Books(run, tell))
    for resource in standing_of(run.ledger, run.run_id):
        if resource.state == "intended":  # made by a command that was killed before it could say so
            run.ledger.mark_live(resource.resource_id, address=resource.tags[WHAT], at=resource.intended_at)


def remove_cluster(run: OpenRun, tell: Tell) -> None:
    """Remove the cluster of a run that has ended, and close its bill.  Raises ClusterctlError; then again goes on."""
    cluster = run.target.cluster_maker
    if cluster is None or not (cluster.is_made(run.ref) or standing_of(run.ledger, run.run_id)):
        return
    cluster.remove(run.ref, _Books(run, tell))
    now = run.clock.now()
    for resource in standing_of(run.ledger, run.run_id):
        _end(run.ledger, resource, now)
    run.event("cluster", "its cluster is removed", f"cluster:{now.isoformat()}")


def end_with_cluster(run: OpenRun, tell: Tell, *, go_on: Callable[[], bool]) -> bool:
    """Ends everything of the run as `end_run` does.  A cluster of its own that can't be reached for AWAY_SECONDS is
    removed with all that is in it.  Whether the run has ended.
    """
    deadline, said = time.monotonic() + AWAY_SECONDS, ""
    while run.target.cluster_maker is not None:
        try:
            return end_run(run, go_on=go_on)
        except Unreachable as error:
            if time.monotonic() > deadline:
                break
            if error.message != said:
                said = error.message
                tell(FleetEvent(kind="note", message=f"{said}; after {elapsed(AWAY_SECONDS)} its cluster is removed"))
            if not go_on():
                return False
            time.sleep(AGAIN_SECONDS)
    else:
        return end_run(run, go_on=go_on)
    remove_cluster(run, tell)
    close_unseen(run, "ended with its cluster, which could not be reached: it is billed to that moment")
    return True


def _intend(run: OpenRun, standing: Standing, at: datetime) -> None:
    """One that stands already stays the same resource."""
    mine = [r for r in run.ledger.resources(run.run_id) if r.kind == STANDING and r.slot == standing.slot]
    if not mine or mine[-1].state == "gone":
        run.ledger.intend(run.standing_intent(standing, len(mine) + 1), at=at)


class _Books:
    """What becomes of the cluster, as the bill has it: what was made is paid from then on, what is gone no longer."""

    def __init__(self, run: OpenRun, tell: Tell) -> None:
        self._run, self._tell = run, tell
        self._there: set[str] = set()
        """What the state holds, as far as it has been told."""

    def __call__(self, event: FleetEvent) -> None:
        """Something has happened."""
        what = f"{event.type} {event.name}"
        if event.kind in {"there", "counted"}:
            self._heard_late(event, what)
            return
        if event.kind == "done":
            self._done(event.op, what)
        if event.kind == "waiting":
            text = f"{event.op} of {what} takes {elapsed(event.seconds)} so far"
            self._run.event(WAITING, text, f"waiting:{what}:{event.seconds:.0f}:{self._run.run_id}")
        self._tell(event)

    def _done(self, op: str, what: str) -> None:
        ledger, now = self._run.ledger, self._run.clock.now()
        for resource in standing_of(ledger, self._run.run_id):
            if resource.tags[WHAT] == what and op == "create" and resource.state == "intended":
                ledger.mark_live(resource.resource_id, address=what, at=now)
            if resource.tags[WHAT] == what and op == "delete":
                if resource.state == "intended":  # made by a command that was killed before it could say so
                    ledger.mark_live(resource.resource_id, address=what, at=resource.intended_at)
                _end(ledger, resource, now)

    def _heard_late(self, event: FleetEvent, what: str) -> None:
        """What a command that was killed has made or removed, and could not say."""
        ledger, at = self._run.ledger, _moment(event.at, self._run.clock.now())
        if event.kind == "there":
            self._there.add(what)
        if at is None:
            return
        for resource in standing_of(ledger, self._run.run_id):
            mine, moment = resource.tags[WHAT], max(at, resource.live_at or resource.intended_at)
            if event.kind == "there" and mine == what and resource.state == "intended":
                ledger.mark_live(resource.resource_id, address=what, at=moment)
            if event.kind == "counted" and mine not in self._there and resource.state == "live":
                _end(ledger, resource, moment)
        if event.kind == "counted":
            self._there.clear()


def _moment(text: str, now: datetime) -> datetime | None:
    """When it was, and not later than now; None where nobody says."""
    try:
        return min(datetime.fromisoformat(text), now)
    except (ValueError, TypeError):
        return None


def _end(ledger: Ledger, resource: Resource, at: datetime) -> None:
    ledger.extend_cost(resource.resource_id, until=at)
    ledger.settle_cost(resource.resource_id, until=at)
    ledger.mark_gone(resource.resource_id, at=at)
