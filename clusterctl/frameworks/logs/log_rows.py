"""Lines of a console log that hold figures of a step, and the figures."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clusterctl.frameworks.logs.names import BAR_LENGTH, ELAPSED, known

MOST_LINE_CHARACTERS = 1 << 17
MOST_VALUES = 5000
"""Of one line: verl writes about a hundred."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_VERL = re.compile(r"(?<![\w/])step:(\d{1,12}) - (.+)")
_TITAN = re.compile(r"(?<![\w/])step:\s*(\d{1,12})\s+(?=[a-z_]+:)(.+)")
_TITAN_PAIR = re.compile(r"([a-z_]+):\s*([\d.,]+)")
_GLOBAL_STEP = re.compile(r"[Gg]lobal step (\d{1,12}):")
_NUMBER = re.compile(r"(?:np\.float\d+\(|np\.int\d+\(|tensor\()?\s*(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*\)?")
_WRAPPED = re.compile(r"(?:np\.(?:float|int)\d+|tensor)\((-?[\d.eE+-]+)[^()]{0,40}\)")
_BAR = re.compile(r"(\d{1,9})/(\d{1,9}) \[((?:\d+:){1,3}\d+)<")
_CLOCK = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?")


@dataclass(frozen=True, slots=True)
class LogRow:
    """The figures of one step as one line has them."""

    values: Mapping[str, float]
    line: int
    step: int | None = None
    clock: float | None = None
    """When the line was written, in seconds, where it says so."""


def rows_of_line(text: str, line: int) -> Iterator[LogRow | int]:
    """The rows of a line (progress bars rewrite theirs); its number for one that looks like a row but is broken."""
    for part in text.split("\r"):
        row = _row(_COLOUR.sub("", part), line)
        if row is not None:
            yield row if row.values else line


def _row(text: str, line: int) -> LogRow | None:
    """A row, one without values where it is broken, or None where the line has nothing to do with steps."""
    if len(text) > MOST_LINE_CHARACTERS:
        return LogRow({}, line) if "timing" in text[:1000] else None
    if match := _VERL.search(text):
        return LogRow(_pairs(match.group(2)), line, int(match.group(1)), _clock(text))
    if match := _TITAN.search(text):
        found = {f"titan/{key}": _plain(value) for key, value in _TITAN_PAIR.findall(match.group(2))}
        return LogRow(
            {key: value for key, value in found.items() if value is not None}, line, int(match.group(1)), _clock(text)
        )
    if (start := text.find("{")) >= 0:
        return _from_mapping(text, start, line)
    if match := _BAR.search(text):
        return LogRow({ELAPSED: _seconds(match.group(3)), BAR_LENGTH: float(match.group(2))}, line, int(match.group(1)))
    return None


def _pairs(text: str) -> dict[str, float]:
    """verl's `name:value - name:value`."""
    found = {}
    for part in text.split(" - ")[:MOST_VALUES]:
        key, _, value = part.strip().rpartition(":")
        match = _NUMBER.fullmatch(value)
        if key and match and math.isfinite(number := float(match.group(1))):
            found[key] = number
    return found


def _plain(text: str) -> float | None:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None


def _seconds(text: str) -> float:
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part[:9])
    return float(total)


def _clock(text: str) -> float | None:
    match = _CLOCK.search(text)
    if not match:
        return None
    try:
        at = datetime.fromisoformat(f"{match.group(1)} {match.group(2)}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return at.timestamp() + float(f"0.{match.group(3) or 0}")


def _from_mapping(text: str, start: int, line: int) -> LogRow | None:
    """`{'loss': 0.1, ...}` of transformers, OpenRLHF's status, or a line of JSON."""
    step = _GLOBAL_STEP.search(text[:start])
    end = text.rfind("}")
    looks_right = step is not None or re.match(r"\{\s*['\"][\w/_.-]+['\"]\s*:", text[start : start + 120]) is not None
    if not looks_right:
        return None
    if end < start:
        return LogRow({}, line)
    data = mapping_of(text[start : end + 1])
    values = flat_numbers(data) if data is not None else {}
    return LogRow(values, line, int(step.group(1)) if step else None, _clock(text[:start]))


def mapping_of(text: str) -> dict[str, Any] | None:
    """A mapping as JSON or Python writes it; nothing in it is run."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        cleaned = re.sub(r"\b(nan|inf)\b", "None", _WRAPPED.sub(r"\1", text))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of what a broken line makes of numbers
                found = ast.literal_eval(cleaned)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return found if isinstance(found, dict) else None


def flat_numbers(data: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a mapping, and of mappings one level below, by dotted name."""
    found: dict[str, float] = {}
    for key, value in list(data.items())[:MOST_VALUES]:
        if isinstance(value, dict):
            inner = list(value.items())[:MOST_VALUES]
            found |= {f"{key}.{name}": number for name, one in inner if (number := as_number(one)) is not None}
        elif (number := as_number(value)) is not None:
            found[known(str(key))] = number
    return found


def as_number(value: Any) -> float | None:
    """A finite number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
