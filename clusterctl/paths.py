"""Where the bundled programs and data lie: inside the wheel, or in the checkout."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundle_root() -> Path:
    """Folder that holds infra/, app/, examples/ and templates/: the copy inside the wheel, or the checkout."""
    packaged = _PACKAGE / "_bundled"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def facts_dir() -> Path:
    """Folder of the facts that ship with the package (models, GPUs, prices, calibration)."""
    return _PACKAGE / "catalog" / "data"


def user_data_dir() -> Path:
    """Folder for what this user's machine adds (refreshed price books): XDG data home, or CLUSTERCTL_HOME."""
    override = os.environ.get("CLUSTERCTL_HOME")
    if override:
        return Path(override)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "clusterctl"
