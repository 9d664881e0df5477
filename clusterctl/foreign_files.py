"""Files that a job can have made into anything: gone, a folder, a pipe, endless, not text.

None of that is an error to a reader: what can't be read is empty.  A writer gets an OSError and never waits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_LINE_BYTES = 1 << 21
"""A longer line comes in pieces, so that no line fills the memory."""


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """The descriptor of a regular file to read from, or None: never waits for a pipe, never raises."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        yield None
        return
    try:
        yield file if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)


def read_lines(path: Path, since_byte: int) -> Iterator[tuple[int, bytes]]:
    """(position after it, line) of each whole line from `since_byte` on; nothing where the file can't be read."""
    with opened(path) as file:
        if file is None or since_byte > os.fstat(file).st_size:
            return
        with os.fdopen(os.dup(file), "rb") as lines:
            try:
                lines.seek(since_byte)
                while line := lines.readline(MOST_LINE_BYTES):
                    if not line.endswith(b"\n") and len(line) < MOST_LINE_BYTES:
                        return
                    since_byte += len(line)
                    yield since_byte, line
            except OSError:
                return


def read_tail(path: Path, num_bytes: int) -> str:
    """The last bytes of a file as text; empty where it can't be read."""
    with opened(path) as file:
        if file is None:
            return ""
        try:
            os.lseek(file, max(os.fstat(file).st_size - num_bytes, 0), os.SEEK_SET)
            return os.read(file, num_bytes).decode("utf-8", "replace")
        except OSError:
            return ""


def append(path: Path, content: bytes) -> None:
    """Add to a regular file, made if need be.  Raises OSError for anything else, and never waits for a pipe."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(f"{path} is no file")
        os.write(file, content)
    finally:
        os.close(file)


def replace_whole(path: Path, content: bytes) -> None:
    """Write the file anew, whole or not at all; not worth waiting for the disk.  Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    append(part, content)
    part.replace(path)
