"""What comes from a run's folder in its place: the few files by which it is heard, in one round trip, and its logs."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.errors import ClusterctlError, StateError
from clusterctl.foreign_files import append
from clusterctl.targets.in_place import ACKNOWLEDGED, CONTROL, LEASE, MIRROR
from clusterctl.targets.shell import MOST_BYTES, Shell
from clusterctl.targets.wishes import Wish, read_wish

FETCH_SECONDS = 60.0
MOST_LOG_BYTES = 16 << 20
"""Of one log, brought at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What the run's folder in the place holds."""

    at: datetime
    """By the clock of the place."""
    stamp: str
    """Tells the mirror from others; empty where there is none."""
    mirror: bytes = b""
    """Empty where there is none, or the known one."""
    renewed: datetime | None = None
    """When its supervisor last renewed its lease, which it can also on a disk that is full."""
    wish: Wish | None = None
    """The last that was sent, if it can be read."""
    acknowledged: bool = False
    """Whether its supervisor has heeded it."""


def fetch_run(shell: Shell, folder: str, *, known: str) -> Fetched:
    """What is there now; of a mirror that is `known` only its stamp.  Raises ClusterctlError, Unreachable."""
    script = f"""cd {shlex.quote(folder)} 2>/dev/null || {{ date +%s.%N; echo; echo; exit 0; }}
date +%s.%N; stamp=$(stat -c '%i-%Z-%s' {MIRROR} 2>/dev/null); echo "$stamp"
echo "$(stat -c %Y {LEASE} 2>/dev/null)"; set --
for f in {CONTROL} {ACKNOWLEDGED}; do [ -f "$f" ] && set -- "$@" "$f"; done
[ -f {MIRROR} ] && [ "$stamp" != {shlex.quote(known)} ] && set -- "$@" {MIRROR}
[ $# -eq 0 ] || tar -czf - -- "$@" """
    ran = shell.run(script, seconds=FETCH_SECONDS)
    now, _, rest = ran.stdout.partition(b"\n")
    stamp, _, rest = rest.partition(b"\n")
    lease, _, packed = rest.partition(b"\n")
    try:
        at = datetime.fromtimestamp(float(now), tz=UTC)
        renewed = datetime.fromtimestamp(int(lease), tz=UTC) if lease else None
        found = _unpacked(packed) if packed else {}
    except (ValueError, OverflowError, OSError, tarfile.TarError, EOFError) as error:
        why = ran.stderr.strip()[-200:] or str(error)
        raise ClusterctlError(f"{shell.name}: {folder} can't be read: {why}") from error
    wish, acknowledged = None, {}
    with contextlib.suppress(ClusterctlError):
        wish = read_wish(found[CONTROL]) if CONTROL in found else None
    with contextlib.suppress(ValueError, RecursionError):
        acknowledged = json.loads(found.get(ACKNOWLEDGED, b"{}"))
    heeded = wish is not None and acknowledged == {"seq": wish.seq, "identity": wish.identity}
    return Fetched(
        at=at,
        stamp=stamp.decode("ascii", "replace"),
        mirror=found.get(MIRROR, b""),
        renewed=renewed,
        wish=wish,
        acknowledged=heeded,
    )


def is_mirror(content: bytes | None) -> bool:
    """Whether it is a ledger that can be read."""
    from clusterctl.ledger.mirror import opened_mirror

    try:
        with opened_mirror(content or b""):
            return True
    except StateError:
        return False


def bring_logs(shell: Shell, there: str, here: Path) -> None:
    """The new bytes of each log.  One that was cut begins anew.  Raises ClusterctlError, Unreachable."""
    here.mkdir(parents=True, exist_ok=True)
    for name, size in shell.list(there).items():
        file = here / Path(name).name
        if not name.endswith((".log", ".times")):
            continue
        have = file.stat().st_size if file.is_file() else 0
        if have > size:
            file.unlink()
            have = 0
        while have < size:
            more = shell.read(f"{there}/{name}", offset=have, most=min(size - have, MOST_LOG_BYTES))
            if not more:
                break
            append(file, more)
            have += len(more)


def _unpacked(packed: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        for member in tar:
            if member.isfile() and member.size <= MOST_BYTES and (content := tar.extractfile(member)) is not None:
                found[member.name] = content.read()
    return found
