"""Pulumi's engine, `pulumi`: the user's own on PATH, else one that was installed into our data folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from clusterctl.errors import SpecError

LEAST_VERSION = (3, 181, 0)
"""The first that refreshes and destroys for a program that another process serves:
https://github.com/pulumi/pulumi/releases/tag/v3.181.0"""
MAJOR = 3
HINT = "`clusterctl doctor --fix` installs it for clusterctl alone; or see https://www.pulumi.com/docs/install/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PulumiEngine:
    """One that is there."""

    path: Path
    root: Path | None
    """The folder that holds `bin/pulumi`; None where PATH finds it."""
    version: tuple[int, ...]

    @property
    def text(self) -> str:
        """Version and place."""
        return f"pulumi {'.'.join(map(str, self.version))} at {self.path}"

    @property
    def fits(self) -> bool:
        """Whether it can do what is asked of it."""
        return self.version[0] == MAJOR and self.version >= LEAST_VERSION


def engine_folder(store: Path) -> Path:
    """Where one is installed that nobody else uses."""
    return store / "fleets" / "engine"


def find_engines(store: Path) -> list[PulumiEngine]:
    """All that are there: the one on PATH first."""
    found = [(shutil.which("pulumi"), None), (engine_folder(store) / "bin" / "pulumi", engine_folder(store))]
    engines = []
    for path, root in found:
        if path is None or not Path(path).is_file():
            continue
        version = _version(Path(path))
        if version:
            engines.append(PulumiEngine(path=Path(path), root=root, version=version))
    return engines


def find_engine(store: Path) -> PulumiEngine:
    """The first that fits.  Raises SpecError where none does."""
    found = find_engines(store)
    for engine in found:
        if engine.fits:
            return engine
    if found:
        least = ".".join(map(str, LEAST_VERSION))
        raise SpecError(f"{found[0].text} is too old or too new: {least} or a later 3.x is needed", hint=HINT)
    raise SpecError("Pulumi's engine is not installed: no `pulumi` on PATH", hint=HINT)


def _version(path: Path) -> tuple[int, ...] | None:
    """None where it doesn't run."""
    try:
        said = subprocess.run([path, "version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.stdout.strip())
    return tuple(int(part) for part in match.groups()) if match else None
