"""Who has been told of which alert: what a receiver is still to be told, by what is open now and what it was told.

Nothing is queued: what is due follows from the open alerts and from what was told.  So a receiver that is away for a
day gets one message when it is back, and who is killed and started again repeats nothing.  Pure: the state is a value.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

from planners.alerts.alert_facts import Facts, OpenAlert
from planners.alerts.rule_settings import EVENTS

MOST_ALERTS = 1000
"""Of one receiver, what is kept in mind; beyond it alerts are only counted."""
MOST_LINES = 50
"""Of one message; the next one has the others."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
"""After a failure, doubled each time."""
LONGEST_ASKED_PAUSE = timedelta(hours=1)
"""That a receiver may ask for (Retry-After)."""

News = Literal["new", "worse", "still open", "resolved"]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptAlert(_Kept):
    """One alert of one receiver."""

    alert: OpenAlert
    opened_at: datetime
    told_at: datetime | None = None
    told_rank: int = 0
    absent_since: datetime | None = None
    """Not seen since then; not yet over."""
    ended_at: datetime | None = None
    """Over, and that is still to be told."""


class ReceiverState(_Kept):
    """All that is kept of one receiver."""

    alerts: dict[str, KeptAlert] = {}
    """By their key."""
    left_out: int = 0
    """Alerts beyond MOST_ALERTS at the worst moment since the last message."""
    failures: int = 0
    """In a row."""
    next_try_at: datetime | None = None
    error: str = ""
    """Why the last try failed."""


class Line(_Kept):
    """One alert of a message."""

    news: News
    kept: KeptAlert


def observed(
    state: ReceiverState,
    alerts: Sequence[OpenAlert],
    facts: Facts,
    *,
    now: datetime,
    rules: Collection[str],
    resolved_after: timedelta,
    tells_resolved: bool = True,
) -> ReceiverState:
    """The state after a look.  alerts: what is open, the worst first; rules: those that the receiver is told of.

    An alert that nobody can say anything about (`Facts.unknown`) stays as it was; one whose rule the receiver is no
    longer told of is forgotten.
    """
    seen = {alert.key: alert for alert in alerts if alert.rule in rules}
    kept: dict[str, KeptAlert] = {}
    for key, old in state.alerts.items():
        if old.alert.rule not in rules:
            continue
        if key in seen:
            kept[key] = old.model_copy(update={"alert": seen[key], "absent_since": None, "ended_at": None})
        elif facts.is_unknown(old.alert.rule, old.alert.about):
            kept[key] = old
        elif (after := _absent(old, now, resolved_after, tells_resolved=tells_resolved)) is not None:
            kept[key] = after
    left_out = 0
    for key, alert in seen.items():
        if key in kept:
            continue
        if len(kept) < MOST_ALERTS:
            kept[key] = KeptAlert(alert=alert, opened_at=now)
        else:
            left_out += 1
    return state.model_copy(update={"alerts": kept, "left_out": max(state.left_out, left_out)})


def _absent(old: KeptAlert, now: datetime, resolved_after: timedelta, *, tells_resolved: bool) -> KeptAlert | None:
    """An alert that is not open at this look; None once nothing of it is to be told."""
    if old.alert.rule in EVENTS:
        return old if old.told_at is None else None  # it has happened, whenever the receiver hears of it
    since = old.absent_since or now
    if old.ended_at is None and now - since < resolved_after:
        return old.model_copy(update={"absent_since": since})
    if not tells_resolved and old.told_at is not None:
        return None
    return old.model_copy(update={"absent_since": since, "ended_at": old.ended_at or since})


def due(state: ReceiverState, now: datetime, repeat_after: timedelta | None) -> tuple[Line, ...]:
    """What is to be told now, at most MOST_LINES of it; empty where there is nothing new, or it is too early to try."""
    if state.next_try_at is not None and now < state.next_try_at:
        return ()
    lines = []
    for kept in state.alerts.values():
        news = _news(kept, now, repeat_after)
        if news is not None:
            lines.append(Line(news=news, kept=kept))
    return tuple(sorted(lines, key=lambda line: (line.news == "resolved", -line.kept.alert.rank, line.kept.alert.key)))[
        :MOST_LINES
    ]


def _news(kept: KeptAlert, now: datetime, repeat_after: timedelta | None) -> News | None:
    if kept.ended_at is not None:
        return "resolved"
    if kept.told_at is None:
        return "new"
    if kept.alert.rank > kept.told_rank:
        return "worse"
    is_over = kept.absent_since is not None or kept.alert.rule in EVENTS
    return "still open" if repeat_after is not None and not is_over and now - kept.told_at >= repeat_after else None


def told(state: ReceiverState, lines: Sequence[Line], now: datetime) -> ReceiverState:
    """The state once a message has arrived."""
    alerts = dict(state.alerts)
    for line in lines:
        key = line.kept.alert.key
        if key not in alerts:
            continue
        if line.news == "resolved" and alerts[key].ended_at is not None:
            del alerts[key]
        elif line.news == "resolved":  # it is open again: of this one nobody has been told
            alerts[key] = alerts[key].model_copy(update={"told_at": None, "told_rank": 0, "opened_at": now})
        else:
            rank = max(line.kept.alert.rank, alerts[key].told_rank)
            alerts[key] = alerts[key].model_copy(update={"told_at": now, "told_rank": rank})
    return ReceiverState(alerts=alerts)


def failed(state: ReceiverState, now: datetime, error: str, *, asked_pause: timedelta | None = None) -> ReceiverState:
    """The state once a message has not arrived: it is tried again after a pause that grows, or that was asked for."""
    pause = min(FIRST_PAUSE * 2 ** min(state.failures, 10), LONGEST_PAUSE)
    if asked_pause is not None:
        pause = min(max(pause, asked_pause), LONGEST_ASKED_PAUSE)
    return state.model_copy(update={"failures": state.failures + 1, "next_try_at": now + pause, "error": error})
