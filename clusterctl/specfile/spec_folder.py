"""The files that a spec names beside itself: measured lengths, a model's config.json.

On this machine they may lie anywhere.  A review of somebody else's change reads them from a commit instead, and only
from there (`clusterctl/review/spec_files.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clusterctl.specfile.yaml_file import read_text


class SpecFiles(Protocol):
    """Reads what a spec names, by the name that the spec has for it."""

    def shown(self, name: str) -> str:
        """What messages call the file."""

    def is_file(self, name: str) -> bool:
        """Whether there is such a file; never raises."""

    def text(self, name: str, *, max_bytes: int) -> str:
        """Its UTF-8 text.  Raises SpecError."""


@dataclass(frozen=True, slots=True)
class SpecFolder:
    """Files on this machine; a relative name counts from the spec's folder."""

    folder: Path

    def shown(self, name: str) -> str:
        return str(self._path(name))

    def is_file(self, name: str) -> bool:
        return os.path.isfile(self._path(name))  # noqa: PTH113  # never raises

    def text(self, name: str, *, max_bytes: int) -> str:
        return read_text(self._path(name), max_bytes=max_bytes)

    def _path(self, name: str) -> Path:
        return self.folder / Path(name).expanduser()
