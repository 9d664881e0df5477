"""Runs one Pulumi program for language_host.py: `python run_program.py ENGINE`, the engine's request on the standard input."""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pulumi
from pulumi.errors import RunError
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import language_pb2

SAID_ITSELF = 32


def main() -> int:
    """The program's exit code."""
    request = language_pb2.RunRequest()
    request.ParseFromString(sys.stdin.buffer.read())
    folder = Path(request.info.program_directory or request.pwd)
    program = folder / (request.info.entry_point or ".") / "__main__.py"
    sys.path[0], sys.argv = str(program.parent), [str(program), *request.args]
    reset_options(
        project=request.project,
        stack=request.stack,
        monitor_address=request.monitor_address,
        engine_address=ENGINE,
        parallel=request.parallel,
        preview=request.dryRun,
        organization=request.organization or "organization",
    )
    set_all_config(dict(request.config), list(request.configSecretKeys))
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=max(request.parallel, 1) * 4))
    try:
        loop.run_until_complete(run_in_stack(lambda: runpy.run_path(str(program), run_name="__main__")))
    except RunError as error:
        pulumi.log.error(str(error))
        return SAID_ITSELF
    except Exception:  # noqa: BLE001 - whatever a program does
        pulumi.log.error(f"the program failed:\n{traceback.format_exc()}")
        return SAID_ITSELF
    return 0


ENGINE = sys.argv[1]
code = main()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # threads of gRPC would hold it
