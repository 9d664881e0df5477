"""`clusterctl sandbox`: run untrusted programs."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.json_text import json_text
from clusterctl.sandbox.isolation import Isolation
from clusterctl.specfile.yaml_file import read_bytes
from clusterctl.ui.streams import emit_data

app = typer.Typer(help="Run untrusted programs.", no_args_is_help=True)

EXIT_CODES = {"time limit": 124, "memory limit": 137, "output limit": 153, "compile failed": 1}
"""A program that did not end by itself; else its own exit code."""

Memory = Annotated[int, Option("--memory-mib", min=16, help="Memory of one program and its files, in MiB.")]
Unsafe = Annotated[bool, Option("--unsafe-no-sandbox", help="Run programs unprotected: they can do whatever you can.")]

MAX_BYTES = 64 << 20
"""Of a program and of what it reads, as the server takes them."""


@app.command()
def serve(
    *,
    host: Annotated[str, Option(help="Address to listen on; a token is required unless it is loopback.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    workers: Annotated[int | None, Option(min=1, help="Concurrent sandboxes (default: twice the CPUs).")] = None,
    queue: Annotated[int, Option(min=0, help="Maximum number of waiting requests; more get HTTP 504.")] = 1000,
    token_file: Annotated[Path | None, Option(help="File with the token that clients must send.")] = None,
    memory_mib: Memory = 1024,
    unsafe_no_sandbox: Unsafe = False,
) -> None:
    """Serve SandboxFusion's interface (POST /run_code) until stopped; prints its address."""
    from clusterctl.access import read_token
    from clusterctl.sandbox.sandbox_server import SandboxServer
    from clusterctl.sandbox.verdict import Policy

    token = read_token(token_file)
    address, isolation, policy = (host, port), _isolation(unsafe_no_sandbox), Policy(memory_mib=memory_mib)
    workers = workers or 2 * (os.cpu_count() or 1)
    with SandboxServer(address, isolation, policy, workers=workers, queue=queue, token=token) as server:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        typer.echo(f"http://{f'[{host}]' if ':' in host else host}:{server.port}")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)


@app.command()
def run(
    file: Annotated[str, Argument(help="The program's source, or - for stdin.", show_default=False)],
    *,
    language: Annotated[
        str | None, Option(help="python, cpp, bash, nodejs, go, rust or java; default: by the file name.")
    ] = None,
    stdin: Annotated[Path | None, Option(help="File that the program reads as its stdin.")] = None,
    time_limit: Annotated[float, Option(min=0.01, help="Time limit in seconds.")] = 10.0,
    memory_mib: Memory = 1024,
    unsafe_no_sandbox: Unsafe = False,
    as_json: Annotated[bool, Option("--json", help="Print verdict and output as JSON.")] = False,
) -> None:
    """Run one program; exit with its exit code, 124 after the time limit, 137 after the memory limit."""
    from clusterctl.sandbox.program import run_program
    from clusterctl.sandbox.verdict import Policy, ProgramRequest, Status

    code = read_bytes(file, max_bytes=MAX_BYTES).decode(errors="surrogateescape")
    given = b"" if stdin is None else read_bytes(stdin, max_bytes=MAX_BYTES)
    request = ProgramRequest(language=_language(language, file), code=code, stdin=given, run_seconds=time_limit)
    isolation = _isolation(unsafe_no_sandbox)
    verdict = run_program(request, Policy(memory_mib=memory_mib, max_seconds=max(time_limit, 60.0)), isolation)
    if verdict.status is Status.SANDBOX_ERROR:
        raise ClusterctlError(f"the program was not run: {verdict.message}")
    last = verdict.run or verdict.compile
    if as_json:
        typer.echo(json_text({**asdict(verdict), "weaker": isolation.weaker}, indent=2))
    elif last is not None:
        emit_data(last.stdout)
        emit_data(last.stderr, sys.stderr)
    ended_by_itself = verdict.status is Status.FINISHED and last is not None
    if not ended_by_itself and not as_json:
        typer.echo(f"sandbox: {verdict.status.value}", err=True)
    raise typer.Exit((last.exit_code or 0) if ended_by_itself and last else EXIT_CODES[verdict.status.value])


@app.command()
def bench(
    *,
    seconds: Annotated[float, Option(min=0.1, help="Time for each measurement.")] = 2.0,
    concurrency: Annotated[
        int | None, Option(min=1, help="Measure only this concurrency (default: 1 to twice the CPUs).")
    ] = None,
    runs: Annotated[int, Option(min=0, help="Then run this many programs and check for leftovers.")] = 0,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure sandbox starts against bare bubblewrap; write a profile for plans."""
    from clusterctl.sandbox.bench import bench_report

    bench_report(_isolation(unprotected=False), seconds=seconds, concurrency=concurrency, runs=runs, as_json=as_json)


def _isolation(unprotected: bool) -> Isolation:
    """The mechanism; offers to install a better one on a terminal, and says what a weaker one lacks."""
    from clusterctl.sandbox.isolation import find_isolation, offer_bubblewrap

    watched = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))  # None: closed
    if not unprotected and watched:
        offer_bubblewrap(lambda question: typer.confirm(question, default=True, err=True))
    isolation = find_isolation(unprotected=unprotected)
    if isolation.weaker:
        typer.echo(f"warning: {isolation.name}: {isolation.weaker}", err=True)
    return isolation


def _language(said: str | None, file: str) -> str:
    """What is said, or what the file is called like; else Python.  Raises SpecError for what nobody knows."""
    from clusterctl.sandbox.languages import LANGUAGES
    from clusterctl.specfile.spec_errors import nearest

    if said is not None and said not in LANGUAGES:
        raise SpecError(
            f"--language {said} is unknown{nearest(said, LANGUAGES)}", hint=f"one of {', '.join(LANGUAGES)}"
        )
    by_suffix = {Path(one.source).suffix: name for name, one in LANGUAGES.items()}
    return said or by_suffix.get(Path(file).suffix, "python")
