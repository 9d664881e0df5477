"""What people want of a run: written into the ledger here, or sent to the supervisor of a run that is watched
elsewhere, which does the same there and acknowledges it."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clusterctl.clock import Beat
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.ledger.stored_plan import stored_plan
from planners.runs.limits import RunLimits
from planners.runs.plan_change import PlanChange

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

MOST_WISH_BYTES = 1 << 16
KIND = "wish"
"""Kind of the event that says that a wish was heeded."""


class Wish(BaseModel):
    """What should become of a run, and what it may use: always all of it, so that only the last one counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seq: int = Field(default=0, ge=0)
    """Number of the wish; 0 = not sent."""
    identity: str = Field(default="", max_length=100)
    """Tells two wishes of one number apart."""
    desired: Literal["up", "down"]
    limit_usd: Decimal | None = Field(default=None, gt=0, max_digits=40)
    limit_hours: Decimal | None = Field(default=None, gt=0, max_digits=40)
    plan_id: str = Field(default="", max_length=100)
    """The plan by which it goes on, which the ledger that heeds this must hold; empty = the one that it has."""
    asked_by: str = Field(default="", max_length=200)
    """Who asked, for people."""

    @property
    def said(self) -> str:
        """In words."""
        return f"{self.desired}{f', asked by {self.asked_by}' if self.asked_by else ''}"


def read_wish(content: bytes) -> Wish:
    """The wish that a file holds.  Raises ClusterctlError for anything else."""
    try:
        if len(content) > MOST_WISH_BYTES:
            raise ValueError("it is too large")
        return Wish.model_validate(json.loads(content))
    except (ValueError, RecursionError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ClusterctlError(f"control.json holds no wish: {why[:200]}; it is ignored") from None


def heed(ledger: Ledger, run_id: str, wish: Wish, *, at: datetime) -> None:
    """Write into the ledger what is wished.  A wish that was sent is heeded once, whoever repeats it."""
    if wish.seq and any(event.event_id == _id(wish) for event in ledger.events(run_id, kind=KIND)):
        return
    run = ledger.get_run(run_id)
    if (run.limit_usd, run.limit_hours) != (wish.limit_usd, wish.limit_hours):
        ledger.set_limits(run_id, usd=wish.limit_usd, hours=wish.limit_hours)
        limits = RunLimits(usd=wish.limit_usd, hours=wish.limit_hours)
        ledger.record_event(run_id, "limits", f"now {limits}", at=at)
    if wish.plan_id and wish.plan_id != run.plan_id:
        _change_plan(ledger, run, wish.plan_id, at)
    if wish.desired == "down" and run.state in LIVE:
        ledger.set_desired(run_id, "down")
    if wish.desired == "up" and (run.state not in LIVE or run.desired == "down"):
        number = len(ledger.events(run_id, kind="wanted")) + 1
        ledger.record_event(run_id, "wanted", "up again", event_id=f"wanted:{run_id}:{number}", at=at)
        ledger.reopen(run_id)
    if wish.seq:
        ledger.record_event(run_id, KIND, wish.said, event_id=_id(wish), at=at)


def foresee(ledger: Ledger, run_id: str, wish: Wish) -> None:
    """As a ledger that is a copy shows a wish that the supervisor elsewhere has not acknowledged yet."""
    run = ledger.get_run(run_id)
    ledger.set_limits(run_id, usd=wish.limit_usd, hours=wish.limit_hours)
    if wish.plan_id and wish.plan_id != run.plan_id:
        ledger.set_plan(run_id, wish.plan_id, alternative=0)
    if wish.desired == "down" and run.state in LIVE:
        ledger.set_desired(run_id, "down")
    if wish.desired == "up" and (run.state not in LIVE or run.desired == "down"):
        ledger.reopen(run_id)


def _change_plan(ledger: Ledger, run: Run, plan_id: str, at: datetime) -> None:
    """Both plans stay in the ledger, and what is different between them in its events.

    Raises SpecError, StateError where the new one is not there or can't be read.
    """
    after = stored_plan(ledger, plan_id, name="the plan that is wished")
    before = stored_plan(ledger, run.plan_id or "", name=f"the plan of {run.run_id}")
    change = PlanChange(before=before, after=after, stage=run.stage or before.stages[0].name)
    ledger.record_event(run.run_id, "plan", change.text, at=at)
    ledger.set_plan(run.run_id, plan_id, alternative=change.alternative(run.alternative))


def _id(wish: Wish) -> str:
    return f"wish:{wish.seq}:{wish.identity}"


def last_beat(run: Run) -> Beat | None:
    """When the run was last watched."""
    if run.beat_at is None:
        return None
    return Beat(at=run.beat_at, boot_id=run.beat_boot_id, uptime_seconds=run.beat_uptime_seconds)
