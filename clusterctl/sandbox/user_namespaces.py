"""User namespaces for sandboxes, so that what is user 1000 inside is nobody outside, and never root.

Each has a user of its own outside, who also owns it: the kernel counts processes, pipes, descriptors under way and
pending signals by user, and what is inside by the owner too, so that no sandbox can use up what another needs, or root.
Each is lent to one sandbox at a time and used again: making one takes longer than all the rest of a start.  They have
no name and vanish with us.

Another user than root can do this with ids of /etc/subuid and /etc/subgid, by newuidmap and newgidmap.  The owner is
then that user, by whom the kernel still counts pending signals (user_namespaces(7), subuid(5)).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pwd
import secrets
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

INNER_ID = 1000
"""User and group in the sandbox."""
_FIRST_OUTER_ID, _NUM_OUTER_IDS = 1879048192, 1 << 28
"""User ids that nobody is given.  Source: https://systemd.io/UIDS-GIDS/ ("Unused")."""
_NOBODY = 65534
_ABOVE_SANDBOX_FDS = 10
"""Descriptors from here on are none that a sandbox expects."""
_idle: deque[int] = deque()
_numbers = itertools.count(secrets.randbelow(1 << 16))


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


def random_outer_id() -> int:
    """A user and group outside; two sandboxes get the same one once in 268 million times."""
    return _FIRST_OUTER_ID + secrets.randbelow(_NUM_OUTER_IDS) if has_outer_ids() else _NOBODY


@cache
def has_outer_ids() -> bool:
    """Whether root can become any of those users here: a container may have fewer."""
    last = _FIRST_OUTER_ID + _NUM_OUTER_IDS - 1
    for kind in ("uid", "gid"):
        lines = Path(f"/proc/self/{kind}_map").read_text(encoding="ascii").splitlines()
        ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
        if not any(first <= _FIRST_OUTER_ID and last < first + count for first, count in ranges):
            return False
    return True


@cache
def gives_own_users() -> bool:
    """Whether bubblewrap's sandboxes can be users of their own outside; tried: root of a container may not."""
    try:
        with lent_namespace() as namespace:
            line = ["bwrap", "--userns", str(namespace), "--ro-bind", "/", "/", "--", "/bin/true"]
            return subprocess.run(line, pass_fds=[namespace], capture_output=True, check=False).returncode == 0  # noqa: S603
    except OSError:
        return False


def subordinate_id(table: Path) -> int:
    """One of the users or groups that `table` lends us, another at each call.  Raises OSError when there is none."""
    with suppress(KeyError, ValueError):  # no name; a broken line
        names = {str(os.getuid()), pwd.getpwuid(os.getuid()).pw_name}
        for name, first, count in (line.split(":") for line in table.read_text("utf-8").splitlines() if line):
            if name in names and int(count) > 0:
                return int(first) + next(_numbers) % int(count)
    raise OSError(f"{table} lends this user nothing")


def _new_namespace() -> int:
    as_root, quiet = os.geteuid() == 0, subprocess.DEVNULL
    if as_root:
        us, them = (0, 0), (random_outer_id(),) * 2
        line = ["setpriv", f"--reuid={them[0]}", f"--regid={them[1]}", "--clear-groups", "--"]
    else:
        us, line = (os.getuid(), os.getgid()), []
        them = (subordinate_id(Path("/etc/subuid")), subordinate_id(Path("/etc/subgid")))
    line += ["unshare", "--user", "/bin/sh", "-c", "echo; read -r _"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet) as holder:  # noqa: S603
        if holder.stdout is None or not holder.stdout.readline():
            raise OSError("this machine lets us make no user namespaces")
        for kind, ours, theirs in zip(("uid", "gid"), us, them, strict=True):
            lines = f"0 {ours} 1\n{INNER_ID} {theirs} 1\n"
            if as_root:
                Path(f"/proc/{holder.pid}/{kind}_map").write_text(lines, encoding="ascii")
                continue
            helper = [f"new{kind}map", str(holder.pid), *lines.split()]
            if subprocess.run(helper, stderr=quiet, check=False).returncode != 0:  # noqa: S603
                raise OSError(f"new{kind}map refuses ids")
        opened = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
        try:
            return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _ABOVE_SANDBOX_FDS)
        finally:
            os.close(opened)
