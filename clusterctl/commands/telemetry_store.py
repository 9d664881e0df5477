"""`clusterctl telemetry compact` and `status`: maintain the store."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from typer import Option

from clusterctl.errors import StateError
from clusterctl.store import open_source, open_store
from clusterctl.store.parquet_store import TableSize, TelemetryStore
from clusterctl.ui.terminal import terminal

Url = Annotated[str | None, Option("--store", help="Folder or bucket URL (default: CLUSTERCTL_TELEMETRY).")]
GIB, MIB = 2**30, 2**20


def compact(
    *,
    store: Url = None,
    every: Annotated[float, Option(min=0, help="Repeat after this many seconds until stopped; 0: once.")] = 0,
    keep_days: Annotated[float | None, Option(min=0, max=36_500, help="Remove data older than this many days.")] = None,
    keep_gib: Annotated[float | None, Option(min=0, help="Then remove the oldest data beyond this size.")] = None,
) -> None:
    """Merge what agents wrote, with roll-ups of 10 s, 1 min and 10 min; remove old data."""
    max_age = None if keep_days is None else timedelta(days=keep_days)
    max_bytes = None if keep_gib is None else round(keep_gib * GIB)
    opened = open_store(store)
    while True:
        before = _totals(opened)
        now = datetime.now(tz=UTC)
        opened.compact(now)
        if opened.problems() and not (every or before[0]):
            raise StateError(opened.problems()[0], hint="is it the right --store, and may this user read it?")
        if max_age is not None or max_bytes is not None:
            opened.expire(now, max_age=max_age, max_bytes=max_bytes)
        after = _totals(opened)
        typer.echo(
            f"{now:%Y-%m-%d %H:%M:%S} UTC: {before[0]:,} files, {before[1] / MIB:,.1f} MiB -> "
            f"{after[0]:,} files, {after[1] / MIB:,.1f} MiB"
        )
        _warn(opened.problems())
        if not every:
            return
        time.sleep(every)


def status(*, store: Url = None, as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False) -> None:
    """Show what telemetry is stored: since when, how much, how much is not compacted, what cannot be read."""
    source = open_source(store)
    tables = source.inventory() if isinstance(source, TelemetryStore) else []
    span = source.span()
    if as_json:
        document = {
            "store": source.where,
            "first": span and span[0].isoformat(),
            "last": span and span[1].isoformat(),
            "tables": [
                each._asdict() | {"first": each.first.isoformat(), "last": each.last.isoformat()} for each in tables
            ],
            "problems": source.problems(),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    when = "unknown" if source.problems() else "nothing yet"
    if span:
        when = f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{source.where}: {when}")
    if tables:
        _draw(tables)
    _warn(source.problems())


def _totals(store: TelemetryStore) -> tuple[int, int]:
    tables = store.inventory()
    return (
        sum(each.files + each.batches for each in tables),
        sum(each.file_bytes + each.batch_bytes for each in tables),
    )


def _draw(tables: list[TableSize]) -> None:
    from clusterctl.ui.streams import emit
    from clusterctl.ui.table import draw_text, right

    columns = ("table", "since", right("MiB"), right("not compacted", drop=1), right("files", drop=2))
    rows = [
        [
            each.table,
            f"{each.first:%Y-%m-%d %H:%M}",
            f"{(each.file_bytes + each.batch_bytes) / MIB:,.1f}",
            f"{each.batch_bytes / MIB:,.1f}",
            f"{each.files + each.batches:,}",
        ]
        for each in tables
    ]
    emit(draw_text(columns, rows, terminal(), indent=2))


def _warn(problems: tuple[str, ...]) -> None:
    for problem in problems:
        typer.echo(f"warning: {problem}", err=True)
