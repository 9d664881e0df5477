"""What a command that lives for half a second need not pay for: looking for garbage, and waking thread pools."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS_PER_COLLECTION = 100_000
"""Starting up makes fewer objects than this, nearly all of which live until the end.  Python's default of 700 looks
through them 170 times."""

THREAD_COUNTS = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
"""Read from the environment when numpy and polars are imported."""


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
