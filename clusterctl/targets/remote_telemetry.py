"""Brings here what agents have measured in a run's place: its store, file by file, as agents and compactions leave it.

A file of a store is never changed, so one that is here is not asked for again.  Manifests come last, once all that they
may name is here; what a compaction has replaced there goes then, too.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from clusterctl.store import RUN_STORE
from clusterctl.store.object_store import Folder
from clusterctl.store.partitions import VERSION
from clusterctl.targets.shell import MOST_BYTES, Shell

BRING_SECONDS = 10.0
"""Between two looks, and the longest that one command brings files; the rest comes with the next."""
CHUNK_BYTES = 4 << 20
LIST_SECONDS, CHUNK_SECONDS = 30.0, 60.0
_KEY = re.compile(VERSION + r"/[a-z]+/\d{4}-\d\d-\d\d(/\d\d)?/[smc]-[A-Za-z0-9._-]+\.(parquet|json)")


class TelemetryMirror:
    """Stores of runs, by their folders here."""

    def __init__(self) -> None:
        self._looked: dict[Path, float] = {}

    def bring(self, shell: Shell, run_there: str, run_here: Path) -> None:
        """What is new in the folder of a run.  Raises ClusterctlError, Unreachable, OSError."""
        there, here, began = f"{run_there}/{RUN_STORE}", run_here / RUN_STORE, time.monotonic()
        if began - self._looked.get(here, float("-inf")) < BRING_SECONDS:
            return
        self._looked[here] = began
        sizes, mine = _listed(shell, there), Folder(here)
        known = {entry.key for entry in mine.entries(VERSION)}
        for keys in _chunks(sorted(sizes.keys() - known, key=_order), sizes):
            if time.monotonic() - began > BRING_SECONDS:
                return
            names = "\n".join(keys).encode()
            script = f"cd {shlex.quote(there)} && tar -c --ignore-failed-read -T - 2>/dev/null; exit 0"
            _unpack(shell.run(script, seconds=CHUNK_SECONDS, stdin=names).stdout, frozenset(keys), mine)
        if sizes:
            mine.delete(key for key in known - sizes.keys() if _KEY.fullmatch(key))


def _listed(shell: Shell, there: str) -> dict[str, int]:
    """Size of each file of the store there, by its key; empty where there is none."""
    where = shlex.quote(there)
    script = f"[ -d {where}/{VERSION} ] || exit 0; cd {where} && find {VERSION} -type f -printf '%s %p\\n'"
    text = shell.must(script, seconds=LIST_SECONDS, what="its telemetry can't be listed")
    found = (line.partition(" ") for line in text.splitlines())
    return {key: int(size) for size, _, key in found if _KEY.fullmatch(key) and size.isdigit()}


def _order(key: str) -> tuple[bool, str]:
    """Manifests last; the oldest hours first."""
    folder, _, name = key.rpartition("/")
    return name.startswith("m-"), folder.partition("/")[2].partition("/")[2]


def _chunks(keys: Sequence[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    """The keys in pieces of some CHUNK_BYTES, files and manifests apart."""
    chunk: list[str] = []
    for key in keys:
        if chunk and (sum(map(sizes.__getitem__, chunk)) > CHUNK_BYTES or _order(key)[0] != _order(chunk[0])[0]):
            yield chunk
            chunk = []
        chunk.append(key)
    if chunk:
        yield chunk


def _unpack(content: bytes, keys: frozenset[str], into: Folder) -> None:
    """Files of an archive, those that were asked for; one that was cut off comes the next time."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.name in keys and member.isfile() and member.size <= MOST_BYTES:
                    stream = archive.extractfile(member)
                    found = stream.read() if stream is not None else b""
                    if len(found) == member.size:
                        into.put(member.name, found)
    except (tarfile.TarError, EOFError):
        return
