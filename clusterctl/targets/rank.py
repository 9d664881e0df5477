"""Runs one rank of a role in a place: `python3 rank.py FOLDER ATTEMPT`, started by path, on Python 3.9 or newer alone.

FOLDER is the role's, shared by its ranks and by whoever watches: `job.json` says what to run, `rank-N.json` how far
rank N is, `stop` asks all to end.  Of two attempts to start a role the one whose rank 0 comes first runs; the other
leaves.  The end of any rank ends all; so does the run's deadline, although nobody watches.
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
import time
import urllib.request
from pathlib import Path
from typing import Any

HELD, NOT_READY = 75, 78
"""Exit codes: another attempt runs the role; something that the job needs is missing."""
POLL_SECONDS = 1.0
BEAT_SECONDS = 5.0
LOST_SECONDS = 90.0
"""Without a sign of another rank: it is lost, and the gang ends."""
GRACE_SECONDS = 30.0
"""From the stop signal to KILL."""
DONE_SECONDS = 120.0
"""For the other ranks to end by themselves once one has done its work."""
ATTEMPT_SECONDS = 120.0
"""For rank 0 to say which attempt runs."""
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # of prctl


class Rank:
    """One rank, from its start to its end."""

    def __init__(self, folder: Path, attempt: str) -> None:
        self.folder, self.attempt = folder, attempt
        self.job: dict[str, Any] = json.loads((folder / "job.json").read_text("utf-8"))
        self.run = Path(self.job["run_folder"])
        seen = os.environ.get
        self.number = int(seen("CLUSTERCTL_NODE_RANK") or seen("SKYPILOT_NODE_RANK") or 0)
        addresses = (seen("CLUSTERCTL_NODE_ADDRESSES") or seen("SKYPILOT_NODE_IPS") or "127.0.0.1").split()
        self.head, self.address = addresses[0], addresses[min(self.number, len(addresses) - 1)]
        self.child: subprocess.Popen[bytes] | None = None
        self.asked_at: float | None = None
        self.why, self.ready, self.signalled, self.told = "", False, False, False
        """Told: it was asked to end, by us, the scheduler or a limit: then its exit code says nothing."""
        self._others: dict[int, tuple[float, float]] = {}
        """By rank: the last beat that was read, and when it was first seen, by our own clock."""
        place = {"host": socket.gethostname(), "address": self.address, "ports": self.job["ports"]}
        self._state = {"attempt": attempt, "role": self.job["role"], "started": time.time(), **place}

    def hold(self) -> int:
        """Runs the command to its end; the exit code."""
        if (self.folder / "stop").exists() or not self._takes_it():
            sys.stdout.write("this role runs already; not starting a second one\n")
            return HELD
        self._tell("starting")
        try:
            environment, code = self._environment(), 0
            if self.job["setup"] and (code := self._run(["bash", "-c", self.job["setup"]], environment)):
                self.why = self.why or f"setup ended with exit code {code}: {self._last_line()}"
            if self.asked_at is None and not code:
                code = self._run(self.job["command"], environment, serves=True)
        except (OSError, ValueError, KeyError) as error:
            self.why, code = str(error), NOT_READY
        self._end_family()
        self._tell("ended", exit_code=code, ended=time.time(), told=self.told, message=self.why or self._last_line())
        return code

    def _takes_it(self) -> bool:
        """Rank 0 of the first attempt decides which one runs; every rank of it runs once."""
        decided = self.folder / "attempt"
        if self.number == 0:
            with contextlib.suppress(FileExistsError):
                _create(decided, self.attempt)
        until = time.monotonic() + ATTEMPT_SECONDS
        while not (said := _read(decided)) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if said == self.attempt:
            with contextlib.suppress(FileExistsError):
                _create(self.folder / f"held-{self.number}", self.attempt)
                return True
        return False

    def _environment(self) -> dict[str, str]:
        """What the command sees.  Raises ValueError for a secret that the place does not have."""
        job = self.job
        (self.run / "checkpoints").mkdir(parents=True, exist_ok=True)
        secrets = {name: _secret(Path(job["secrets_folder"]), name) for name in job["secrets"]}
        own = {"CLUSTERCTL_NODE_RANK": str(self.number), "CLUSTERCTL_HEAD": self.head, "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **job["environment"], **secrets, **own}

    def _run(self, command: list[str], environment: dict[str, str], *, serves: bool = False) -> int:
        """A command in a session of its own, watched to its end."""
        with self._log().open("ab") as log:
            try:
                self.child = subprocess.Popen(  # noqa: S603 - what the run's plan says
                    command,
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads
                )
            except OSError as error:
                log.write(f"error: {command[0][:200]} can't be started: {error.strerror}\n".encode())
                return 127
        started, beat = time.monotonic(), 0.0
        while self.child.poll() is None:
            now = time.monotonic()
            became_ready = serves and not self.ready and self._answers()
            self.ready = self.ready or became_ready
            if became_ready or now - beat >= BEAT_SECONDS:
                beat = now
                self._tell("ending" if self.asked_at else "ready" if self.ready else "starting")
            self._end_if_told(now, started)
            time.sleep(POLL_SECONDS)
        code = self.child.returncode
        return 128 - code if code < 0 else code

    def _end_if_told(self, now: float, started: float) -> None:
        """Asks the command to end where it must, and kills it when it does not."""
        if self.asked_at is None:
            told = self._told_to_end(now, started)
            self.told, self.why = bool(told), told or self._lost_rank(now)
            if self.why:
                self.asked_at = now
                self._signal(getattr(signal, f"SIG{self.job['stop_signal']}", signal.SIGTERM))
        elif now - self.asked_at >= GRACE_SECONDS or _read(self.folder / "stop") == "now":
            self._signal(signal.SIGKILL)

    def _told_to_end(self, now: float, started: float) -> str:
        """Why the command was asked to end; empty while it was not."""
        if self.signalled or (self.folder / "stop").exists():
            return "it was asked to end"
        deadline, most = _read(self.run / "deadline"), self.job["max_seconds"]
        if deadline.isdigit() and time.time() >= int(deadline):
            return "the run's limit is reached"
        return f"it has run for {most:.0f} s, which is all it may" if most is not None and now - started >= most else ""

    def _lost_rank(self, now: float) -> str:
        """Which other rank has ended or is lost; empty where all live."""
        for number in set(range(self.job["nodes"])) - {self.number}:
            try:
                state = json.loads(_read(self.folder / f"rank-{number}.json") or "{}")
            except ValueError:
                continue
            beat, seen = self._others.get(number, (-1.0, now))
            if state.get("beat", 0.0) != beat:
                seen = now
                self._others[number] = (state.get("beat", 0.0), now)
            over, code = state.get("phase") == "ended", state.get("exit_code")
            if over and (code != 0 or now - seen >= DONE_SECONDS):
                return f"rank {number} has ended with exit code {code}"
            if not over and now - seen >= LOST_SECONDS:
                return f"rank {number} has given no sign of life for {LOST_SECONDS:.0f} s"
        return ""

    def _answers(self) -> bool:
        """Whether it is ready: it runs, or its first port answers 200."""
        path, ports = self.job["ready_path"], list(self.job["ports"].values())
        if not path or not ports or self.number != 0:
            return True
        with contextlib.suppress(OSError, ValueError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}{path}", timeout=2).status == 200)
        return False

    def _signal(self, number: int) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, number)

    def _end_family(self) -> None:
        """Whatever the command has left behind: its session, and orphans, which come to us."""
        self._signal(signal.SIGKILL)
        for _ in range(100):
            children = _read(Path(f"/proc/self/task/{os.getpid()}/children")).split()
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            if not children:
                return
            time.sleep(0.05)

    def _tell(self, phase: str, **more: object) -> None:
        """How far it is, whole or not at all; a full disk changes nothing."""
        row = {**self._state, "phase": phase, "beat": time.time(), **more}
        part = self.folder / f".rank-{self.number}.part"
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(row), "utf-8")
            part.replace(self.folder / f"rank-{self.number}.json")

    def _log(self) -> Path:
        logs = self.run / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs / (f"{self.job['slot']}.log" if self.number == 0 else f"{self.job['slot']}.rank{self.number}.log")

    def _last_line(self) -> str:
        with contextlib.suppress(OSError), self._log().open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 4096, 0))
            lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
            return (lines or [""])[-1][:200]
        return ""


def _read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text("utf-8", "replace").strip()
    return ""


def _create(file: Path, text: str) -> None:
    """A file that must not exist yet: atomic, also on network file systems.  Raises FileExistsError."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def _secret(folder: Path, name: str) -> str:
    """A secret, from the environment or from the place's folder of secrets.  Raises ValueError."""
    if value := os.environ.get(name) or _read(folder / name):
        return value
    raise ValueError(f"the secret {name} is not there: put its value into {folder / name}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def main() -> int:
    """Runs the rank that the environment names."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1)
    rank = Rank(Path(sys.argv[1]), sys.argv[2])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(rank, "signalled", True))
    return rank.hold()


if __name__ == "__main__":
    sys.exit(main())
