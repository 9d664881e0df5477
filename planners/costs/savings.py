"""What would cost less: rules over what machines do now, each with its dollars a day and how they come about.

A rule says nothing where something that it needs was not measured; a saving without a known price has no dollars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

IDLE_ENOUGH = timedelta(minutes=60)
"""How long all GPUs of a machine do nothing before it is called unused.  The shortest idle time after which Amazon
SageMaker Studio ends an application (API_IdleSettings, IdleTimeoutInMinutes, read 2026-12-01): a pause between two
attempts of a person is shorter."""
IDLE_CPU_PCT = 10.0
"""A machine without GPUs whose processors are never busier, as a mean of any bucket, does little.  The check "Low
Utilization Amazon EC2 Instances" of AWS Trusted Advisor has the same limit for the mean of a day, beside one for
traffic (read 2026-12-01); here each bucket has to be below it."""
HEADROOM = 0.2
"""Share of the slots that stays free beyond the highest load that was seen.  AWS Compute Optimizer's
default for processors and memory (PutRecommendationPreferences, utilizationPreferences, read 2026-12-01)."""
HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNow:
    """A machine that is paid now, and what it does."""

    node: str
    usd_per_hour: Decimal | None
    estimated: bool = False
    """Whether the price is an estimate of ours."""
    gpus: int = 0
    idle_gpus: int = 0
    """That have not worked since `idle_since`."""
    idle_since: datetime | None = None
    holders: tuple[str, ...] = ()
    """Who holds its GPUs; empty: nobody."""
    highest_cpu_pct: float | None = None
    """Of any bucket of the window; None: not measured."""
    cpu_hours: float = 0.0
    """During which its processors were measured."""
    is_sandbox: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPool:
    """The sandbox machines of a run."""

    run: str
    nodes: int
    slots: float
    """Programs that all of them run at once."""
    most_running: float
    """Highest mean of any bucket."""
    most_wanted: float
    """Running and queued."""
    was_queued: bool
    waiting_usd_a_day: Decimal | None
    """Of GPUs that waited for sandboxes while programs were queued; None: the price is unknown."""
    usd_per_hour: Decimal | None
    """Of all of them."""
    hours: float
    """During which they were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedCapacity:
    """A reservation that runs now."""

    name: str
    nodes: int
    most_used: int
    """Machines that ran in it at once, at most, in the window."""
    usd_per_hour: Decimal | None
    """Of the whole reservation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Something to do."""

    what: str
    usd_a_day: Decimal | None
    """None = the price is unknown."""
    how: str
    """How the dollars come about."""


def savings(
    machines: Iterable[MachineNow],
    sandboxes: Iterable[SandboxPool],
    reservations: Iterable[ReservedCapacity],
    leftovers: Iterable[tuple[str, Decimal | None]],
    *,
    now: datetime,
) -> tuple[Saving, ...]:
    """What to do, the dearest first and the unpriced last.

    leftovers: name and dollars per hour of machines whose run has ended.
    """
    machines, gone = tuple(machines), dict(leftovers)
    found = [
        *(_leftover(name, price) for name, price in gone.items()),
        *_unused_gpus([one for one in machines if one.node not in gone], now),
        *_idle_processors([one for one in machines if one.node not in gone]),
        *(saving for pool in sandboxes for saving in _sandboxes(pool)),
        *_reservations(reservations),
    ]
    return tuple(sorted(found, key=lambda one: (one.usd_a_day is None, -(one.usd_a_day or 0), one.what)))


def _a_day(usd_per_hour: Decimal | None) -> Decimal | None:
    return None if usd_per_hour is None else usd_per_hour * HOURS_A_DAY


def _leftover(name: str, usd_per_hour: Decimal | None) -> Saving:
    how = "its run has ended: price per hour x 24"
    return Saving(what=f"remove {name}, which no live run uses", usd_a_day=_a_day(usd_per_hour), how=how)


def _unused_gpus(machines: Iterable[MachineNow], now: datetime) -> Iterator[Saving]:
    """Machines of which no GPU has worked for IDLE_ENOUGH."""
    for one in machines:
        if not one.gpus or one.idle_gpus < one.gpus or one.idle_since is None:
            continue
        idle = now - one.idle_since
        if idle < IDLE_ENOUGH:
            continue
        hours = f"{idle / timedelta(hours=1):,.1f} h"
        does = f"its {one.gpus} GPUs" if one.gpus > 1 else "its GPU"
        did = "have not worked" if one.gpus > 1 else "has not worked"
        who = f"end {', '.join(one.holders[:2])}{' …' if len(one.holders) > 2 else ''} and " if one.holders else ""
        price = "estimated price" if one.estimated else "price"
        yield Saving(
            what=f"{who}release {one.node}: {does} {did} for {hours}",
            usd_a_day=_a_day(one.usd_per_hour),
            how=f"{price} of the machine per hour x 24; no GPU of it has worked for at least "
            f"{IDLE_ENOUGH / timedelta(minutes=1):.0f} min",
        )


def _idle_processors(machines: Iterable[MachineNow]) -> Iterator[Saving]:
    """Machines without GPUs, and no sandboxes, whose processors did little all the time."""
    for one in machines:
        busiest = one.highest_cpu_pct
        if one.gpus or one.is_sandbox or busiest is None or one.cpu_hours < IDLE_ENOUGH / timedelta(hours=1):
            continue
        if busiest <= IDLE_CPU_PCT:
            how = f"price per hour x 24; in {one.cpu_hours:,.1f} h its processors were never busier than {busiest:.0f}%"
            yield Saving(
                what=f"release {one.node}, which has no GPU and does little",
                usd_a_day=_a_day(one.usd_per_hour),
                how=how,
            )


def _sandboxes(pool: SandboxPool) -> Iterator[Saving]:
    """More sandbox machines where GPUs wait for them, fewer where their slots are never used.

    While programs are queued, the time that GPUs wait goes as 1 / slots: they wait until a backlog is worked off.  The
    cost of a day with m machines is waiting x n / m + 24 x price x m, least at m = sqrt(waiting x n / (24 x price));
    more machines than the programs that were wanted at once can't help.
    """
    if not pool.nodes or not pool.slots or pool.hours < IDLE_ENOUGH / timedelta(hours=1):
        return
    per_node, price = pool.slots / pool.nodes, pool.usd_per_hour
    if pool.was_queued:
        if price is None or pool.waiting_usd_a_day is None or price <= 0:
            return
        yield from _more_sandboxes(pool, per_node, float(price) / pool.nodes, float(pool.waiting_usd_a_day))
        return
    needed = max(1, math.ceil(pool.most_running / (1 - HEADROOM) / per_node - 1e-9))
    fewer = pool.nodes - needed
    if fewer > 0:
        yield Saving(
            what=f"{fewer} fewer sandbox {'node' if fewer == 1 else 'nodes'} for {pool.run}"
            f" ({needed} instead of {pool.nodes})",
            usd_a_day=None if price is None else price / pool.nodes * fewer * HOURS_A_DAY,
            how=f"price per hour x 24; of {pool.slots:,.0f} slots at most {pool.most_running:,.0f} ran, and nothing was"
            f" queued; {HEADROOM:.0%} of what stays is kept free",
        )


def _more_sandboxes(pool: SandboxPool, per_node: float, usd_per_hour: float, waiting: float) -> Iterator[Saving]:
    nodes, node_day = pool.nodes, usd_per_hour * HOURS_A_DAY
    most = max(nodes, math.ceil(pool.most_wanted / per_node))

    def usd_a_day(count: int) -> float:
        return waiting * nodes / count + node_day * count

    best = math.sqrt(waiting * nodes / node_day)
    counts = {min(max(count, nodes), most) for count in (math.floor(best), math.ceil(best))}
    count = min(counts, key=lambda one: (usd_a_day(one), one))
    saved = usd_a_day(nodes) - usd_a_day(count)
    if count > nodes and saved > 0:
        more = count - nodes
        yield Saving(
            what=f"{more} more sandbox {'node' if more == 1 else 'nodes'} for {pool.run} ({count} instead of {nodes})",
            usd_a_day=Decimal(repr(round(saved, 6))),
            how=f"GPUs waited for ${waiting:,.0f} a day while programs were queued; with {count / nodes:.2f} x the"
            f" slots they wait {nodes / count:.2f} x as long, and the nodes cost ${node_day * more:,.0f} a day more",
        )


def most_at_once(times: Iterable[tuple[datetime, datetime]]) -> int:
    """How many of these times, from one moment to another, overlap at most; those that touch don't."""
    changes = sorted(
        (moment, step) for first, last in times if last > first for moment, step in ((first, 1), (last, -1))
    )
    found = most = 0
    for _, step in changes:
        found += step
        most = max(most, found)
    return most


def _reservations(reservations: Iterable[ReservedCapacity]) -> Iterator[Saving]:
    """Reserved machines that nothing ran in."""
    for one in reservations:
        unused = one.nodes - one.most_used
        if unused > 0 and one.nodes > 0:
            yield Saving(
                what=f"use or give back {unused} of {one.nodes} reserved nodes of {one.name}",
                usd_a_day=None if one.usd_per_hour is None else one.usd_per_hour / one.nodes * unused * HOURS_A_DAY,
                how=f"price of the reservation per hour x 24 x {unused} / {one.nodes}; in the window at most"
                f" {one.most_used} ran at once",
            )
