"""Does a list of jobs in this process and, where there are enough, in further ones at the same time.

The others take jobs from the end of the list; what they have begun is left out here.  What goes wrong with them (no
process to be had, one killed) costs time and nothing else: their jobs are done here.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import TypeVar

from clusterctl.machine import collect_garbage_rarely, one_thread

Job = TypeVar("Job")
Result = TypeVar("Result")
ENOUGH = 6
"""Jobs from which a further process is worth its start, half a second."""
MOST_PROCESSES = 4
"""In all: each takes about 250 MB."""


@contextmanager
def further_processes(jobs: int, get_ready: Callable[[], None]) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for so many jobs; None where this one suffices, or is the only one to be had.

    They begin at once with `get_ready`, which imports what the jobs need while this process does the same.
    """
    count = min(len(os.sched_getaffinity(0)), MOST_PROCESSES, jobs // ENOUGH + 1) - 1
    if count < 1:
        yield None
        return
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start)
    try:
        with one_thread(), suppress(OSError, RuntimeError):
            for _ in range(count):
                pool.submit(get_ready)
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start() -> None:
    """Ctrl-C ends the first process, which ends the others; what is to be said of a job, that one says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_garbage_rarely()
    logging.disable()


def do_all(
    pool: ProcessPoolExecutor | None, act: Callable[[Job], Result], jobs: Sequence[Job], done: Callable[[], None]
) -> list[Result]:
    """`act` of each job, in order; `done` is called after each.  Jobs and results can be pickled; so can `act`."""
    given: dict[int, Future[Result]] = {}
    if pool is not None:
        try:
            with one_thread():
                given = {i: pool.submit(act, jobs[i]) for i in reversed(range(len(jobs)))}
        except (OSError, RuntimeError, BrokenProcessPool):
            given = {}
    results: dict[int, Result] = {}
    for i, job in enumerate(jobs):
        if i not in given or given[i].cancel():
            results[i] = act(job)
            done()
    for i, job in enumerate(jobs):
        if i not in results:
            results[i] = _result(given[i], act, job)
            done()
    return [results[i] for i in range(len(jobs))]


def _result(future: Future[Result], act: Callable[[Job], Result], job: Job) -> Result:
    try:
        return future.result()
    except BrokenProcessPool:
        return act(job)
