"""What the watcher of a run writes down: the job's marks, what has gone, the bill."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from clusterctl.run.runs import NODE
from planners.run.money import Use
from planners.run.outlook import SECONDS_PER_HOUR
from planners.run.reconcile import Action, Change, Past, resource_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Resource
    from clusterctl.run.runs import OpenRun
    from planners.run.reconcile import Instance


def use_of(ledger: Ledger, run_id: str) -> Use:
    """Hours and dollars of a run so far.  Hours between two times that it was up don't count."""
    bill = ledger.bill(run_id)
    seconds = sum((Decimal(str(line.seconds)) for line in bill.lines if line.role == NODE), Decimal(0))
    return Use(hours=seconds / SECONDS_PER_HOUR, priced_usd=bill.known_usd, unpriced=tuple(bill.unpriced))


def pasts(resources: Sequence[Resource], *, since: datetime) -> dict[str, Past]:
    """By role: its starts, those after `since`, and when it was last seen."""
    past: dict[str, Past] = {}
    for resource in resources:
        if resource.role != NODE:
            old = past.get(resource.role, Past())
            fruitless = old.fruitless + (1 if resource.intended_at > since else 0)
            past[resource.role] = Past(
                starts=old.starts + 1, fruitless=fruitless, last_seen=resource.gone_at or resource.live_at
            )
    return past


def fruitless_starts(run: OpenRun) -> dict[str, int]:
    """How often each role has been started since the run last made progress."""
    records = Records(run)
    return {role: past.fruitless for role, past in records.past().items()}


class Records:
    """The ledger's side of one run under watch."""

    def __init__(self, run: OpenRun) -> None:
        self.run, self.ledger = run, run.ledger
        row = self.ledger.get_run(run.run_id)
        wanted = self.ledger.events(run.run_id, kind="wanted")
        self.stretch = len(wanted)
        """How often the run was asked for."""
        self.wanted_at = max([row.created_at, *(event.at for event in wanted)])
        """When the run was last asked for: what went wrong before that is forgiven."""
        self._last_step_at = self.ledger.last_step_at(run.run_id) or row.created_at
        self._alone = True
        """Nobody has watched since the last beat: what happened meanwhile is known by its traces only."""

    def read_marks(self) -> None:
        """New marks into the ledger.  A mark whose clock is wrong is dated by ours."""
        run, clock = self.run, self.run.clock
        for position, mark in run.folder.marks(clock.marks_byte):
            now = clock.now()
            at = mark.at if self._last_step_at <= mark.at <= now else now
            self.ledger.record_step(run.run_id, mark.stage, mark.step, of=mark.of, at=at, metrics=mark.metrics)
            for phase, seconds in mark.phases.items():
                self.ledger.record_phase(run.run_id, mark.stage, phase, mark.step, seconds=seconds, at=at)
            clock.marks_byte, clock.progress_at, self._last_step_at = position, now, at

    def settle_gone(self, seen: Sequence[Instance]) -> None:
        """Resources that the ledger holds for live and the target does not see have gone."""
        run, ids = self.run, {instance.resource_id for instance in seen}
        for resource in self.ledger.live_resources(run.run_id):
            if resource.role == NODE or resource.resource_id in ids:
                continue
            left = Change(action=Action.STOP, role=resource.role, resource_id=resource.resource_id, reason="gone")
            run.target.stop(run.ref, left, grace_seconds=0.0)
            self.ledger.mark_gone(resource.resource_id, at=run.clock.now())
            what = "ended" if resource.state == "live" else "was never started"
            self.ledger.record_event(run.run_id, "gone", f"{resource.role} {what}", role=resource.role,
                                     event_id=f"gone:{resource.resource_id}", at=run.clock.now())  # fmt: skip

    def past(self) -> dict[str, Past]:
        """Starts of every role, and how many of them brought no step."""
        return pasts(self.ledger.resources(self.run.run_id), since=max(self.wanted_at, self._last_step_at))

    def bill(self, live: Sequence[Instance], *, held: bool, now: datetime) -> None:
        """The node is paid from the first live role to the end; between two watchers, to the last sign of life.

        held: the run wants the node although nothing lives on it just now, as between two starts of a job.
        """
        nodes = [resource for resource in self.ledger.resources(self.run.run_id) if resource.role == NODE]
        node = nodes[-1] if nodes and nodes[-1].state != "gone" else None
        if node is not None and not live and (self._alone or not held):
            self._close(node, self._last_sign() if self._alone else now)
        elif node is not None or live:
            identity = node.resource_id if node else resource_id(self.run.run_id, NODE, len(nodes) + 1)
            if node is None or node.state == "intended":
                self.ledger.intend(self.run.intent(identity, NODE), at=now)
                self.ledger.mark_live(identity, address=self.run.run_id, at=now)
            self.ledger.extend_cost(identity, until=now)
        self._alone = False

    def _close(self, node: Resource, until: datetime) -> None:
        self.ledger.extend_cost(node.resource_id, until=until)
        self.ledger.mark_gone(node.resource_id, at=max(until, node.live_at or until))

    def _last_sign(self) -> datetime:
        """When the run was last known to live: a watcher's beat or anything the job wrote, if its clock was right."""
        now, beat = self.run.clock.now(), self.run.clock.last
        signs = [moment for moment in (self.run.folder.last_sign(), beat.at if beat else None) if moment is not None]
        return max((moment for moment in signs if moment <= now), default=now)
