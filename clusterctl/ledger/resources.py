"""Resources and what they cost."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from clusterctl.errors import StateError
from clusterctl.ledger.ledger_tables import COSTS, RESOURCES, RUNS
from clusterctl.ledger.rows import (
    LIVE,
    Bill,
    Cost,
    Intent,
    ReportBatch,
    ReportedCost,
    Resource,
    ResourceCost,
    ResourceState,
)
from clusterctl.ledger.store import Store, insert_once, upsert, values_of
from planners.runs.limits import owed

if TYPE_CHECKING:
    from sqlalchemy import Connection, Update

MICROSECONDS_PER_HOUR = Decimal(3_600_000_000)
REPORTS_TIME = timedelta(hours=1)
"""So much of what a job reports is one interval: few rows, and a window of time still finds what was used in it."""
THERE: tuple[ResourceState, ...] = ("intended", "live")
"""States of what may exist: live, or intended by somebody who may have died in the act."""
FIXED = ("run_id", "role", "kind", "provider")
"""What a resource is: the same in every repetition of the act that makes it."""


class ResourceBook(Store):
    """What was made, and its bill.  The intent is written before the act, so that nothing runs that nobody knows of."""

    def intend(self, intent: Intent, *, at: datetime | None = None) -> Resource:
        """The resource as recorded, which the caller may now make; a known id changes nothing.

        The answer may be `live` or `gone` already.  Raises StateError when the id names something else.
        """
        row = _resource(intent, at or self.now())
        self.write(lambda connection: insert_once(connection, RESOURCES, values_of(row)))
        stored = self.get_resource(intent.resource_id)
        if any(getattr(stored, name) != getattr(row, name) for name in FIXED):
            raise StateError(f"{intent.resource_id} is recorded as a {stored.kind} of {stored.run_id} already")
        return stored

    def mark_live(self, resource_id: str, *, address: str, at: datetime | None = None) -> Resource:
        """It was made, and is found at `address`.  Raises StateError if it was made before, at another address."""
        query = update(RESOURCES).where(RESOURCES.c.state == "intended")
        stored = self._change(resource_id, query.values(state="live", address=address, live_at=at or self.now()))
        if stored.address != address:
            raise StateError(
                f"{resource_id} is at {address}, and was recorded as {stored.state} at {stored.address or 'none'}",
                hint="`clusterctl sweep` finds what should not be there",
            )
        return stored

    def ask_stop(self, resource_id: str, *, at: datetime) -> Resource:
        """It was asked to end at this moment; the first one counts."""
        query = update(RESOURCES).where(RESOURCES.c.stop_asked_at.is_(None))
        return self._change(resource_id, query.values(stop_asked_at=at))

    def mark_gone(self, resource_id: str, *, at: datetime | None = None, cause: str = "") -> Resource:
        """It is no longer there, or was never made.  Call `extend_cost` as well where it is billed."""
        query = update(RESOURCES).where(RESOURCES.c.state != "gone")
        return self._change(resource_id, query.values(state="gone", gone_at=at or self.now(), cause=cause))

    def set_price(self, resource_id: str, usd_per_hour: Decimal | None, *, source: str) -> Resource:
        """From the end of its last interval on it costs this; None = unknown."""
        return self._change(resource_id, update(RESOURCES).values(usd_per_hour=usd_per_hour, price_source=source))

    def get_resource(self, resource_id: str) -> Resource:
        """The resource with this id.  Raises StateError."""
        found = self.rows(Resource, select(RESOURCES).where(RESOURCES.c.resource_id == resource_id))
        if not found:
            raise StateError(f"the ledger {self.where} holds no resource `{resource_id[:80]}`")
        return found[0]

    def resources(self, run_id: str | None = None) -> tuple[Resource, ...]:
        """Those of a run, or all, in the order in which they were intended."""
        query = select(RESOURCES).order_by(RESOURCES.c.intended_at, RESOURCES.c.resource_id)
        return self.rows(Resource, query if run_id is None else query.where(RESOURCES.c.run_id == run_id))

    def live_resources(self, run_id: str | None = None) -> tuple[Resource, ...]:
        """Those that may exist: live, or intended by somebody who may have died in the act."""
        query = select(RESOURCES).where(RESOURCES.c.state.in_(THERE))
        query = query.order_by(RESOURCES.c.intended_at, RESOURCES.c.resource_id)
        return self.rows(Resource, query if run_id is None else query.where(RESOURCES.c.run_id == run_id))

    def leftovers(self) -> tuple[Resource, ...]:
        """Those that may exist although their run has ended."""
        ended = RESOURCES.join(RUNS, RUNS.c.run_id == RESOURCES.c.run_id)
        query = select(RESOURCES).select_from(ended).where(RESOURCES.c.state.in_(THERE), RUNS.c.state.not_in(LIVE))
        return self.rows(Resource, query.order_by(RESOURCES.c.intended_at, RESOURCES.c.resource_id))

    def extend_cost(self, resource_id: str, *, until: datetime) -> Cost | None:
        """Charge the resource from its first live moment until `until`, never beyond its end; never takes back.

        One interval grows while the price stays; a new price begins a new one where the last ended.  None before it
        was live.
        """

        def act(connection: Connection) -> Cost | None:
            locked = select(RESOURCES).where(RESOURCES.c.resource_id == resource_id).with_for_update()
            resource = Resource(**connection.execute(locked).one()._asdict())
            last = _last_cost(connection, resource_id)
            cost = _extended(resource, last, until)
            if cost is not None and cost != last:
                upsert(connection, COSTS, values_of(cost), "resource_id", "from_at")
            return cost

        self.get_resource(resource_id)
        return self.write(act)

    def settle_cost(self, resource_id: str, *, until: datetime) -> None:
        """It was released at this moment: what was charged beyond, while nobody could ask, is taken back."""

        def act(connection: Connection) -> None:
            mine = select(COSTS).where(COSTS.c.resource_id == resource_id, COSTS.c.to_at > until)
            for row in connection.execute(mine).all():
                cost = Cost(**row._asdict())
                key = (COSTS.c.resource_id == resource_id, COSTS.c.from_at == cost.from_at)
                connection.execute(delete(COSTS).where(*key))
                if cost.from_at < until:
                    usd = owed(_hours(cost.from_at, until), cost.usd_per_hour)
                    connection.execute(insert(COSTS), values_of(replace(cost, to_at=until, usd=usd)))

        self.write(act)

    def reported_costs(self, run_id: str) -> tuple[Cost, ...]:
        """The intervals of what the run's job has reported."""
        return self.rows(Cost, select(COSTS).where(COSTS.c.run_id == run_id, COSTS.c.quantity.is_not(None)))

    def costs(self, run_id: str) -> tuple[Cost, ...]:
        """Every interval of every resource of the run, by its beginning."""
        return self.rows(Cost, select(COSTS).where(COSTS.c.run_id == run_id).order_by(COSTS.c.from_at))

    def bill(self, run_id: str) -> Bill:
        """What the run has cost, by resource."""
        intervals: dict[str, list[Cost]] = {}
        for cost in self.costs(run_id):
            intervals.setdefault(cost.resource_id, []).append(cost)
        lines = tuple(
            _line(resource, intervals.get(resource.resource_id, []))
            for resource in self.resources(run_id)
            if resource.resource_id in intervals
        )
        known_usd = sum((line.known_usd for line in lines), Decimal(0))
        unpriced = tuple(line.resource_id for line in lines if line.usd is None)
        return Bill(lines=lines, known_usd=known_usd, usd=None if unpriced else known_usd, unpriced=unpriced)

    def _change(self, resource_id: str, query: Update) -> Resource:
        self.write(lambda connection: connection.execute(query.where(RESOURCES.c.resource_id == resource_id)).rowcount)
        return self.get_resource(resource_id)


def _last_cost(connection: Connection, resource_id: str) -> Cost | None:
    mine = select(COSTS).where(COSTS.c.resource_id == resource_id).order_by(COSTS.c.from_at.desc())
    row = connection.execute(mine.limit(1)).first()
    return None if row is None else Cost(**row._asdict())


def _extended(resource: Resource, last: Cost | None, until: datetime) -> Cost | None:
    """The last interval as it is to be, or a new one after it."""
    end = until if resource.gone_at is None else min(until, resource.gone_at)
    begin = resource.live_at
    if last is not None:
        same = (last.usd_per_hour, last.source) == (resource.usd_per_hour, resource.price_source)
        begin = last.from_at if same else last.to_at
    if begin is None or end <= (begin if last is None else last.to_at):
        return last
    return Cost(
        run_id=resource.run_id,
        resource_id=resource.resource_id,
        from_at=begin,
        to_at=end,
        usd_per_hour=resource.usd_per_hour,
        usd=owed(_hours(begin, end), resource.usd_per_hour),
        source=resource.price_source,
    )


def _hours(begin: datetime, end: datetime) -> Decimal:
    return (end - begin) // timedelta.resolution / MICROSECONDS_PER_HOUR


def book_costs(connection: Connection, batch: ReportBatch) -> None:
    """Charge what a job has reported, in order.  One interval grows while its price and hour stay."""
    last: dict[str, Cost | None] = {}
    changed: dict[tuple[str, datetime], Cost] = {}
    for report in batch.costs:
        identity = report.intent.resource_id
        if identity not in last:
            resource = _resource(report.intent, batch.since)
            never_live = replace(resource, state="gone", live_at=batch.since, gone_at=batch.since)
            insert_once(connection, RESOURCES, values_of(never_live))
            last[identity] = _last_cost(connection, identity)
        cost = last[identity] = _reported(report, last[identity], batch.since)
        changed[identity, cost.from_at] = cost
    for cost in changed.values():
        upsert(connection, COSTS, values_of(cost), "resource_id", "from_at")


def _resource(intent: Intent, intended_at: datetime) -> Resource:
    return Resource(**{field.name: getattr(intent, field.name) for field in fields(Intent)}, intended_at=intended_at)


def _reported(report: ReportedCost, last: Cost | None, since: datetime) -> Cost:
    """The report's interval, in one with the last if that is at the same price and of the same hour."""
    intent, quantity, usd = report.intent, report.quantity, report.usd
    from_at, to_at = max(since, last.to_at) if last else since, report.at
    if last is not None and last.quantity is not None and to_at - last.from_at < REPORTS_TIME:
        unpriced = usd is None and report.usd_per_unit is None
        same = (last.usd_per_unit, last.source, last.usd is None and last.usd_per_unit is None)
        if same == (report.usd_per_unit, intent.price_source, unpriced):
            from_at, to_at, quantity = last.from_at, max(to_at, last.to_at), quantity + last.quantity
            usd = None if usd is None or last.usd is None else usd + last.usd
    return Cost(
        run_id=intent.run_id,
        resource_id=intent.resource_id,
        source=intent.price_source,
        from_at=from_at,
        to_at=max(to_at, from_at + timedelta.resolution),
        usd_per_hour=None,
        usd=usd if report.usd_per_unit is None else owed(quantity, report.usd_per_unit),
        quantity=quantity,
        usd_per_unit=report.usd_per_unit,
    )


def _line(resource: Resource, intervals: list[Cost]) -> ResourceCost:
    known_usd = sum((cost.usd for cost in intervals if cost.usd is not None), Decimal(0))
    return ResourceCost(
        resource_id=resource.resource_id,
        role=resource.role,
        kind=resource.kind,
        known_usd=known_usd,
        seconds=sum((cost.to_at - cost.from_at).total_seconds() for cost in intervals),
        usd=None if any(cost.usd is None for cost in intervals) else known_usd,
    )
