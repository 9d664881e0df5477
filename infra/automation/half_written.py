"""What an engine that is killed leaves half written in a folder of states, where every later command would fail on it.

Each state and lock is written beside its name and renamed, so it is whole or not there.  What is not: the file of
attributes beside each (`.attrs`), the temporary file of a lock, which counts as a lock, and the file in which the
engine keeps the chosen stack.  Nothing is lost with them: a state is read without attributes, a stack chosen anew.
https://github.com/google/go-cloud/blob/master/blob/fileblob/attrs.go,
https://github.com/pulumi/pulumi/blob/master/pkg/backend/diy/lock.go
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

WRITE_SECONDS = 1.0
"""An engine that lives writes such a file within a millisecond: what is half written for so long stays so."""


def remove_half_written(request: Mapping[str, Any]) -> list[Path]:
    """Removes them; which.  Of states in a cloud's storage, whose writes are whole or nothing, there are none."""
    found = [file for file in _files(request) if not _is_whole(file)]
    if found:
        time.sleep(WRITE_SECONDS)
    gone = [file for file in found if not _is_whole(file)]
    for file in gone:
        file.unlink(missing_ok=True)
    return gone


def _files(request: Mapping[str, Any]) -> Iterable[Path]:
    """All that an engine writes in place for this stack, as JSON."""
    yield from Path(request["home"], "workspaces").glob("*.json")
    url = urlparse(request["backend"])
    if url.scheme != "file":
        return
    states, project, stack = Path(unquote(url.path), ".pulumi"), request["project"], request["stack"]
    yield states / "meta.yaml.attrs"
    yield from (states / "stacks" / project).glob(f"{stack}.json*.attrs")
    for kind in ("history", "backups"):
        yield from (states / kind / project / stack).glob("*.attrs")
    yield from (states / "locks" / "organization" / project / stack).glob("*")


def _is_whole(file: Path) -> bool:
    """Whether it is JSON, or has gone."""
    with suppress(FileNotFoundError):
        try:
            json.loads(file.read_bytes())
        except ValueError:
            return False
    return True
