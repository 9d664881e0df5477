"""Processes that meet at one ledger: `python ledger_children.py TASK URL …`.  They fork after the slow imports.

Writers acknowledge what they have written through a pipe, so that whoever kills them knows what must be there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import count

import alembic.command  # noqa: F401 - before the forks
from ledger_world import a_machine, a_run, at

from clusterctl.errors import ClusterctlError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import run_lock


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """(pid, pipe to read from) of a child that does `work(pipe to write to)`."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            work(write)
        except ClusterctlError as error:
            os.write(write, f"{type(error).__name__}: {error.message}\n".encode())
        finally:
            os._exit(0)
    os.close(write)
    return pid, read


def said(pid: int, read: int) -> list[str]:
    with os.fdopen(read) as lines:
        found = lines.read().splitlines()
    os.waitpid(pid, 0)
    return found


def together(url: str, num: int) -> list[list[str]]:
    """Open, and so create, one ledger at the same moment; then take one name."""
    start = time.time() + 0.2

    def work(number: int, write: int) -> None:
        time.sleep(max(0.0, start - time.time()))
        with open_ledger(url, wait_seconds=20) as ledger:
            os.write(write, b"open\n")
            ledger.add_run(a_run(f"rlcef-{number}"))
            os.write(write, b"mine\n")

    children = [fork(partial(work, number)) for number in range(num)]
    return [said(pid, read) for pid, read in children]


def killed(url: str, seed: int, times: int) -> list[dict[str, object]]:
    """Kill writers at random moments; what each had acknowledged, and what the ledger holds after it."""
    rng = random.Random(seed)
    with open_ledger(url) as ledger:
        ledger.add_run(a_run())
    found: list[dict[str, object]] = []
    for number in range(times):
        resource = f"node/{number // 2}"  # every second writer repeats the work of the first
        pid, read = fork(partial(endless, url, resource))
        wait_for = rng.choice([0, rng.randrange(1, 25)])  # while it opens the ledger, or in the middle of its work
        heard = sum(len(os.read(read, 1)) for _ in range(wait_for))
        time.sleep(rng.uniform(0, 0.003 if wait_for else 0.03))
        os.kill(pid, signal.SIGKILL)
        acknowledged = heard + len("".join(said(pid, read)))
        with open_ledger(url) as ledger:
            (line,) = [one for one in ledger.bill("rlcef-1").lines if one.resource_id == resource] or (None,)
            events = [event.event_id for event in ledger.events("rlcef-1") if event.kind == resource]
        found.append(
            {
                "resource": resource,
                "acknowledged": acknowledged,
                "events": events,
                "seconds": line.seconds if line else 0,
                "usd": str(line.usd if line else Decimal(0)),
            }
        )
    return found


def endless(url: str, resource: str, write: int) -> None:
    with open_ledger(url) as ledger:
        ledger.intend(a_machine(resource), at=at(0))
        ledger.mark_live(resource, address="1:1", at=at(0))
        for number in count():
            ledger.record_event("rlcef-1", resource, "tick", event_id=f"{resource}:{number}")
            ledger.extend_cost(resource, until=at(number))
            os.write(write, b"x")


def hold(url: str, run_id: str) -> None:
    """Take the lock, say so, wait to be killed."""
    with open_ledger(url) as ledger, run_lock(ledger, run_id, "up"):
        print(os.getpid(), flush=True)
        signal.pause()


if __name__ == "__main__":
    task, address, *rest = sys.argv[1:]
    if task == "together":
        print(json.dumps(together(address, int(rest[0]))))
    elif task == "killed":
        print(json.dumps(killed(address, int(rest[0]), int(rest[1]))))
    else:
        hold(address, rest[0])
