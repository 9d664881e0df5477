"""What a process knows of a run on Slurm beside what the place says; all of it may be lost."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from clusterctl.jobs import Job
from clusterctl.targets.accounting import Accounting
from clusterctl.targets.base import Leftover, Machine, MachineRequest, Observed, RunRef
from clusterctl.targets.role_folder import RoleFolder
from clusterctl.targets.sky_client import SkyPilot, SkyRequest
from clusterctl.targets.slurm_jobs import MOST_LETTERS, SlurmJob, cluster_name, newest
from clusterctl.targets.slurm_place import Seen, SlurmPlace
from clusterctl.targets.slurm_tasks import GRACE_SECONDS, IDLE_MINUTES
from planners.runs.reconcile import Cause, Instance, InstancePhase

RELEASE_SECONDS = 40.0
"""For an allocation to end by its own script before the scheduler ends it."""
WITHDRAWN_SECONDS = 15.0
"""For a job to appear of a launch that was withdrawn while it was being submitted."""


CLOCK_SECONDS = 60.0
"""So far the clocks of the scheduler and of a supervisor may differ."""
LOWER_SECONDS, LOWER_AGAIN_SECONDS = 300.0, 60.0
"""An allocation whose own limit is so much later than it should be gets a lower one; what fails is tried again then."""
AUTODOWN_SECONDS = 900.0
"""Between two looks whether SkyPilot itself still ends an idle allocation: each takes two seconds of a processor."""
PREPARE_SECONDS = 1200.0
"""For SkyPilot to prepare machines that are allocated and paid: ten times what it takes where two cores do it all."""


class SlurmRun:
    """A run as one process watches it."""

    def __init__(self, run_id: str, sky: SkyPilot) -> None:
        self.run_id, self.sky = run_id, sky
        self.seen: Seen | None = None
        self.requests: dict[str, list[MachineRequest]] = {}
        """By allocation, the nodes that it is asked for."""
        self.deadline: datetime | None = None
        """By the place's own clock."""
        self.fetched = float("-inf")
        self._accounting: Accounting | None = None
        self.jobs: Mapping[str, Job] = {}
        """Of the stage, by role."""
        self._withdrawn: dict[str, float] = {}
        self._released: dict[str, float] = {}
        self._lowered: dict[str, float] = {}
        self._autodown: dict[str, float] = {}
        self._shown: set[str] = set()
        self._unprepared: set[str] = set()
        """Allocations whose machines are paid and of no use, as SkyPilot takes too long."""

    def account(self, run: RunRef, place: SlurmPlace) -> None:
        """What its nodes do, by the scheduler, where no agent says it.  Raises Unreachable, OSError."""
        if self.seen is not None and not place.agent(""):
            self._accounting = self._accounting or Accounting(run, place.accounting, place.use, why=place.unmeasured)
            self._accounting.read(self.seen.jobs, self.requests)

    def want(self, wanted: Mapping[str, list[MachineRequest]]) -> None:
        """These allocations and no others: what SkyPilot has not finished for others is withdrawn."""
        self.requests |= wanted
        self.seen = self._own(self.seen) if self.seen is not None else None
        for name in self.requests.keys() - wanted.keys() - self._withdrawn.keys():
            self._withdrawn[name] = time.monotonic()
            self.sky.cancel(f"launch {name}")

    def cluster_of(self, pool_id: str) -> str:
        """The allocation on which jobs of a pool run; empty where there is none."""
        live = {name: requests for name, requests in self.requests.items() if name not in self._withdrawn}
        return next((name for name, requests in live.items() if pool_id in {"", requests[0].pool.id}), "")

    def launch(self, name: str) -> SkyRequest | None:
        """How far the launch of an allocation is; None where this process has not asked for it."""
        return self.sky.state(f"launch {name}")

    def failure(self, name: str) -> tuple[Cause, str] | None:
        """Why an allocation is not to be had or can't be used, in SkyPilot's words; None where it may be yet."""
        request = self.launch(name)
        if request is not None and request.error is not None:
            return request.error.cause, request.error.message
        late = f"SkyPilot did not prepare it within {PREPARE_SECONDS / 60:.0f} minutes"
        return (Cause.NO_CAPACITY, late) if name in self._unprepared else None

    def became_ready(self) -> list[str]:
        """Allocations that SkyPilot has prepared; noted in the place, where the next process finds it."""
        return [name for name in self.requests if (request := self.launch(name)) is not None and request.done]

    def has_forgotten(self) -> bool:
        """Whether the scheduler's listing lacks an allocation that it once showed."""
        listed = {job.name for job in self.seen.jobs} if self.seen is not None else set()
        return bool(self._shown & self.requests.keys() - listed)

    def release_gently(self, job_id: str) -> bool | None:
        """Whether to ask an allocation to end, at first, or to end it, which is late; None: it is given time."""
        first = job_id not in self._released
        since = self._released.setdefault(job_id, time.monotonic())
        if first:
            return True
        return False if time.monotonic() - since > RELEASE_SECONDS else None

    def lower_limit(self, job: SlurmJob) -> float | None:
        """Seconds that an allocation should have in all, where its own limit is much later than the run's."""
        if self.deadline is None or job.since is None or job.ends is None or job.tags.get("run") != self.run_id:
            return None
        latest, now = self.deadline + timedelta(seconds=GRACE_SECONDS), time.monotonic()
        late = (job.ends - latest).total_seconds() > LOWER_SECONDS
        if not late or now - self._lowered.get(job.job_id, float("-inf")) < LOWER_AGAIN_SECONDS:
            return None
        self._lowered[job.job_id] = now
        return (latest - job.since).total_seconds()

    def _keep_autodown(self, ready: Collection[str]) -> None:
        """Have SkyPilot compare, now and then, whether it still ends idle allocations; it has been seen to forget."""
        for name in self.requests.keys() & ready:
            launched, now = self.launch(name), time.monotonic()
            if launched is not None and launched.done and now - self._autodown.setdefault(name, now) > AUTODOWN_SECONDS:
                self._autodown[name] = now
                self.sky.cancel(f"autodown {name}")
                self.sky.ask(f"autodown {name}", "autodown", name=name, idle_minutes=IDLE_MINUTES)

    def unstarted(self) -> list[RoleFolder]:
        """Roles that another process may have asked SkyPilot to start, and of which there is no sign yet."""
        seen = self.seen
        return [
            folder
            for folder in (seen.folders if seen is not None else ())
            if seen is not None
            and not folder.ranks
            and folder.job["cluster"] in self.requests
            and folder.job["cluster"] in seen.ready
            and not folder.told
            and self.sky.state(f"exec {folder.name}") is None
            and self.instance(folder, seen).phase is not InstancePhase.ENDED
        ]

    def observed(self, seen: Seen) -> Observed:
        """What a look at the place shows."""
        self.seen = seen = self._own(seen)
        self._keep_autodown(seen.ready)
        jobs = newest([job for job in seen.jobs if job.tags.get("run", self.run_id) == self.run_id])
        self._shown |= jobs.keys()
        self._unprepared |= {
            name
            for name, job in jobs.items()
            if job.phase is InstancePhase.STARTING
            and job.since is not None
            and name not in seen.ready
            and (seen.now - job.since).total_seconds() > PREPARE_SECONDS
        }
        machines = [
            machine
            for name, requests in self.requests.items()
            for machine in self._machines(name, requests, jobs.get(name), seen)
        ]
        instances = tuple(self.instance(folder, seen) for folder in seen.folders)
        return Observed(at=seen.now, instances=instances, machines=tuple(machines))

    def _own(self, seen: Seen) -> Seen:
        """Without what had ended before it was asked for: a run of the same plan, now forgotten, had its name."""

        def is_former(job: SlurmJob) -> bool:
            asked_at = min((request.since for request in self.requests.get(job.name, ())), default=None)
            until = job.until
            return asked_at is not None and until is not None and (asked_at - until).total_seconds() > CLOCK_SECONDS

        return replace(seen, jobs=tuple(job for job in seen.jobs if not is_former(job)))

    def _machines(
        self, name: str, requests: Sequence[MachineRequest], job: SlurmJob | None, seen: Seen
    ) -> Iterator[Machine]:
        """Each node of an allocation."""
        found = self._job_state(name, job, seen) if job is not None else self._launch_state(name)
        if found is None:
            return
        phase, cause, message = found
        for request in requests:
            known = job is not None and request.index < len(job.nodes)
            since, until = job.span(request.index) if job is not None else (None, None)
            yield Machine(
                resource_id=request.resource_id,
                phase=phase,
                cause=cause,
                since=since,
                until=until,
                address=job.nodes[request.index] if job is not None and known else "",
                message=message,
            )

    def _job_state(self, name: str, job: SlurmJob, seen: Seen) -> tuple[InstancePhase, Cause, str]:
        """Of an allocation that the scheduler knows."""
        if failure := self.failure(name):  # it is given back: see `apply`
            return (InstancePhase.ENDED, *failure) if job.ended else (InstancePhase.ENDING, Cause.NONE, failure[1])
        ready = job.phase is InstancePhase.STARTING and name in seen.ready
        return InstancePhase.READY if ready else job.phase, job.cause, job.message

    def _launch_state(self, name: str) -> tuple[InstancePhase, Cause, str] | None:
        """Of one that it does not know, or not yet; None where nothing is known of it here either."""
        request = self.launch(name)
        if failure := self.failure(name):
            return InstancePhase.ENDED, *failure
        if name in self._withdrawn:
            gone = time.monotonic() - self._withdrawn[name] > WITHDRAWN_SECONDS
            return (InstancePhase.ENDED, Cause.STOPPED, "") if gone else (InstancePhase.ENDING, Cause.NONE, "")
        if request is not None and request.open:
            return InstancePhase.QUEUED, Cause.NONE, self.sky.trouble or "SkyPilot prepares its request"
        return None

    def instance(self, folder: RoleFolder, seen: Seen) -> Instance:
        """An instance, which ends with its machines."""
        job = newest(seen.jobs).get(str(folder.job.get("cluster", "")))
        asked, lost = self.sky.state(f"exec {folder.name}"), None
        if job is None or job.ended:
            lost = (job.cause, job.message) if job is not None else (Cause.NODE_LOST, "its machines are gone")
        elif asked is not None and asked.error is not None and not folder.ranks:
            lost = (Cause.FAILED, asked.error.message)
        return folder.instance(seen.now, lost)


def clusters(
    run_id: str, machines: Sequence[MachineRequest], most_letters: int = MOST_LETTERS
) -> dict[str, list[MachineRequest]]:
    """The allocations that these nodes make up: one for each pool, named by the start of its first node."""
    pools: dict[str, list[MachineRequest]] = {}
    for request in sorted(machines, key=lambda request: request.index):
        pools.setdefault(request.pool.id, []).append(request)
    return {
        cluster_name(run_id, pool_id, int(requests[0].resource_id.rpartition("/")[2]), most_letters): requests
        for pool_id, requests in pools.items()
    }


def left_over(jobs: Sequence[SlurmJob], live_runs: frozenset[str], known_runs: frozenset[str]) -> list[Leftover]:
    """Allocations of known runs that don't live, and of any run whose time is over."""
    left, now = [], time.time()
    for job in jobs:
        run_id, expires = job.tags.get("run", ""), job.tags.get("expires", "")
        over = expires.isdigit() and int(expires) < now
        if not job.ended and run_id not in live_runs and (run_id in known_runs or over):
            since, role = job.since or datetime.fromtimestamp(now, tz=UTC), job.tags.get("pool", "")
            address = f"slurm:{job.job_id}"
            left.append(Leftover(kind="machine", address=address, run_id=run_id, role=role, since=since))
    return left
