"""What the watcher of a run writes down: the job's marks, what has gone, the bill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clusterctl.ledger.rows import Intent, Resource
from clusterctl.runs.job_reports import MOST_USD, CostReport, UsagePrices
from clusterctl.runs.run import LINES, NODE, PROCESS, OpenRun
from clusterctl.targets.base import TAG_PREFIX
from planners.costs.tables import MACHINE
from planners.runs.reconcile import Action, Change, Instance, RoleHistory, resource_id

NOBODY = "unknown"
"""Provider of what a job reports without naming one."""


def pasts(resources: Sequence[Resource], *, since: datetime) -> dict[str, RoleHistory]:
    """By role: its starts, those after `since`, and when it was last seen."""
    past: dict[str, RoleHistory] = {}
    for resource in resources:
        if resource.kind == PROCESS:
            old = past.get(resource.role, RoleHistory())
            fruitless = old.fruitless + (1 if resource.intended_at > since else 0)
            past[resource.role] = RoleHistory(
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
        self._prices = UsagePrices(run.plan)
        self._alone = True
        """Nobody has watched since the last beat: what happened meanwhile is known by its traces only."""

    def read_marks(self) -> None:
        """New marks into the ledger.  A mark whose clock is wrong is dated by ours; one that says nothing is named."""
        run, clock = self.run, self.run.clock
        for position, mark in run.folder.read_marks(clock.marks_byte):
            now = clock.now()
            clock.marks_byte = position
            if isinstance(mark, str):
                self._event_of(position, mark)
                continue
            at = mark.at if self._last_step_at <= mark.at <= now else now
            if isinstance(mark, CostReport):
                self._charge(position, mark, at)
                continue
            self.ledger.record_step(run.run_id, mark.stage, mark.step, of=mark.of, at=at, metrics=mark.metrics)
            for phase, seconds in mark.phases.items():
                self.ledger.record_phase(run.run_id, mark.stage, phase, mark.step, seconds=seconds, at=at)
            clock.progress_at, self._last_step_at = now, at

    def _event_of(self, position: int, why: str) -> None:
        """A line that counts for nothing; of those with one reason the first."""
        where = f"{self.run.folder.marks}, line {self.run.folder.marks_line(position)}"
        self.ledger.record_event(
            self.run.run_id,
            "mark",
            f"{where} does not count, nor do more like it: {why}",
            event_id=f"mark:{why[:200]}",
            at=self.run.clock.now(),
        )

    def _charge(self, position: int, said: CostReport, at: datetime) -> None:
        """What the job says that it has used beside its machine, once."""
        run = self.run
        usd_per_unit, source = self._prices.of(said)
        if usd_per_unit is not None and usd_per_unit * said.quantity > MOST_USD:
            self._event_of(position, f"it comes to more than ${MOST_USD:,}")
            return
        what = ": ".join(filter(None, (said.role, said.name)))  # as a plan's lines call tokens
        lines = "+".join(line.id for line in run.plan.lines if line.name == f"{what}, {said.unit}")
        own = {"role": said.role, "unit": said.unit, LINES: lines}
        intent = Intent(
            resource_id="/".join(filter(None, (run.run_id, said.role, said.cost, said.name, said.unit))),
            run_id=run.run_id,
            role=said.role,
            kind=said.cost,
            provider=said.provider or NOBODY,
            price_source=source,
            tags={**run.ref.tags, **{f"{TAG_PREFIX}/{name}": value for name, value in own.items()}},
        )
        self.ledger.charge(
            intent,
            quantity=said.quantity,
            usd_per_unit=usd_per_unit,
            usd=said.usd,
            mark=position,
            since=self.wanted_at,
            at=at,
        )

    def settle_gone(self, seen: Sequence[Instance]) -> None:
        """Resources that the ledger holds for live and the target does not see have gone."""
        run, ids = self.run, {instance.resource_id for instance in seen}
        for resource in self.ledger.live_resources(run.run_id):
            if resource.kind == MACHINE or resource.resource_id in ids:
                continue
            left = Change(action=Action.STOP, role=resource.role, resource_id=resource.resource_id, reason="gone")
            run.target.stop(run.ref, left, grace_seconds=0.0)
            self.ledger.mark_gone(resource.resource_id, at=run.clock.now())
            what = "ended" if resource.state == "live" else "was never started"
            self.ledger.record_event(
                run.run_id,
                "gone",
                f"{resource.role} {what}",
                role=resource.role,
                event_id=f"gone:{resource.resource_id}",
                at=run.clock.now(),
            )

    def past(self) -> dict[str, RoleHistory]:
        """Starts of every role, and how many of them brought no step."""
        return pasts(self.ledger.resources(self.run.run_id), since=max(self.wanted_at, self._last_step_at))

    def bill(self, live: Sequence[Instance], *, held: bool, now: datetime) -> None:
        """The node is paid from the first live role to the end; between two watchers, to the last sign of life.

        held: the run wants the node although nothing lives on it just now, as between two starts of a job.
        """
        nodes = [resource for resource in self.ledger.resources(self.run.run_id) if resource.kind == MACHINE]
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
