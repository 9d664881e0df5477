"""Files that a job, or whoever wrote them, can have made into anything: gone, a folder, a pipe, endless, not text.

`read_limited` raises an OSError for what it does not read.  To the readers of what jobs write none of that is an error:
what can't be read is empty.  A writer gets an OSError and never waits.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOST_LINE_BYTES = 1 << 21
"""A longer line comes in pieces, so that no line fills the memory."""


PIPE_IDLE_SECONDS, PIPE_SECONDS = 10.0, 60.0
"""So long a pipe may send nothing, and may take to end: `clusterctl plan <(generate-spec)`."""
CHUNK_BYTES = 1 << 20


def read_limited(path: str | Path, max_bytes: int, *, pipe: bool = False) -> bytes:
    """All of a file.  Raises OSError, whose `strerror` says why: it is absent, a device, larger than `max_bytes`, …

    pipe: a pipe may stand for it, which may be silent for PIPE_IDLE_SECONDS, and ends within PIPE_SECONDS; else only a
    regular file will do.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, f"it has no name of a file: {error}") from error
    try:
        status, deadline, content = os.fstat(file), time.monotonic() + PIPE_SECONDS, bytearray()
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or (pipe and stat.S_ISFIFO(mode))):
            raise OSError(errno.EINVAL, "it is no regular file")
        while len(content) <= max_bytes and status.st_size <= max_bytes:
            if stat.S_ISFIFO(mode):
                _wait_for(file, deadline)
            chunk = os.read(file, min(CHUNK_BYTES, max_bytes + 1 - len(content)))
            if not chunk:
                return bytes(content)
            content += chunk
        raise too_large(max_bytes)
    finally:
        os.close(file)


def _wait_for(pipe: int, deadline: float) -> None:
    """Wait until a pipe has something, or its writers are gone."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    if not waiting.poll(max(min(deadline - time.monotonic(), PIPE_IDLE_SECONDS), 0) * 1000):
        most = f"{PIPE_IDLE_SECONDS:.0f} s, or has not ended within {PIPE_SECONDS:.0f} s"
        raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe that sent nothing for {most}")


def too_large(max_bytes: int, what: str = "it") -> OSError:
    """The error for what is larger than its limit."""
    limit = f"{max_bytes >> 20:,} MiB" if max_bytes > 1 << 20 else f"{max_bytes >> 10:,} KiB"
    return OSError(errno.EFBIG, f"{what} is larger than {limit}, the most that is read")


MOST_GROWTH = 200
"""Zeros grow a thousand times when unpacked; bills and price lists, as repetitive as they are, 10 to 60 times."""
FREE_GROWTH_BYTES = 32 << 20
"""So large anything may become."""


def gunzip(content: bytes, max_bytes: int) -> bytes:
    """What gzip has packed, of one or more members.  Raises OSError for what is damaged, larger than `max_bytes` when
    unpacked, or grows MOST_GROWTH times: a bomb."""
    most = min(max_bytes, max(MOST_GROWTH * len(content), FREE_GROWTH_BYTES))
    whole = bytearray()
    while content:
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            whole += member.decompress(content, most + 1 - len(whole))
        except zlib.error as error:
            raise OSError(errno.EINVAL, "it is damaged: its gzip can't be unpacked") from error
        if len(whole) > most:
            raise too_large(most, "unpacked it")
        if not member.eof:
            raise OSError(errno.EINVAL, "it is cut off: its gzip has no end")
        content = member.unused_data.lstrip(b"\0")
    return bytes(whole)


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


def replace_synced(file: Path, content: bytes) -> None:
    """Write the file anew, whole or not at all, and wait for the disk.  Raises OSError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def link_over(source: Path, target: Path) -> None:
    """Give the file a second name, whatever has that name.  Raises OSError."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    part.hardlink_to(source)
    part.replace(target)
