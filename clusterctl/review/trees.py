"""The files of one end of a change, as git lists them: of a commit, or as they lie in the working tree.

Nothing is read but what the listing names as a regular file.  Symbolic links are never followed, neither in a commit,
where a link is a kind of its own, nor in the working tree, where each folder on the way is opened by itself.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from clusterctl.errors import ClusterctlError
from clusterctl.foreign_files import CHUNK_BYTES, too_large
from clusterctl.review.git_process import environment, git_command, git_output

LINK, MODULE = "120000", "160000"
"""Modes of a symbolic link and of a submodule in git's listings."""
SKIPPED = "S"
"""Tag of a file that a sparse checkout leaves out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a listing."""

    mode: str
    object_id: str


class Tree(Protocol):
    """Names are relative to the checkout, as Python has names that are no UTF-8: with surrogates."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every name."""

    def object_id(self, path: str) -> str | None:
        """Identifies the content of a regular file; None where there is none of that name."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a regular file.  Raises OSError, whose `strerror` says why not."""


@dataclass(slots=True)
class Blobs:
    """Reads blobs through one `git cat-file`, which starts at the first."""

    root: Path
    _process: subprocess.Popen[bytes] | None = None

    def read(self, object_id: str, max_bytes: int) -> bytes:
        """Raises OSError for a blob that is larger, or missing: a partial clone has not all."""
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 - a list, no shell
                git_command(self.root, "cat-file", "--batch"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(),
            )
        stdin, stdout = _pipes(self._process)
        try:
            stdin.write(f"{object_id}\n".encode())
            stdin.flush()
            header = stdout.readline().split()
        except OSError:
            header = []
        if len(header) != 3 or header[1] != b"blob":
            self.close()
            raise OSError(errno.ENOENT, "the clone lacks its content: `git fetch --refetch` gets it")
        size = int(header[2])
        if size > max_bytes:
            self.close()  # sooner than reading what nobody wants; the next blob starts it again
            raise too_large(max_bytes)
        content = stdout.read(size + 1)[:-1]
        if len(content) != size:
            raise OSError(errno.EIO, "its content can't be read: `git fsck` looks for damage")
        return content

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in _pipes(process):
                with suppress(OSError):  # what was written to a process that is gone
                    pipe.close()
            process.wait()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None  # both are pipes, as it was started
    assert process.stdout is not None
    return process.stdin, process.stdout


@dataclass(frozen=True, slots=True)
class CommitTree:
    """The files of a commit."""

    entries: Mapping[str, Entry]
    blobs: Blobs

    def object_id(self, path: str) -> str | None:
        entry = self.entries.get(path)
        return None if entry is None or entry.mode in (LINK, MODULE) else entry.object_id

    def read(self, path: str, max_bytes: int) -> bytes:
        object_id = self.object_id(path)
        if object_id is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.blobs.read(object_id, max_bytes)


def commit_tree(root: Path, commit: str, blobs: Blobs) -> CommitTree:
    """The listing of a commit.  Raises ClusterctlError."""
    listing = git_output(root, "ls-tree", "-r", "-z", "--full-tree", commit)
    entries = {}
    for row in listing.split(b"\0")[:-1]:
        what, _, name = row.partition(b"\t")
        mode, _, object_id = what.decode().split(" ")
        entries[os.fsdecode(name)] = Entry(mode, object_id)
    return CommitTree(entries, blobs)


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """Files that git tracks, as they lie on the disk."""

    root: Path
    entries: Mapping[str, Entry]
    skipped: CommitTree
    """What a sparse checkout leaves out, by the index."""
    _known: dict[str, str | None] = field(default_factory=dict)

    def object_id(self, path: str) -> str | None:
        if path in self.skipped.entries:
            return self.skipped.object_id(path)
        if path not in self._known:
            entry = self.entries.get(path)
            is_file = entry is not None and entry.mode not in (LINK, MODULE)
            self._known[path] = self._hash(path, entry.object_id) if entry is not None and is_file else None
        return self._known[path]

    def _hash(self, path: str, like: str) -> str | None:
        """The id that git gives this content; `like` an id of the same repository."""
        try:
            with opened_beneath(self.root, path) as file:
                size = os.fstat(file).st_size
                digest = hashlib.new("sha1" if len(like) == 40 else "sha256", usedforsecurity=False)
                digest.update(b"blob %d\0" % size)
                while chunk := os.read(file, CHUNK_BYTES):
                    digest.update(chunk)
                return digest.hexdigest()
        except OSError:
            return None

    def read(self, path: str, max_bytes: int) -> bytes:
        if path in self.skipped.entries:
            return self.skipped.read(path, max_bytes)
        if self.object_id(path) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        with opened_beneath(self.root, path) as file, os.fdopen(os.dup(file), "rb") as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise too_large(max_bytes)
        return content


def working_tree(root: Path, blobs: Blobs) -> WorkingTree:
    """What git tracks in the working tree.  Raises ClusterctlError where a merge has left conflicts."""
    entries, skipped, conflicts = {}, {}, set()
    for row in git_output(root, "ls-files", "-s", "-t", "-z", "--full-name").split(b"\0")[:-1]:
        what, _, name = row.partition(b"\t")
        tag, mode, object_id, stage = what.decode().split(" ")
        path, entry = os.fsdecode(name), Entry(mode, object_id)
        entries[path] = entry
        if tag == SKIPPED:
            skipped[path] = entry
        if stage != "0":
            conflicts.add(path)
    if conflicts:
        raise ClusterctlError(
            f"a merge has left conflicts in {shown_path(min(conflicts))}"
            + (f" and {len(conflicts) - 1} more files" if len(conflicts) > 1 else ""),
            hint="resolve them and `git add` the files, or review the last commit with `--head HEAD`",
        )
    return WorkingTree(root, entries, CommitTree(skipped, blobs))


@contextmanager
def opened_beneath(root: Path, path: str) -> Iterator[int]:
    """The descriptor of a regular file beneath a folder, no part of whose way is a symbolic link.  Raises OSError."""
    *folders, name = path.split("/")
    if ".." in folders or name in ("", ".", ".."):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = inner
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        yield file
    finally:
        os.close(file)


def untracked(root: Path) -> tuple[str, ...]:
    """Files that git neither tracks nor ignores.  Raises ClusterctlError."""
    listing = git_output(root, "ls-files", "-o", "-z", "--exclude-standard", "--full-name")
    return tuple(os.fsdecode(name) for name in listing.split(b"\0")[:-1])


def shown_path(path: str) -> str:
    """A name as text that any file may hold: bytes that are no UTF-8 as `\\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
