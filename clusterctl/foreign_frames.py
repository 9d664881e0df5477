"""Frames that others wrote.  A malformed Parquet file can make polars panic, which is no Exception, and even abort.

What we wrote ourselves has a checksum and is read in this process, `except UNREADABLE`.  What a person hands in is read
by a process of its own, with a limit of memory and time, which may end as it likes.
"""

from __future__ import annotations

import contextlib
import io
import resource
import subprocess
import sys
import tempfile

import polars as pl

UNREADABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading a frame raises, in this process."""
MAX_MEMORY_BYTES = 8 << 30
"""Of address space, of which polars reserves most and uses little."""
MAX_SECONDS = 120.0
MAX_FRAME_BYTES = 2 << 30


def read_foreign_parquet(content: bytes) -> pl.DataFrame:
    """The rows of a Parquet file.  Raises one of UNREADABLE; an OSError's `strerror` says why."""
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-P", "-m", "clusterctl.foreign_frames"]
        try:
            quiet = subprocess.DEVNULL
            done = subprocess.run(command, input=content, stdout=out, stderr=quiet, timeout=MAX_SECONDS, check=False)  # noqa: S603 - a list
        except subprocess.TimeoutExpired as error:
            raise OSError(0, f"it takes longer to read than {MAX_SECONDS:.0f} s") from error
        if done.returncode == TOO_LARGE:
            raise OSError(0, f"unpacked it is larger than {MAX_FRAME_BYTES >> 30} GiB, the most that is read")
        if done.returncode != 0:
            raise pl.exceptions.ComputeError("it is no whole Parquet file")
        out.seek(0)
        return pl.read_ipc(out)


TOO_LARGE = 3


def main() -> int:
    """Read Parquet from stdin, write it to stdout as Arrow IPC.  Returns the exit code."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MAX_MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(*UNREADABLE, MemoryError):
        frame = pl.read_parquet(io.BytesIO(sys.stdin.buffer.read()), use_statistics=False)
        if frame.estimated_size() > MAX_FRAME_BYTES:
            return TOO_LARGE
        frame.write_ipc(sys.stdout.buffer)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
