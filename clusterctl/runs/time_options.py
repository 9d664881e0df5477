"""Moments as people type them: `10m` ago, `14:05` today, an ISO 8601 time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from clusterctl.errors import SpecError

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment(option: str, text: str, now: datetime) -> datetime:
    """The moment that `text` means; without a zone it is the reader's.  Raises SpecError, naming the option."""
    if ago := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return now - timedelta(seconds=int(ago[1]) * UNIT_SECONDS[ago[2]])
    here = now.astimezone()
    if clock := re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", text):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        return here.replace(hour=hour, minute=minute, second=second, microsecond=0)
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise SpecError(
            f"{option}: `{text[:40]}` is not a time", hint="such as 10m, 2h, 14:05 or 2026-11-23T14:05"
        ) from None
