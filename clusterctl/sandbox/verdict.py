"""What is asked of the sandbox, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from clusterctl.errors import SpecError

MAX_FILES = 200
"""Files of one request: each is an open descriptor while its sandbox starts."""


class Status(StrEnum):
    """How a program ended."""

    FINISHED = "finished"
    COMPILE_FAILED = "compile failed"
    TIME_LIMIT = "time limit"
    MEMORY_LIMIT = "memory limit"
    OUTPUT_LIMIT = "output limit"
    SANDBOX_ERROR = "sandbox error"
    """It could not be started: no fault of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What every program may use at most, whatever its request says."""

    memory_mib: int = 1024
    """Of all its processes together, with the files it writes: they live in memory."""
    disk_mib: int = 256
    """What it may write below /tmp, its working folder; also the most that is fetched from it."""
    output_mib: int = 8
    """Of stdout and of stderr, each; it is killed when it writes more."""
    max_processes: int = 128
    """Threads count."""
    max_open_files: int = 256
    max_seconds: float = 60.0
    """Wall time of compiling and of running, each; one process may use twice as many CPU seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRequest:
    """One program.  Raises SpecError for too many files, or paths that aren't relative to its working folder."""

    language: str
    code: str
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    fetch: tuple[str, ...] = ()
    """Files to hand back after the run."""
    compile_seconds: float = 10.0
    run_seconds: float = 10.0
    memory_mib: int | None = None
    """None: as much as the policy allows."""

    def __post_init__(self) -> None:
        if len(self.files) + len(self.fetch) > MAX_FILES:
            raise SpecError(f"more than {MAX_FILES} files", hint="pack them into one archive")
        for name in (*self.files, *self.fetch):
            if not name or {"\0", "\n"} & set(name) or name[0] in "/-" or {"", ".", ".."} & set(name.split("/")):
                raise SpecError(f"{name!r} is no path inside the working folder", hint="write it like `data/in.txt`")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One sandbox: the compiler's or the program's."""

    status: Status
    exit_code: int | None
    """128 + N: killed by signal N.  None: stopped by a limit, or never started."""
    stdout: bytes
    stderr: bytes
    start_seconds: float
    """From asking for the sandbox until the program began; not charged to the program."""
    wall_seconds: float
    cpu_seconds: float | None
    """Includes a few ms of the sandbox's own.  None: stopped, so that nobody waited for its processes."""
    peak_memory_mib: float | None
    """Sampled after 20 ms and then every 40 to 100 ms; None: gone before the first sample."""
    files: Mapping[str, bytes]

    @property
    def ok(self) -> bool:
        """It ended by itself and says it succeeded."""
        return self.status is Status.FINISHED and self.exit_code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a program.  `run` is None when it did not compile; `message` says why the sandbox failed."""

    status: Status
    compile: PhaseResult | None = None
    run: PhaseResult | None = None
    isolation: str
    message: str = ""
