"""Measured lengths or seconds from a file: their mean, 95th percentile and maximum."""

from __future__ import annotations

import csv
import json
import math
import statistics
from pathlib import Path
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.specfile.yaml_file import read_text

MAX_BYTES = 64 << 20


def read_measured(path: Path, column: str | None = None) -> dict[str, float | int]:
    """{mean, p95, max, measured} of the values in a file.  Raises SpecError that names file and line.

    Formats, by content: a JSON list; JSON lines (numbers, or objects with `column`); CSV with a header (`column`, or
    its only column); else one number per line.
    """
    return measured_values(read_text(path, max_bytes=MAX_BYTES), name=str(path), column=column)


def measured_values(text: str, *, name: str, column: str | None = None) -> dict[str, float | int]:
    """The same of a text that messages call `name`.  Raises SpecError."""
    text = text.strip()
    if not text:
        raise SpecError(f"{name}: holds no values")
    rows = _rows(text, name, column)
    values = sorted(_number(value, name, line) for line, value in rows)
    if not values:
        raise SpecError(f"{name}: holds no values")
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    mean = math.fsum(values) / len(values)
    measured: dict[str, float | int] = {"mean": mean, "max": values[-1], "measured": len(values)}
    return measured | ({"p95": p95} if p95 >= mean else {})


def _rows(text: str, name: str, column: str | None) -> list[tuple[int, Any]]:
    lines = text.splitlines()
    if text[0] == "[":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"{name}: is not a JSON list: {error}") from error
        return [(1, value) for value in found]
    if text[0] == "{":
        return [(line, _key(row, name, line, column)) for line, row in enumerate(lines, 1) if row.strip()]
    if column is not None or not _is_number(lines[0]):
        return _csv(lines, name, column)
    return [(line, row) for line, row in enumerate(lines, 1) if row.strip()]


def _csv(lines: list[str], name: str, column: str | None) -> list[tuple[int, Any]]:
    rows = csv.reader(lines)
    header = next(rows)
    if column is None and len(header) == 1:
        index = 0
    elif column in header:
        index = header.index(str(column))
    else:
        asked = f"no column {column!r}" if column else "several columns"
        raise SpecError(f"{name}:1: {asked}; columns: {', '.join(header)}", hint="add `column:` beside `file:`")
    return [(rows.line_num, row[index] if index < len(row) else "") for row in rows if row]


def _key(row: str, name: str, line: int, column: str | None) -> Any:
    try:
        value = json.loads(row)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{name}:{line}: is not JSON: {error}") from error
    if column is None or not isinstance(value, dict) or column not in value:
        raise SpecError(f"{name}:{line}: no key {column!r}", hint="add `column:` beside `file:`")
    return value[column]


def _number(value: Any, name: str, line: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SpecError(f"{name}:{line}: {str(value)[:40]!r} is not a number") from error
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise SpecError(f"{name}:{line}: {value!r} is not a length")
    return number


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
