"""Merges rows of a few seconds into one per key, without polars: the agent does so before it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planners.telemetry.tables import TABLES, RollUp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def merge(table: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per key, in order of appearance; `at` is the last.  Absent values don't count; all absent stays absent.

    Sum, mean (weighted by `seconds`) and maximum as the table's columns say, like `planners.telemetry.roll_up`.
    """
    columns = [(name, column.roll_up) for name, column in TABLES[table].items()]
    keys = [name for name, how in columns if how is RollUp.KEY and name != "at"]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    merged = []
    for values, group in groups.items():
        one = dict(zip(keys, values, strict=True)) | {"at": max(row["at"] for row in group)}
        for name, how in columns:
            if how is not RollUp.KEY:
                pairs = [(row[name], row["seconds"]) for row in group if row.get(name) is not None]
                one[name] = _combined(pairs, how) if pairs else None
        merged.append(one)
    return merged


def _combined(pairs: list[tuple[float, float]], how: RollUp) -> float:
    if how is RollUp.SUM:
        return sum(value for value, _ in pairs)
    if how is RollUp.MAX:
        return max(value for value, _ in pairs)
    seconds = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / seconds if seconds else pairs[-1][0]
