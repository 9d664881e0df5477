"""JSON as we write it: for every command, file and log line that another program reads."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any


def json_text(value: object, *, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """JSON of dicts, lists and scalars; moments and dates as ISO 8601, bytes as UTF-8, other values as text.

    A float that is no finite number is null, as whatever is unknown: JSON has no NaN and no Infinity, and readers
    refuse a document that holds one.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, default=_text, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=ensure_ascii, default=_text, allow_nan=False)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, date) else str(value)  # a datetime is a date


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {_finite(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
