"""`clusterctl dashboard`: starts the Streamlit program, finds it again, stops it."""

from __future__ import annotations

import contextlib
import signal
from typing import Annotated

import typer
from typer import Option

from clusterctl.access import is_loopback
from clusterctl.dashboard import server
from clusterctl.json_text import json_text
from clusterctl.paths import user_data_dir

STOP = "clusterctl dashboard --stop"


def dashboard(
    *,
    host: Annotated[str, Option(help="Address to listen on; a login is required unless it is loopback.")] = "127.0.0.1",
    port: Annotated[int | None, Option(min=1, max=65535, help="Port (default: 8501, or the next free one).")] = None,
    sample: Annotated[bool, Option("--sample", help="Show the recorded day of a simulated run.")] = False,
    background: Annotated[bool, Option("--background", help="Run in the background; print how to stop it.")] = False,
    stop: Annotated[bool, Option("--stop", help="Stop the dashboard of this data folder.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show runs, money, GPUs and sandboxes in a browser."""
    folder = server.DashboardFolder(user_data_dir() / "dashboard")
    if stop:
        stopped = server.stop(folder)
        said = f"stopped the dashboard at {stopped.url}" if stopped else "no dashboard runs"
        typer.echo(json_text({"stopped": stopped.url if stopped else None}) if as_json else said)
        return
    if sample:
        from clusterctl.dashboard.sample import ensure_sample

        ensure_sample(user_data_dir())
    opened, new = server.start(folder, host=host, port=port, sample=sample)
    if as_json:
        typer.echo(json_text({"url": opened.url, "started": new, "stop": STOP}))
    else:
        typer.echo(opened.url)
        typer.echo(
            f"{'runs' if new else 'ran already'}; `{STOP}` stops it" if background or not new else "Ctrl-C stops it",
            err=True,
        )
    if opened.url.startswith("http:") and not is_loopback(host):
        typer.echo("put a TLS proxy in front of it: http:// sends figures and cookies unencrypted", err=True)
    if new and not background:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.follow(opened)
        server.stop(folder)
