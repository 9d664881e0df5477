"""A shell in a place: run a script with a time limit; read, write and list files by it.

Whoever can run a script there (`LocalShell`, `SshShell`, an exec into a pod) has the rest from `Shell`.
"""

from __future__ import annotations

import contextlib
import math
import os
import pwd
import shlex
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.targets.base import Unreachable

FILE_SECONDS = 30.0
"""For a file to be read, written or listed."""
CONNECT_SECONDS = 10
MOST_BYTES = 64 << 20
"""Of a file, read at once."""
SSH_FAILED = 255
"""Exit code by which ssh says that it could not run anything; a script must not end with it."""
FULL = ("No space left on device", "Disk quota exceeded")
TAR_ENDS = "Exiting with failure status due to previous errors"
"""What tar says after the reason."""
TIMED_OUT = 124
"""Exit code of coreutils' timeout for a command that it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a script has done."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Its output."""
        return self.stdout.decode("utf-8", "replace")


class Shell(ABC):
    """Bash in a place.  Every method raises Unreachable where the place does not answer in time."""

    name: str
    """The place as messages call it: a host, `this machine`."""
    _ends = math.inf
    """Of what is asked now, by the monotonic clock."""

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All that is asked in this block, together, ends within so many seconds."""
        before, self._ends = self._ends, min(self._ends, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._ends = before

    def allowed(self, seconds: float) -> float:
        """Of so many seconds those that are left to a call.  Raises Unreachable where none is."""
        left = min(seconds, self._ends - time.monotonic())
        if left <= 0:
            raise Unreachable(f"{self.name} can't be asked: it answers too slowly")
        return left

    @abstractmethod
    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run a bash script, which reads `stdin`, and wait for its end, at most so many seconds."""

    def must(self, script: str, *, seconds: float, stdin: bytes = b"", what: str) -> str:
        """Output of a script that must succeed.  Raises ClusterctlError, which says what could not be done and why."""
        ran = self.run(script, seconds=seconds, stdin=stdin)
        if ran.exit_code != 0:
            why = [line for line in (ran.stderr.strip() or ran.text.strip()).splitlines() if TAR_ENDS not in line]
            full = next((line for line in why if any(words in line for words in FULL)), "")
            text = full or (why[-1] if why else f"exit code {ran.exit_code}")
            raise ClusterctlError(f"{self.name}: {what}: {text}", hint=f"make room on {self.name}" if full else None)
        return ran.text

    def read(self, path: str, *, offset: int = 0, most: int = MOST_BYTES) -> bytes | None:
        """Bytes of a file from an offset on, at most so many; None where there is no such file."""
        file = shlex.quote(path)
        script = f"[ -f {file} ] || exit 44; exec <{file} || exit 45; tail -c +{offset + 1} | head -c {most}"
        ran = self.run(script, seconds=FILE_SECONDS)
        if ran.exit_code not in {0, 44}:
            raise ClusterctlError(f"{self.name}: {path} can't be read: {ran.stderr.strip()}")
        return ran.stdout if ran.exit_code == 0 else None

    def write(self, path: str, content: bytes) -> None:
        """Replace a file, readable by its owner alone, whole or not at all; its folder is made.

        A connection that is cut in the middle leaves the old one.  Raises ClusterctlError.
        """
        folder, file = shlex.quote(os.path.dirname(path) or "."), shlex.quote(path)  # noqa: PTH120 - a path elsewhere
        script = f"""umask 077; mkdir -p {folder} && part=$(mktemp {folder}/.part.XXXXXXXX) || exit 1
trap 'rm -f "$part"' EXIT
cat >"$part" && [ "$(wc -c <"$part")" -eq {len(content)} ] || {{ echo "it was cut, or the disk is full" >&2; exit 1; }}
mv -f "$part" {file}"""
        self.must(script, seconds=FILE_SECONDS, stdin=content, what=f"{path} can't be written")

    def list(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file of a folder, by its name; empty where there is no such folder."""
        where = shlex.quote(folder)
        script = f"[ -d {where} ] || exit 0; find {where} -mindepth 1 -maxdepth 1 -type f -printf '%s %f\\0'"
        found = self.must(script, seconds=FILE_SECONDS, what=f"{folder} can't be listed").split("\0")
        sizes = (entry.partition(" ") for entry in found if entry)
        return {name: int(size) for size, _, name in sizes}


class LocalShell(Shell):
    """Bash on this machine."""

    name = "this machine"

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run it in a session of its own, which ends with its time."""
        return _run(["bash", "-c", script], stdin, seconds=self.allowed(seconds), name=self.name)


class SshShell(Shell):
    """Bash on a host, over one connection that is kept for a minute.  Asks for nothing: keys, an agent or Kerberos.

    host: as an ssh configuration names it; config: that configuration, by default the user's.
    """

    def __init__(self, host: str, config: Path | None = None) -> None:
        self.name, self._config = host, config

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        """Run it there.  Raises Unreachable with ssh's own reason."""
        # the script comes before its input, so that no other login shell must understand it, and no `ps` shows it
        sent, seconds = script.encode(), self.allowed(seconds)
        there = f"timeout -k 5 {max(seconds, 1):.0f} bash -c 'eval \"$(head -c {len(sent)})\"'"
        ran = _run([*self._ssh(), there], sent + stdin, seconds=seconds + CONNECT_SECONDS, name=self.name)
        if ran.exit_code == SSH_FAILED:
            raise Unreachable(f"{self.name} can't be reached: {_reason(ran.stderr)}", hint=self._hint(ran.stderr))
        if ran.exit_code == TIMED_OUT:
            raise Unreachable(f"{self.name} can't be asked: no answer within {seconds:.0f} s")
        return ran

    def _ssh(self) -> Sequence[str]:
        kept = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".ssh"  # as ssh reads ~; a path that is short enough
        with contextlib.suppress(OSError):
            kept.mkdir(mode=0o700, exist_ok=True)
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": CONNECT_SECONDS,
            "ServerAliveInterval": 5,
            "ServerAliveCountMax": 3,
            "Compression": "yes",
            "ControlMaster": "auto" if os.access(kept, os.W_OK) else "no",
            "ControlPath": kept / "cctl-%C",
            "ControlPersist": 60,
        }
        config = ["-F", str(self._config)] if self._config is not None else []
        return ["ssh", "-T", *config, *(f"-o{name}={value}" for name, value in options.items()), "--", self.name]

    def _hint(self, stderr: str) -> str:
        config = f"-F {self._config} " if self._config is not None else ""
        if "Host key verification failed" in stderr or "Permission denied" in stderr:
            return f"`ssh {config}{self.name}` must work without a question"
        return f"nothing was changed; try `ssh {config}{self.name}`, then repeat the command"


def _reason(stderr: str) -> str:
    """The line by which ssh says why: the last one that is no banner's."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    known = [line for line in lines if line.startswith(("ssh:", "Connection", "Host key", "kex_", "client_loop"))]
    denied = [line for line in lines if "Permission denied" in line]
    return (denied or known or lines or ["ssh gave no reason"])[-1].removeprefix("ssh: ")[:300]


def _run(command: Sequence[str], stdin: bytes, *, seconds: float, name: str) -> Ran:
    """Run a command here.  Raises Unreachable where it does not end in time, or can't be started."""
    with tempfile.TemporaryFile() as stderr:  # no pipe: a connection that stays open in the background holds it
        try:
            process = subprocess.Popen(  # noqa: S603 - bash or ssh
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            raise Unreachable(f"{name} can't be asked: {command[0]}: {error.strerror}") from error
        try:
            stdout, _ = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{name} can't be asked: no answer within {seconds:.0f} s") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        stderr.seek(0)
        return Ran(exit_code=process.returncode, stdout=stdout, stderr=stderr.read().decode("utf-8", "replace"))
