"""Where files lie: bundled programs and data in the wheel or the checkout, a user's own in the data folder."""

from __future__ import annotations

import os
from pathlib import Path

from clusterctl.errors import SpecError

_PACKAGE = Path(__file__).resolve().parent
PATH_VARIABLES = ("CLUSTERCTL_HOME", "CLUSTERCTL_LEDGER", "CLUSTERCTL_TELEMETRY", "XDG_DATA_HOME")
SQLITE = "sqlite:///"
NO_PATHS = ("", ":memory:", "off")
"""What a variable may hold that is neither a path nor a URL."""


def bundle_root() -> Path:
    """Folder that holds infra/, app/, examples/ and templates/: the copy inside the wheel, or the checkout."""
    packaged = _PACKAGE / "_bundled"
    return packaged if packaged.is_dir() else _PACKAGE.parent


def facts_dir() -> Path:
    """Folder of the facts that ship with the package (models, GPUs, prices, calibration)."""
    return _PACKAGE / "catalog" / "data"


def user_data_dir() -> Path:
    """Folder for what this user's machine adds (ledger, runs, telemetry, refreshed price books), as an absolute path.

    CLUSTERCTL_HOME, else `clusterctl` in XDG_DATA_HOME, else in ~/.local/share.  Raises SpecError where nothing says
    where that is.
    """
    if home := os.environ.get("CLUSTERCTL_HOME"):
        return Path(absolute(home))
    if data := os.environ.get("XDG_DATA_HOME"):
        return Path(absolute(data)) / "clusterctl"
    try:
        return Path.home().absolute() / ".local" / "share" / "clusterctl"
    except RuntimeError as error:
        raise SpecError("this user has no home folder", hint="name a folder for data with CLUSTERCTL_HOME") from error


def resolve_path_variables() -> None:
    """Make the paths that the environment names absolute, against the folder where the command starts.

    What a command starts (supervisors, roles, dashboards, agents) inherits them, and runs in other folders.
    Raises SpecError where that folder is gone.
    """
    for name in PATH_VARIABLES:
        if text := os.environ.get(name):
            os.environ[name] = absolute(text, name)


def absolute(text: str, name: str = "a path") -> str:
    """A path, or a path behind `sqlite:///`, as an absolute one; any other URL, and what is no path, as it is.

    name: what a message calls it.  Raises SpecError where it is relative to a folder that is gone.
    """
    scheme, path = (SQLITE, text.removeprefix(SQLITE)) if text.startswith(SQLITE) else ("", text)
    if "://" in path or path in NO_PATHS:
        return text
    expanded = os.path.expanduser(path)  # noqa: PTH111 - leaves the name of an unknown user as it is
    try:
        return scheme + (expanded if os.path.isabs(expanded) else str(Path(expanded).resolve()))  # noqa: PTH117
    except FileNotFoundError as error:
        raise SpecError(f"{name} is relative to the current folder, which is gone", hint="name it in full") from error
