"""As root: user namespaces for sandboxes, so that what is user 1000 inside is nobody outside, and never root.

Each is lent to one sandbox at a time (the kernel counts processes by namespace) and used again: making one takes longer
than all the rest of a start.  They have no name and vanish with us.
"""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterctl.sandbox.commands import INNER_ID, OUTER_ID

_idle: deque[int] = deque()
_HOLD = ("unshare", "--user", "/bin/sh", "-c", "echo; read -r _")


@contextmanager
def lent_namespace() -> Iterator[int]:
    """A descriptor of a namespace that nobody else uses meanwhile.  Raises OSError when none can be made."""
    try:
        namespace = _idle.pop()
    except IndexError:
        namespace = _new_namespace()
    try:
        yield namespace
    except BaseException:
        os.close(namespace)  # not lent again: a process may still be inside
        raise
    _idle.append(namespace)


def kept_namespaces() -> frozenset[int]:
    """Descriptors of those that wait for the next sandbox."""
    return frozenset(_idle)


def _new_namespace() -> int:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(_HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet) as holder:  # noqa: S603
        if holder.stdout is None or not holder.stdout.readline():
            raise OSError("this machine lets root make no user namespaces")
        for kind in ("uid", "gid"):
            Path(f"/proc/{holder.pid}/{kind}_map").write_text(f"0 0 1\n{INNER_ID} {OUTER_ID} 1\n", encoding="ascii")
        return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
