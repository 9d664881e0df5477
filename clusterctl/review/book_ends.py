"""A price book that lies in the checkout: where a change touches it, each end of a spec is planned with its own."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.review.checkout import Checkout
from clusterctl.review.trees import Tree, shown_path

MAX_BYTES = 16 << 20
"""Of a file of a book; the largest of ours has 0.2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookEnds:
    """Folders of the price book at both ends; None = the one in use."""

    base: Path | None
    head: Path | None
    changed: tuple[str, ...] = ()
    """Its files that differ, relative to the checkout."""


@contextmanager
def book_ends(checkout: Checkout, book: Path | None, folder: Path) -> Iterator[BookEnds]:
    """The ends of `book`, named from `folder`.  One that is new at the head counts for both ends.

    Raises ClusterctlError for a file that can't be read.
    """
    name = None if book is None else os.path.relpath(os.path.normpath(folder / book), checkout.root)
    if name is None or name == ".." or name.startswith("../"):
        yield BookEnds(base=book, head=book)
        return
    base, head = (_files(tree, name) for tree in (checkout.base, checkout.head))
    changed = [path for path in {**base, **head} if base.get(path) != head.get(path)]
    if not changed or not base or not head:
        yield BookEnds(base=book, head=book)
        return
    with tempfile.TemporaryDirectory(prefix="clusterctl-book-") as made:
        yield BookEnds(
            base=_copied(checkout.base, base, Path(made) / "base"),
            head=_copied(checkout.head, head, Path(made) / "head"),
            changed=tuple(sorted(map(shown_path, changed))),
        )


def _files(tree: Tree, folder: str) -> dict[str, str]:
    """Content ids by name of the regular files right in a folder: a book has no others."""
    inside = (path for path in tree.entries if posixpath.dirname(path) == folder.removeprefix("."))
    return {path: content for path in inside if (content := tree.object_id(path)) is not None}


def _copied(tree: Tree, files: dict[str, str], folder: Path) -> Path:
    folder.mkdir()
    for path in files:
        try:
            (folder / posixpath.basename(path)).write_bytes(tree.read(path, MAX_BYTES))
        except OSError as error:
            raise ClusterctlError(f"{shown_path(path)}: {error.strerror or error}") from error
    return folder
