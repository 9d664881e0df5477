"""What the accounting remembers of jobs that the scheduler has forgotten, on a real Slurm with Debian's slurmdbd and MariaDB."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from clusterctl.targets.shell import SshShell
from clusterctl.targets.slurm_jobs import SlurmJob, comment
from clusterctl.targets.slurm_place import SlurmPlace
from planners.runs.reconcile import Cause

TAGS = comment(run="acc-1", pool="pool.rlcef.sandbox", n="1")
FORGETS_SECONDS = 150.0
"""The scheduler takes ended jobs from its list once in half a minute or so."""


@pytest.fixture(scope="module")
def accounting() -> Iterator[ModuleType]:
    """A cluster with accounting."""
    from slurm import cluster

    if lacking := cluster.missing():
        pytest.fail(lacking)
    with cluster.locked_cluster(accounting=True):
        yield cluster


def test_jobs_that_the_scheduler_has_forgotten_are_read_from_the_accounting(
    accounting: ModuleType, tmp_path: Path
) -> None:
    place = SlurmPlace(SshShell("mini", accounting.write_client_files(tmp_path)), "~/.acc")

    def submit(name: str, *options: str) -> str:
        wrapped = (
            "--parsable",
            "--output=/dev/null",
            f"--job-name=cctl-acc-{name}-0123abcd",
            f"--comment={TAGS}",
            *options,
        )
        return accounting.run("login", "sbatch", *wrapped, "--wrap=sleep 4; exit ${FAILS:-0}", user="skyu").strip()

    def listed(*, history: bool) -> dict[str, SlurmJob]:
        text = place.shell.must(place.listing(history=history), seconds=30, what="the listing")
        return {job.name: job for job in place.parse(text)}

    both = ("--partition=gpu", "--nodes=2", "--exclusive")
    done, waits, fails = submit("done", *both), submit("waits", *both), submit("fails", "--export=ALL,FAILS=3")
    accounting.run("login", "scancel", waits, user="skyu")
    until = time.monotonic() + 60
    before: dict[str, SlurmJob] = {}
    while not {"cctl-acc-done", "cctl-acc-fails"} <= {name for name, job in before.items() if job.ended}:
        assert time.monotonic() < until, before
        before |= listed(history=False)
    until = time.monotonic() + FORGETS_SECONDS
    while listed(history=False):
        assert time.monotonic() < until
        time.sleep(2)
    after = listed(history=True)
    for name, number, cause in (("done", done, Cause.STOPPED), ("fails", fails, Cause.FAILED)):
        job, was = after[f"cctl-acc-{name}"], before[f"cctl-acc-{name}"]
        assert (job.job_id, job.since, job.until, job.nodes) == (number, was.since, was.until, was.nodes)
        assert (job.cause, job.tags["run"]) == (cause, "acc-1")
        assert job.since is not None
        assert job.until is not None
        assert 4 <= (job.until - job.since).total_seconds() <= 20
    never = after["cctl-acc-waits"]
    assert (never.ended, never.since, never.cause) == (True, None, Cause.STOPPED), (
        "it was never allocated: it costs nothing"
    )
