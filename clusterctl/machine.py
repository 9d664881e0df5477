"""What a command takes of this machine: little at its start, and what it can't do without is looked for first."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clusterctl.errors import NO_MEMORY, NO_THREADS, MachineError

ALLOCATIONS_PER_COLLECTION = 200_000
"""Starting up makes fewer objects than this, nearly all of which live until the end.  Python's default of 700 looks
through them 170 times."""
THREAD_COUNTS = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
"""Read from the environment when numpy and polars are imported."""
NUM_THREADS = 12
"""polars and its allocator start up to 11."""
MEMORY_MIB = {resource.RLIMIT_AS: ("ulimit -v", 1536), resource.RLIMIT_DATA: ("ulimit -d", 384)}
"""Limit → its name and what a command takes at most: `cost` 1,050 MiB of addresses, 220 MiB of data."""


def collect_garbage_rarely() -> None:
    """Have the collector look less often, and not at all at exit, when the memory goes back anyway."""
    gc.set_threshold(ALLOCATIONS_PER_COLLECTION)
    atexit.register(gc.freeze)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have numpy and polars start no thread pools when they are imported: our columns are short, and waking threads
    takes longer than the work.

    What the environment says wins, and it is left as it was for programs that we start.
    """
    ours = {name: "1" for name in THREAD_COUNTS if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def check_machine() -> None:
    """Raises MachineError where memory or threads don't suffice for polars, which would end in a panic or an abort."""
    for limit, (name, needed_mib) in MEMORY_MIB.items():
        allowed = resource.getrlimit(limit)[0]
        if allowed != resource.RLIM_INFINITY and allowed < needed_mib << 20:
            raise MachineError(
                f"`{name}` allows {allowed >> 20:,} MiB of the {needed_mib:,} MiB needed", hint=NO_MEMORY
            )
    gate, started = threading.Lock(), list[threading.Thread]()

    def wait() -> None:
        with gate:
            pass

    try:
        with gate:  # all are alive at once
            for _ in range(NUM_THREADS):
                thread = threading.Thread(target=wait)
                thread.start()
                started.append(thread)
    except RuntimeError as error:
        count = len(started)
        raise MachineError(
            f"this user may start {count} of the {NUM_THREADS} threads needed", hint=NO_THREADS
        ) from error
    finally:
        for thread in started:
            thread.join()


def process_name() -> str:
    """This process as others are told of it."""
    return f"clusterctl process {os.getpid()} on {socket.gethostname()}"
