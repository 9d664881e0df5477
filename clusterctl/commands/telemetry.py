"""`clusterctl telemetry`: measure a node; look into what was measured."""

from __future__ import annotations

import io
import os
import re
import socket
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.json_text import json_text
from clusterctl.runs.time_options import UNIT_SECONDS
from clusterctl.store import open_source, open_store
from clusterctl.store.parquet_store import TableSize, TelemetryStore
from clusterctl.store.run_stores import RunStores
from clusterctl.telemetry.settings import OFF, AgentSettings, installed, written_store
from clusterctl.ui.streams import emit_data
from clusterctl.ui.terminal import terminal

app = typer.Typer(help="Measure a node; show what was measured.", no_args_is_help=True)

Url = Annotated[str | None, Option("--store", help="Folder or bucket URL (default: CLUSTERCTL_TELEMETRY).")]
GIB, MIB = 2**30, 2**20
LONGEST_SECONDS = 100 * 365 * 86400


@app.command()
def status(*, store: Url = None, as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False) -> None:
    """Show what telemetry is stored: since when, how much, how much is not compacted, what cannot be read."""
    source = open_source(store)
    tables = source.inventory() if isinstance(source, TelemetryStore | RunStores) else []
    span = source.span()
    if as_json:
        document = {
            "store": source.where,
            "first": span and span[0].isoformat(),
            "last": span and span[1].isoformat(),
            "tables": [each._asdict() for each in tables],
            "problems": source.problems(),
        }
        typer.echo(json_text(document, indent=2))
        return
    when = "unknown" if source.problems() else "nothing yet"
    if span:
        when = f"{span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC"
    typer.echo(f"{source.where}: {when}")
    if tables:
        _draw(tables)
    _warn(source.problems())


@app.command()
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


@app.command()
def agent(
    *,
    store: Annotated[
        str | None, Option(help="Folder or bucket URL (default: CLUSTERCTL_TELEMETRY); 'off' for none.")
    ] = None,
    node: Annotated[str | None, Option(help="Name of this node (default: its host name).")] = None,
    interval: Annotated[float, Option(min=0.1, help="Seconds between measurements.")] = 1.0,
    write_every: Annotated[float, Option(min=1, help="Seconds that a stored row covers.")] = 10.0,
    listen: Annotated[str, Option(help="HOST:PORT of the Prometheus endpoint; 'off' for none.")] = "127.0.0.1:9400",
    token_file: Annotated[
        Path | None, Option(help="File with the token that clients must send; required beyond loopback.")
    ] = None,
    sandbox: Annotated[list[str] | None, Option(help="URL of a sandbox server; repeatable.")] = None,
    sandbox_token_file: Annotated[Path | None, Option(help="File with the token of the sandbox server.")] = None,
    metrics_file: Annotated[
        list[str] | None, Option(help="Metrics files to pass on (glob pattern); repeatable.")
    ] = None,
) -> None:
    """Measure this node until stopped: GPUs and the runs that hold them, why a GPU idles, host, sandboxes."""
    if not installed():
        raise ClusterctlError("the agent needs the extra `telemetry`", hint="pip install 'clusterctl[telemetry]'")
    settings = AgentSettings(
        store=_absolute(store or written_store()),
        node=node or socket.gethostname(),
        interval_seconds=interval,
        write_seconds=write_every,
        listen="" if listen == "off" else listen,
        token_file=_text(token_file),
        sandboxes=tuple(sandbox or ()),
        sandbox_token_file=_text(sandbox_token_file),
        metrics_files=tuple(metrics_file or ()),
    )
    sys.stdout.flush()
    os.execv(sys.executable, settings.command())  # noqa: S606 - a process without the command line's memory


@app.command()
def export(
    table: Annotated[str, Argument(help="gpu, host, sandbox, devices or notes.")],
    *,
    store: Url = None,
    since: Annotated[str, Option(help="How far back: 90s, 15m, 2h, 7d.")] = "1h",
    step: Annotated[int, Option(min=0, help="Seconds that a row covers; 0: as stored.")] = 0,
    run: Annotated[str | None, Option(help="Only rows of this run; host, devices and notes: of its nodes.")] = None,
    form: Annotated[
        Literal["csv", "json", "parquet"], Option("--format", help="Format; json: one line per row.")
    ] = "csv",
) -> None:
    """Print what was measured.  An absent value is empty (null in JSON), never 0."""
    from clusterctl.ui.csv_text import csv_text
    from planners.telemetry.tables import TABLES

    if table not in TABLES:
        raise SpecError(f"unknown table {table}", hint=f"one of {', '.join(TABLES)}")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", since)
    if match is None:
        raise SpecError(f"--since {since}: not a duration", hint="such as 90s, 15m, 2h or 7d")
    now = datetime.now(tz=UTC)
    start = now - timedelta(seconds=min(float(match[1]) * UNIT_SECONDS[match[2]], LONGEST_SECONDS))
    source = open_source(store)
    nodes = None
    if run is not None and "run" not in TABLES[table]:
        held = [source.read(each, start=start, end=now, run=run, columns=["node"]) for each in ("gpu", "sandbox")]
        nodes = {node for rows in held for node in rows["node"].drop_nulls()}
    frame = source.read(table, start=start, end=now, step_seconds=step, run=run, nodes=nodes)
    problems = source.problems()
    if problems and frame.is_empty():
        raise StateError(problems[0], hint="`clusterctl telemetry status` shows all that cannot be read")
    rows = frame.sort([name for name in ("at", "node", "gpu") if name in frame.columns])
    if form == "csv":
        emit_data(csv_text(rows))
    elif form == "json":
        emit_data(rows.write_ndjson())
    else:
        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        emit_data(buffer.getvalue())
    _warn(problems)


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
    rows = []
    for each in tables:
        mib = [f"{size / MIB:,.1f}" for size in (each.file_bytes + each.batch_bytes, each.batch_bytes)]
        rows.append([each.table, f"{each.first:%Y-%m-%d %H:%M}", *mib, f"{each.files + each.batches:,}"])
    emit(draw_text(columns, rows, terminal(), indent=2))


def _warn(problems: tuple[str, ...]) -> None:
    for problem in problems:
        typer.echo(f"warning: {problem}", err=True)


def _absolute(url: str) -> str:
    return url if "://" in url or url == OFF else str(Path(url).expanduser().absolute())


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
