"""The process that runs the Pulumi program: started for one request, ended with all that it has started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from clusterctl.errors import Interrupted
from clusterctl.fleet.errors import FleetError
from clusterctl.json_text import json_text
from clusterctl.paths import bundle_root

MARK = "CLUSTERCTL_FLEET_WORK"
"""In the environment of everything that works on a fleet: the folder of its work.  By it what is left over is found."""
PYTHON = "CLUSTERCTL_PULUMI_PYTHON"
"""Names the Python of another environment that has `clusterctl[pulumi]`: Pulumi takes half a gigabyte."""
NOT_OURS = ("PULUMI_STACK", "PULUMI_BACKEND_URL", "PULUMI_HOME", "PYTHONWARNINGS")
"""Said by us; who uses Pulumi for other things may have set them.  As errors, warnings of Pulumi's packages end it."""
GRACE_SECONDS = 20.0
"""For what works on a fleet for nobody any more; a plugin of a killed engine ends by no signal but the last."""


def ask(request: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """What the program says to a request, as it comes.  The last has `result` or `error`.

    Ctrl-C lets it end what is in flight; a second one kills it.  Raises Interrupted, and FleetError where it dies.
    """
    folder = Path(request["work_dir"])
    command = [os.environ.get(PYTHON) or sys.executable, "-P", "-m", "infra.automation"]
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(bundle_root()), MARK: str(folder), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for us
        )
    assert child.stdin is not None
    assert child.stdout is not None
    with _ended(child):
        with suppress(BrokenPipeError):  # it has died, which is said below
            child.stdin.write(json_text(request) + "\n")
            child.stdin.flush()
        answered = False
        for line in _lines(child, child.stdout):
            answered = answered or "result" in line or "error" in line
            yield line
        if not answered:
            said = (folder / "log.txt").read_text("utf-8", errors="replace").strip().splitlines()
            detail = f": {said[-1]}" if said else ""
            raise FleetError(
                f"the process that runs the Pulumi program has died{detail}",
                hint=f"the same command again goes on from there; its log is {folder / 'log.txt'}",
            )


def _lines(child: subprocess.Popen[str], stdout: IO[str]) -> Iterator[Mapping[str, Any]]:
    interrupted = False
    while True:
        try:
            line = stdout.readline()
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            assert child.stdin is not None
            child.stdin.close()  # it ends what is in flight
            continue
        if not line:
            break
        said = {}
        with suppress(ValueError):
            said = json.loads(line)
        if said and not (interrupted and "error" in said):
            yield said
    if interrupted:
        raise Interrupted(
            "stopped; what was begun has ended or is noted", hint="the same command again goes on from there"
        )


@contextmanager
def _ended(child: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever happens, nothing of it stays: it ends what is in flight, or is killed."""
    try:
        yield
    finally:
        assert child.stdin is not None
        with suppress(BrokenPipeError):
            child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def end_leftovers(folder: Path) -> int:
    """Ends what still works on a fleet for a command that has died; how many processes.

    Who holds the fleet's lock calls this: no other command of this machine works on it.
    """
    found = [process for process in psutil.process_iter() if _works_on(process, folder)]
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=GRACE_SECONDS if found else 0)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return len(found)


def _works_on(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
