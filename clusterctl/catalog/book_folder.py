"""Book folders on disk: which ones there are, and reading one with every damage noticed."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from clusterctl.catalog.price_files import FILE_SCHEMAS, FORMAT_VERSION, MANIFEST_NAME, Manifest
from clusterctl.errors import StateError
from clusterctl.foreign_files import read_limited
from clusterctl.foreign_frames import UNREADABLE
from clusterctl.paths import facts_dir, user_data_dir

MAX_BYTES = 64 << 20
"""Of each file of a book; the embedded ones are under 1 MiB."""


def embedded_dir() -> Path:
    """Folder of the book that ships with the package."""
    return facts_dir() / "prices"


def refreshed_dir() -> Path:
    """Folder in which `prices refresh` puts its dated books."""
    return user_data_dir() / "prices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One book folder whose manifest has been read and accepted."""

    folder: Path
    manifest: Manifest
    _frames: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    """What has been read."""

    def read(self, name: str) -> pl.DataFrame:
        """One parquet of the book, read once.  Raises StateError when it is missing or damaged."""
        if name not in self._frames:
            self._frames[name] = self._read(name)
        return self._frames[name]

    def _read(self, name: str) -> pl.DataFrame:
        path = self.folder / name
        try:
            content = read_limited(path, MAX_BYTES)
        except OSError as error:
            raise _damaged(self.folder, f"{name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != self.manifest.sha256.get(name):
            raise _damaged(self.folder, f"{name} is not the file that {MANIFEST_NAME} names")
        try:
            frame = pl.read_parquet(io.BytesIO(content), use_statistics=False)
        except UNREADABLE as error:
            raise _damaged(self.folder, f"{name}: {error}") from error
        if dict(frame.schema) != FILE_SCHEMAS[name]:
            raise _damaged(self.folder, f"{name} has other columns than version {FORMAT_VERSION} of a book")
        if not frame.select(pl.all_horizontal(pl.col(pl.Float64).is_finite().all())).item():
            raise _damaged(self.folder, f"{name} holds a price or size that is no finite number")
        return frame


def newest_refreshed() -> Path | None:
    """The refreshed book with the newest date in its name; None when there is none."""
    folder = refreshed_dir()
    if not folder.is_dir():
        return None
    return max((found for found in folder.glob("prices-*") if found.is_dir()), default=None)


def open_volume(folder: Path) -> Volume:
    """Read and accept the manifest of one book folder.  Raises StateError."""
    path = folder / MANIFEST_NAME
    try:
        text = read_limited(path, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise _damaged(folder, f"{MANIFEST_NAME} cannot be read: {why}") from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(folder, f"{MANIFEST_NAME}: {where}: {first['msg']}") from error
    if manifest.version != FORMAT_VERSION:
        raise StateError(
            f"price book {folder} is of version {manifest.version}; this program reads version {FORMAT_VERSION}",
            hint=_way_out(folder),
        )
    return Volume(folder=folder, manifest=manifest)


def _damaged(folder: Path, what: str) -> StateError:
    if folder == embedded_dir():
        return StateError(f"the embedded price book is damaged: {what}", hint="reinstall clusterctl")
    return StateError(f"price book {folder} is damaged: {what}", hint=_way_out(folder))


def _way_out(folder: Path) -> str:
    if folder.parent == refreshed_dir():
        return "run `clusterctl prices refresh`, or delete that folder to use the embedded prices"
    return "name a folder that `clusterctl prices refresh --out` wrote"
