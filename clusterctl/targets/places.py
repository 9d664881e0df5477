"""The schedulers on which runs of a store were started, and our folder on each: what `sweep` looks through."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from clusterctl.foreign_files import read_tail, replace_whole

FOLDER = "places"
MOST_BYTES = 4096


def known_places(store: Path) -> Sequence[str]:
    """`slurm:mini`, `kubernetes:prod`."""
    folder = store / FOLDER
    return sorted(unquote(file.name) for file in folder.iterdir()) if folder.is_dir() else []


def remember(place: str, store: Path, *, root: str) -> None:
    """From now on this place is known, and where our folder is there.  Raises OSError."""
    file = store / FOLDER / quote(place, safe="")
    if read_tail(file, MOST_BYTES) != root:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(file, root.encode())


def recall(place: str, store: Path) -> str:
    """Our folder there; empty where nobody has noted it."""
    return read_tail(store / FOLDER / quote(place, safe=""), MOST_BYTES)
