"""Objects under keys, in a folder.  Each is written whole or not at all, and never changed."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

UNFINISHED = ".part"
"""Ends the name of a file that is still being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object that is there."""

    key: str
    size_bytes: int
    modified: datetime


class ObjectStore(Protocol):
    """A folder or a bucket.  Every method raises OSError when it can't be reached."""

    where: str
    """For messages: a path or a URL, without secrets."""
    spool: Folder | None
    """Where batches wait, on this machine's disk, for a bucket that does not answer."""

    def entries(self, prefix: str) -> list[Entry]:
        """The objects under this folder, in any order."""
        ...

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders that lie directly in this folder."""
        ...

    def put(self, key: str, content: bytes, *, new: bool = False) -> bool:
        """Write; with `new`, False when it is there already (and it stays as it was)."""
        ...

    def local(self, key: str) -> Path:
        """A file with the content.  Raises FileNotFoundError when it is gone."""
        ...

    def bring(self, keys: Iterable[str]) -> None:
        """Make `local` quick for these.  Raises nothing for single ones, OSError when none can be had."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove; what is gone already is fine."""
        ...


class Folder:
    """A folder of this machine, or one that it mounts."""

    spool: Folder | None = None

    def __init__(self, root: Path) -> None:
        self.root, self.where = root, str(root)

    def entries(self, prefix: str) -> list[Entry]:
        found, folders = [], [prefix.rstrip("/")]
        while folders:
            folder = folders.pop()
            with suppress(FileNotFoundError), os.scandir(self.root / folder) as items:
                for item in items:
                    key = f"{folder}/{item.name}".lstrip("/")
                    if item.is_dir():
                        folders.append(key)
                        continue
                    with suppress(FileNotFoundError):  # a compaction removed it meanwhile
                        if not item.is_file():  # to open a pipe would wait for ever
                            continue
                        stat = item.stat()
                        modified = datetime.fromtimestamp(stat.st_mtime, tz=UTC)
                        found.append(Entry(key=key, size_bytes=stat.st_size, modified=modified))
        return found

    def folders(self, prefix: str) -> list[str]:
        try:
            with os.scandir(self.root / prefix) as items:
                return sorted(item.name for item in items if item.is_dir())
        except FileNotFoundError:
            return []

    def put(self, key: str, content: bytes, *, new: bool = False) -> bool:
        """Write beside it, flush to the disk, then rename."""
        path = self.root / key
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}{UNFINISHED}")
        try:
            _write_new(unfinished, content)
            if new:
                path.hardlink_to(unfinished)  # unlike a rename, it fails where something is
            else:
                unfinished.replace(path)
        except FileExistsError:
            return False
        finally:
            unfinished.unlink(missing_ok=True)
        _sync(path.parent)
        return True

    def local(self, key: str) -> Path:
        """The file itself."""
        return self.root / key

    def bring(self, keys: Iterable[str]) -> None:
        """They are here."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove; folders that become empty go too."""
        for key in keys:
            path = self.root / key
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break  # something is in it


def _write_new(path: Path, content: bytes) -> None:
    for attempt in range(2):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            stream = path.open("xb")
        except FileNotFoundError:
            if attempt:
                raise
            continue  # an expiry found the folder empty just then
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return


def _sync(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
