"""What is asked of the sandbox, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from clusterctl.errors import SpecError
from clusterctl.sandbox.languages import LANGUAGES

MAX_FILES = 200
"""Files of one request: each is an open descriptor while its sandbox starts."""
MAX_FETCHED_FILES = 2000
"""Of one sandbox: a compiler of Java may leave one for each class."""
MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATHS_BYTES = 255, 1024, 32 << 10
"""Of one part of a path (the kernel's NAME_MAX), of a path, and of all paths: they go onto a command line."""


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
    """What it may write below /tmp, its working folder."""
    fetch_mib: int = 32
    """The most that is fetched from it: a compiled program, or the files that are asked for."""
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
        names = (*self.files, *self.fetch)
        if len(names) > MAX_FILES:
            raise SpecError(f"more than {MAX_FILES} files", hint="pack them into one archive")
        if sum(len(name.encode(errors="replace")) for name in names) > MAX_PATHS_BYTES:
            raise SpecError(
                f"paths of more than {MAX_PATHS_BYTES >> 10} KiB together", hint="pack them into one archive"
            )
        for name in names:
            if (why := why_no_path(name)) is not None:
                raise SpecError(f"{name[:100]!r} {why}", hint="write it like `data/in.txt`")
        language = LANGUAGES.get(self.language)
        files = {*self.files, *((language.source, language.artifact) if language else ())}
        for folder in (str(parent) for name in files for parent in PurePosixPath(name).parents):
            if folder in files:
                raise SpecError(f"{folder[:100]!r} is a file and a folder")


def why_no_path(name: str) -> str | None:
    """What keeps `name` from being a plain relative path, of a request or of an answer; None when it is one."""
    parts = name.split("/")
    if re.search("[\0-\x1f\x7f\ud800-\udfff]", name) or name[:1] in ("", "/", "-") or {"", ".", ".."} & set(parts):
        return "is no path inside the working folder"
    if len(name.encode()) > MAX_PATH_BYTES or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return f"is too long: at most {MAX_NAME_BYTES} bytes for a name, {MAX_PATH_BYTES} for a path"
    return None


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
