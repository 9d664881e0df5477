"""Whose resources are whose in an account of several people: an identity of this data folder, on each resource."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.foreign_files import read_tail

OWNER_VARIABLE = "CLUSTERCTL_OWNER"
"""States it: for people who share one ledger on a server, or on a machine whose data folder does not last."""
FILE, MOST_BYTES = "owner", 100
OWNER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What all clouds take as the value of a tag or label."""


def owner_of(store: Path) -> str:
    """The identity, made once.  Raises SpecError where the variable holds none, ClusterctlError where none is kept."""
    if stated := os.environ.get(OWNER_VARIABLE, ""):
        if not OWNER.fullmatch(stated):
            hint = "up to 63 small letters, digits, `-` and `_`, beginning with a letter or digit"
            raise SpecError(f"{OWNER_VARIABLE} holds `{stated[:80]}`, which no tag can", hint=hint)
        return stated
    file = store / FILE
    try:
        store.mkdir(parents=True, exist_ok=True)
        made = store / f".owner.{uuid.uuid4().hex}"
        if not file.exists():
            made.write_text(uuid.uuid4().hex[:12], "ascii")
            try:
                os.link(made, file)  # whole, and never over another one
            except FileExistsError:
                pass
            finally:
                made.unlink()
    except OSError as error:
        raise ClusterctlError(f"{file} can't be written: {error.strerror}") from error
    if not OWNER.fullmatch(text := read_tail(file, MOST_BYTES).strip()):
        raise ClusterctlError(f"{file} holds no identity of this data folder", hint=f"{OWNER_VARIABLE} states one")
    return text
