"""The files that a spec names, read from one end of a change and from nowhere else.

Whoever proposes a change writes the names; the machine that reviews it holds secrets.  So a name that is absolute,
leads out of the checkout, or passes a symbolic link or a submodule is refused, and what was asked for is kept: when
such a file changes, the spec is reached by it.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field

from clusterctl.errors import SpecError
from clusterctl.review.trees import LINK, MODULE, Tree, shown_path
from clusterctl.specfile.yaml_file import decoded

WHY = "a review reads nothing but the files of the checkout"


@dataclass(frozen=True, slots=True)
class TreeFiles:
    """A `SpecFiles` of one end of a change."""

    tree: Tree
    folder: str
    """Of the spec, relative to the checkout."""
    named: set[str] = field(default_factory=set)
    """The files that the spec may read, found or not."""

    def shown(self, name: str) -> str:
        return shown_path(self._inside(name))

    def is_file(self, name: str) -> bool:
        try:
            path = self._inside(name)
        except SpecError:
            return False
        self.named.add(path)
        return self.tree.object_id(path) is not None

    def text(self, name: str, *, max_bytes: int) -> str:
        path = self._inside(name)
        self.named.add(path)
        self._refuse_links(path)
        try:
            content = self.tree.read(path, max_bytes)
        except FileNotFoundError as error:
            raise SpecError(f"{shown_path(path)}: no such file in the checkout") from error
        except OSError as error:
            raise SpecError(f"{shown_path(path)}: cannot be read: {error.strerror}") from error
        return decoded(content, name=shown_path(path))

    def _inside(self, name: str) -> str:
        """The name relative to the checkout.  Raises SpecError for one that leads out of it."""
        if name.startswith(("/", "~")):
            raise SpecError(
                f"{name!r} names a file outside of the checkout: {WHY}", hint="name it relative to the spec"
            )
        path = posixpath.normpath(posixpath.join(self.folder, name))
        if path == ".." or path.startswith("../") or "\0" in path:
            raise SpecError(f"{name!r} leads out of the checkout: {WHY}", hint="keep the file beside the spec")
        return path

    def _refuse_links(self, path: str) -> None:
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            way = "/".join(parts[:length])
            entry = self.tree.entries.get(way)
            if entry is not None and entry.mode == LINK:
                raise SpecError(
                    f"{shown_path(way)} is a symbolic link: a review follows none", hint="commit the file itself"
                )
            if entry is not None and entry.mode == MODULE:
                raise SpecError(f"{shown_path(way)} is a submodule: {WHY}", hint="keep the file beside the spec")


def named_files(folder: str, names: list[str]) -> set[str]:
    """The files of the checkout that these names of a spec in `folder` mean; those that lead out of it mean none."""
    paths = {posixpath.normpath(posixpath.join(folder, name)) for name in names if not name.startswith(("/", "~"))}
    return {path for path in paths if path != ".." and not path.startswith("../")}
