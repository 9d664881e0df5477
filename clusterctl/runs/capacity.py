"""No capacity is an answer and no failure: the run waits, longer each time, and then asks for the plan's next offer.

A launcher that fails has not answered: the run waits as long, and asks for the same offer again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from planners.runs.next_offer import CHOICE, next_alternative
from planners.runs.reconcile import Cause

if TYPE_CHECKING:
    from clusterctl.ledger.rows import Event, Run
    from clusterctl.runs.run import OpenRun

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 600.0
"""Between a refusal and the next request: doubled after each."""
ASKED_AGAIN = {Cause.NO_CAPACITY: "capacity", Cause.LAUNCHER: "launcher"}
"""Why a machine did not come, and the kind of event that says it, where machines are asked for again after a pause."""
REMEMBERED = timedelta(hours=1)
"""An offer that was refused is not asked for again for so long, while another may be had."""


def next_try(refusals: Sequence[Event], *, since: datetime) -> datetime:
    """When machines may be asked for again, after the refusals, in order of time, since the run was asked for."""
    counted = [event.at for event in refusals if event.at >= since]
    if not counted:
        return since
    pause = min(FIRST_PAUSE_SECONDS * 2 ** (len(counted) - 1), LONGEST_PAUSE_SECONDS)
    return counted[-1] + timedelta(seconds=pause)


def refused(refusals: Sequence[Event], *, now: datetime) -> frozenset[int]:
    """Numbers of the plan's alternatives that were refused lately."""
    return frozenset(event.data["alternative"] for event in refusals if event.at > now - REMEMBERED)


def offer_of(run: OpenRun, row: Run, *, since: datetime, record: Callable[[str, str, str], None]) -> Run | None:
    """The run on the offer that machines are asked of; None while none may be asked: after a refusal not before its
    pause is over, and then for the next offer of the plan, if one is within what was agreed to.

    since: when the run was last asked for; record: writes an event (kind, message, identity).
    """
    refusals, failures = (run.ledger.events(run.run_id, kind=ASKED_AGAIN[why]) for why in ASKED_AGAIN)
    if plans := run.ledger.events(run.run_id, kind="plan"):  # another plan numbers its offers anew
        refusals = tuple(event for event in refusals if event.at > plans[-1].at)
    now, in_vain = run.clock.now(), sorted((*refusals, *failures), key=lambda event: event.at)
    if now < next_try(in_vain, since=since):
        return None
    gone = refused(refusals, now=now)
    offer = next_alternative(run.plan, refused=gone, limit_usd=row.limit_usd)
    if (row.alternative or CHOICE) not in gone or offer is None:
        return row
    run.ledger.set_alternative(run.run_id, offer.number)
    text = f"no capacity for what it has asked for: it goes on with {offer.fleet} in {offer.region}"
    record("offer", text, f"offer:{len(refusals)}")
    return replace(row, alternative=offer.number)
