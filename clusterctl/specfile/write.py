"""Write a whole file or none: a reader never sees half of one, and a crash leaves the old one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from clusterctl.errors import ClusterctlError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` in one step: temporary file beside it, flushed to disk, then renamed.

    Keeps the old file's permissions; follows a symbolic link to the file behind it.  Raises ClusterctlError.
    """
    target = path.resolve() if path.is_symlink() else path
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise ClusterctlError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except OSError as error:
        raise ClusterctlError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
