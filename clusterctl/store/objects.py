"""Objects under keys, in a folder.  Each is written whole or not at all, and never changed."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PART = ".part"
"""Ends the name of what is still being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object that is there."""

    key: str
    size_bytes: int
    modified: datetime


class Objects(Protocol):
    """A folder or a bucket.  Every method raises OSError when it can't be reached."""

    where: str
    """For messages: a path or a URL, without secrets."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The objects whose key starts with this folder, in any order."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """Names of what lies directly in this folder."""
        ...

    def put(self, key: str, content: bytes, *, new: bool = False) -> bool:
        """Write; with `new`, False when it is there already (and it stays as it was)."""
        ...

    def local(self, key: str) -> Path:
        """A file with the content.  Raises FileNotFoundError when it is gone."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove; what is gone already is fine."""
        ...


class Folder:
    """A folder of this machine, or one that it mounts."""

    def __init__(self, root: Path) -> None:
        self.root, self.where = root, str(root)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The objects whose key starts with this folder, in any order."""
        for folder, _, names in os.walk(self.root / prefix):
            for name in names:
                path = Path(folder, name)
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue  # a compaction removed it meanwhile
                modified = datetime.fromtimestamp(stat.st_mtime, tz=UTC)
                yield Entry(key=str(path.relative_to(self.root)), size_bytes=stat.st_size, modified=modified)

    def folders(self, prefix: str) -> list[str]:
        """Names of what lies directly in this folder."""
        try:
            return sorted(item.name for item in (self.root / prefix).iterdir())
        except FileNotFoundError:
            return []

    def put(self, key: str, content: bytes, *, new: bool = False) -> bool:
        """Write beside it, flush to the disk, then rename."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")
        try:
            with part.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            if new:
                path.hardlink_to(part)  # unlike a rename, it fails where something is
            else:
                part.replace(path)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
        _sync(path.parent)
        return True

    def local(self, key: str) -> Path:
        """The file itself."""
        return self.root / key

    def delete(self, keys: Iterable[str]) -> None:
        """Remove; folders that become empty go too."""
        for key in keys:
            path = self.root / key
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or any(folder.iterdir()):
                    break
                folder.rmdir()


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
