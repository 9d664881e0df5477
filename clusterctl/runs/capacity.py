"""No capacity is an answer and no failure: the run waits, longer each time, and then asks for the plan's next offer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clusterctl.ledger.rows import Event

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 30.0, 600.0
"""Between a refusal and the next request: doubled after each."""
REMEMBERED = timedelta(hours=1)
"""An offer that was refused is not asked for again for so long, while another may be had."""


def next_try(refusals: Sequence[Event], *, since: datetime) -> datetime:
    """When machines may be asked for again, after the refusals since the run was asked for."""
    counted = [event.at for event in refusals if event.at >= since]
    if not counted:
        return since
    pause = min(FIRST_PAUSE_SECONDS * 2 ** (len(counted) - 1), LONGEST_PAUSE_SECONDS)
    return counted[-1] + timedelta(seconds=pause)


def refused(refusals: Sequence[Event], *, now: datetime) -> frozenset[int]:
    """Numbers of the plan's alternatives that were refused lately."""
    return frozenset(event.data["alternative"] for event in refusals if event.at > now - REMEMBERED)
