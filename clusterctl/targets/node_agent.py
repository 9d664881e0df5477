"""Runs a rank of a role and, beside it, the agent that measures its node: `python3 node_agent.py FOLDER ATTEMPT`.

Started by path, on Python 3.9 or newer alone, like `rank.py`, which lies beside it.  FOLDER's `job.json` names the
agent's command; without one this process becomes the rank.  An agent is there before its role is set up, sees the GPUs
that the role sees, and ends after it.  Of several of a run with the same GPUs one measures, the others wait.  A rank
never waits for an agent, and never fails with it: what an agent says is in `logs/telemetry.NODE.log`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 8.0
"""For an agent to write its last rows: it takes 5 s at most."""
SET_PARENT_DEATH_SIGNAL = 1  # of prctl


def main() -> int:
    """Runs the rank that the environment names, to its end; its exit code."""
    folder = Path(sys.argv[1])
    rank = [sys.executable, str(Path(__file__).with_name("rank.py")), *sys.argv[1:]]
    try:
        job = json.loads((folder / "job.json").read_text("utf-8"))
        home = _node_folder(job["run_folder"]) if job.get("agent") else None
    except (OSError, ValueError, KeyError):
        home = None
    if home is None:
        os.execv(rank[0], rank)  # noqa: S606 - our own command, as a list
    told: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def tell(number: int, _: object) -> None:
        told.append(number)
        for child in children:
            child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    phases = {"CLUSTERCTL_PHASES": str(home / "phases.sock")}
    children.append(subprocess.Popen(rank, env={**os.environ, **phases}))  # noqa: S603 - our own command
    if told:
        children[0].send_signal(told[-1])
    agent = _agent(job, home)
    code = children[0].wait()
    if agent is not None:
        _end(agent)
    return 128 - code if code < 0 else code


def _agent(job: dict[str, Any], home: Path) -> subprocess.Popen[bytes] | None:
    """The agent, with its lock and its socket in a folder of this node; None where it can't be started."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    environment = {**os.environ, **job["environment"], "CLUSTERCTL_HOME": str(home), "CLUSTERCTL_NODE": node}
    logs = Path(job["run_folder"]) / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"telemetry.{node}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - as a list
                ["bash", "-c", job["agent"]],  # noqa: S607
                env=environment,
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads
            )
    except OSError:
        return None


def _end(agent: subprocess.Popen[bytes]) -> None:
    """Ask it to write its last rows, and wait no longer than that takes."""
    agent.terminate()
    try:
        agent.wait(FLUSH_SECONDS)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()


def _node_folder(run_folder: str) -> Path | None:
    """A folder of this node that the ranks of a run with the same GPUs share; None where it is not ours.

    Its path is short: a socket lies in it.

    Raises OSError.
    """
    own = Path("/tmp") / f"clusterctl-{os.getuid()}"  # noqa: S108 - ours alone; TMPDIR may be too long for a socket
    with contextlib.suppress(FileExistsError):
        own.mkdir(mode=0o700)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        return None
    shared = f"{run_folder} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}"
    folder = own / f"agent-{zlib.crc32(shared.encode()):08x}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
