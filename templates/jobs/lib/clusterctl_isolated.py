"""A shell script in bubblewrap: a working folder that it may change, the system and named folders to read, no network.

For harnesses that need their own Python packages beside the programs they run; single programs go to the sandboxes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/passwd", "/opt")
MOST_PROCESSES = 512
MOST_FILE_KIB = 1 << 20


@dataclass(frozen=True)
class Ended:
    """How a script ended."""

    exit_code: int | None
    """None: it was ended at its time limit."""
    output: str
    """stdout and stderr in one stream, as they came."""


def arguments(
    work: Path, there: str, *, readable: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> list[str]:
    """bubblewrap's arguments: `work` is seen as `there`, `readable` folders where they are."""
    found = shutil.which("bwrap")
    if found is None:
        raise SystemExit("bubblewrap is missing on this node (Debian: apt-get install bubblewrap)")
    words = [found, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for folder in SYSTEM:
        words += ["--ro-bind-try", folder, folder]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for folder in readable:
        words += ["--ro-bind", folder, folder]
    words += ["--bind", str(work), there, "--chdir", there]
    known = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}
    for name, value in (known | dict(environment or {})).items():
        words += ["--setenv", name, value]
    return words


def run_script(
    script: str,
    work: Path,
    *,
    there: str = "",
    seconds: float,
    memory_gib: float = 4.0,
    readable: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a bash script.  Raises SystemExit without bubblewrap."""
    words = arguments(work, there or str(work), readable=readable, environment=environment)

    limits = f"ulimit -c 0 -f {MOST_FILE_KIB} -v {int(memory_gib * 2**20)} -u {MOST_PROCESSES}\n"
    with subprocess.Popen(
        [*words, "bash", "-c", limits + script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            code = None
    return Ended(exit_code=code, output=output.decode(errors="replace"))
