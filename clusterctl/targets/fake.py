"""A simulated place: machines that come late, listings that lag, capacity that is not there; nothing runs, nothing is
paid.

`fleet.targets: [fake]` tries out a run without any machine: nodes appear, a trainer does its planned steps, each in
`step_seconds`.  What goes wrong is set in `fake/settings.json` of the data folder; see `Settings`.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.foreign_files import append
from clusterctl.jobs import Job
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.base import (
    Leftover,
    LogLine,
    Machine,
    MachineRequest,
    Observed,
    Pace,
    Preview,
    RunRef,
    Unreachable,
)
from clusterctl.targets.home import ThisMachine
from clusterctl.targets.logs import log_lines
from planners.plan.value import Plan, Pool
from planners.runs.reconcile import Cause, Change, Instance, Phase, Role

SANDBOX, TRAINER = "sandbox", "trainer"


@dataclass(kw_only=True)
class Settings:
    """How the place behaves; `fake/settings.json` overrides any of it at any moment."""

    machine_seconds: float = 0.3
    """From a request to a node that is there; the first half of it is spent in a queue, unpaid."""
    start_seconds: float = 0.2
    """From a launch to an instance that is ready."""
    step_seconds: float = 0.3
    end_seconds: float = 0.2
    """From a stop to the end."""
    lag_seconds: float = 0.0
    """So old is what a listing shows."""
    no_capacity: list[str] = field(default_factory=list)
    """Instance types of which none can be had."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """The next errors: {"on": "observe", "error": "credentials have expired", "times": 3}; `after: true` raises once
    the act is done, as a time-out after creation does."""


@dataclass(kw_only=True)
class _Thing:
    """A machine or an instance of the place, with its moments (seconds since 1970)."""

    name: str
    index: int = 0
    asked_at: float
    ready_at: float
    ends_at: float | None = None
    cause: str = ""

    def phase(self, now: float) -> Phase:
        """How far it is at a moment."""
        if self.ends_at is not None and now >= self.ends_at:
            return Phase.ENDED
        if self.ends_at is not None and self.cause == Cause.STOPPED:
            return Phase.ENDING
        return Phase.READY if now >= self.ready_at else Phase.STARTING

    def end(self, at: float, cause: Cause) -> None:
        """Ends it then, unless it ends before."""
        if self.ends_at is None or at < self.ends_at:
            self.ends_at, self.cause = at, cause


@dataclass(kw_only=True)
class _Place:
    """Everything that is there of one run."""

    machines: dict[str, _Thing] = field(default_factory=dict)
    instances: dict[str, _Thing] = field(default_factory=dict)
    steps: int = 0
    """How many the trainer has done, over all its starts: its checkpoint."""
    worked_until: float = 0.0
    deadline: float | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Place:
        """From its file."""
        things = {key: {i: _Thing(**t) for i, t in row[key].items()} for key in ("machines", "instances")}
        return cls(**{**row, **things})


class FakeTarget:
    """Places in `fake/` of the data folder, one file a run."""

    pace = Pace(observe_seconds=0.1, bound_seconds=5.0, appear_seconds=3.0)
    rented = True

    def __init__(self, store: Path) -> None:
        self.store, self.home = store, ThisMachine(store)
        self.folder = store / "fake"

    def check(self, plan: Plan) -> None:
        """Refuses a plan of several stages: one after the other is not simulated."""
        if len(plan.stages) > 1:
            raise SpecError(f"`{plan.name}` has {len(plan.stages)} stages; `fake` runs one", hint="plan each by itself")

    def roles(self, plan: Plan) -> Sequence[Role]:
        """A sandbox server on each sandbox node, and a trainer that asks them."""
        sandboxes = sum(pool.nodes for pool in plan.pools if SANDBOX in pool.role)
        return (Role(name=SANDBOX, count=max(sandboxes, 1)), Role(name=TRAINER, after=(SANDBOX,), until_done=True))

    def jobs(self, run: RunRef, kept: Mapping[str, Mapping[str, str]]) -> Mapping[str, Job]:  # noqa: ARG002
        """Names only: nothing is started."""
        return {role.name: Job(command=("simulated", role.name)) for role in self.roles(run.plan)}

    def preview(self, plan: Plan, pools: Sequence[Pool]) -> Preview:  # noqa: ARG002 - the pools say it all
        """The nodes."""
        prices = [(pool.nodes, pool.usd_per_node_hour) for pool in pools]
        known = [nodes * Decimal(str(price)) for nodes, price in prices if price is not None]
        names = tuple(f"{pool.nodes} × {pool.instance_type}" for pool in pools)
        return Preview(resources=names, usd_per_hour=sum(known, Decimal(0)) if len(known) == len(prices) else None)

    def apply(self, run: RunRef, machines: Sequence[MachineRequest], *, make: bool) -> None:
        """Requests what is missing, releases what is not named."""
        with self._place(run, "apply") as (place, settings, now):
            wanted = {request.resource_id: request for request in machines}
            for identity, machine in place.machines.items():
                if identity not in wanted:
                    machine.end(now + settings.end_seconds, Cause.STOPPED)
            for identity, request in wanted.items():
                if make and identity not in place.machines:
                    place.machines[identity] = _machine(request, settings, now)

    def observe(self, run: RunRef) -> Observed:
        """The place as it was `lag_seconds` ago."""
        with self._place(run, "observe") as (place, settings, now):
            seen = now - settings.lag_seconds
            instances = tuple(
                _instance(i, thing, seen) for i, thing in place.instances.items() if thing.asked_at <= seen
            )
            machines = tuple(_billed(i, thing, seen) for i, thing in place.machines.items() if thing.asked_at <= seen)
        return Observed(at=datetime.now(tz=UTC), instances=instances, machines=machines)

    def find(self, run: RunRef, resource_id: str) -> bool:
        """Whether an instance of this id lives, without any lag."""
        with self._place(run, "find") as (place, _, now):
            thing = place.instances.get(resource_id)
            return thing is not None and thing.phase(now) is not Phase.ENDED

    def launch(self, run: RunRef, change: Change, job: Job) -> str:  # noqa: ARG002 - nothing is started
        """Accepts it at once; it is ready later."""
        with self._place(run, "launch") as (place, settings, now):
            place.instances.setdefault(
                change.resource_id,
                _Thing(name=change.role, index=change.index, asked_at=now, ready_at=now + settings.start_seconds),
            )
        return f"fake:{change.resource_id}"

    def stop(self, run: RunRef, change: Change, *, force: bool) -> None:
        """Ends it after `end_seconds`; force: now."""
        with self._place(run, "stop") as (place, settings, now):
            thing = place.instances.get(change.resource_id)
            if thing is not None:
                thing.end(now if force else now + settings.end_seconds, Cause.STOPPED)

    def set_deadline(self, run: RunRef, deadline: datetime | None, now: datetime) -> None:
        """The place ends all instances then."""
        with self._place(run, "deadline") as (place, _, here):
            place.deadline = None if deadline is None else here + (deadline - now).total_seconds()

    def fetch(self, run: RunRef) -> None:
        """The new bytes of the place's reports and logs, and the result."""
        with self._place(run, "fetch"):
            pass  # brings the place's files up to this moment
        for name in ("reports.jsonl", "logs/trainer.log", "result.json"):
            _append_new(self.folder / run.run_id / name, run.folder / name)

    def logs(self, run: RunRef, role: str, *, after: int = 0) -> Iterator[LogLine]:
        """Of the logs that were fetched."""
        return log_lines(run.folder, role, after=after)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Machines that are there and belong to no live run; what supervises runs is this machine's."""
        left = []
        for file in sorted(self.folder.glob("*.place")):
            run_id = file.name.removesuffix(".place")
            if run_id in live_runs or (self.home.find(run_id) and run_id not in known_runs):
                continue
            place, now = _Place.of(json.loads(file.read_text("utf-8"))), time.time()
            for identity, machine in place.machines.items():
                if machine.phase(now) is not Phase.ENDED:
                    since = datetime.fromtimestamp(machine.asked_at, tz=UTC)
                    left.append(Leftover(kind="machine", address=identity, run_id=run_id, since=since))
        return left

    def remove(self, leftover: Leftover) -> None:
        """Releases a machine, with all that runs on it."""
        if leftover.kind != "machine":
            return
        with self._open(leftover.run_id) as (place, now):
            for thing in (*place.machines.values(), *place.instances.values()):
                thing.end(now, Cause.STOPPED)

    def disturb(self, run_id: str, resource_id: str, cause: Cause) -> None:
        """Ends a machine, with what runs in the place, or an instance: as a lost node or a crash does."""
        with self._open(run_id) as (place, now):
            hit = [place.machines[resource_id], *place.instances.values()] if resource_id in place.machines else []
            for thing in hit or [place.instances[resource_id]]:
                thing.end(now, cause)

    @contextmanager
    def _place(self, run: RunRef, call: str) -> Iterator[tuple[_Place, Settings, float]]:
        """The run's place, brought up to this moment, kept afterwards; or the next error that is set for this call."""
        settings = self._settings()
        error = next((error for error in settings.errors if error["on"] == call), None)
        if error is not None and not error.get("after"):
            self._spend(error)
            raise Unreachable(f"fake: {error['error']}")
        with self._open(run.run_id) as (place, now):
            self._advance(run, place, settings, now)
            yield place, settings, now
        if error is not None:
            self._spend(error)
            raise Unreachable(f"fake: {error['error']}")

    @contextmanager
    def _open(self, run_id: str) -> Iterator[tuple[_Place, float]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{run_id}.place"
        with (self.folder / f"{run_id}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            place = _Place.of(json.loads(file.read_text("utf-8"))) if file.exists() else _Place()
            yield place, time.time()
            write_atomic(file, json.dumps(asdict(place)))

    def _settings(self) -> Settings:
        file = self.folder / "settings.json"
        try:
            row = json.loads(file.read_text("utf-8")) if file.exists() else {}
            return Settings(**{key: value for key, value in row.items() if key in {f.name for f in fields(Settings)}})
        except (OSError, ValueError, AttributeError) as error:
            raise ClusterctlError(f"{file} can't be read: {error}") from error

    def _spend(self, error: dict[str, Any]) -> None:
        """One of its times is over."""
        settings = self._settings()
        for mine in settings.errors:
            if {**mine, "times": 0} == {**error, "times": 0}:
                mine["times"] = mine.get("times", 1) - 1
        settings.errors = [mine for mine in settings.errors if mine.get("times", 1) > 0]
        write_atomic(self.folder / "settings.json", json.dumps(asdict(settings)))

    def _advance(self, run: RunRef, place: _Place, settings: Settings, now: float) -> None:
        """What has happened since: steps, the end of the work, the deadline."""
        for thing in place.instances.values():
            if place.deadline is not None and now >= place.deadline:
                thing.end(place.deadline, Cause.STOPPED)
            if thing.name == TRAINER:
                self._work(run, place, thing, settings, min(now, thing.ends_at or now))

    def _work(self, run: RunRef, place: _Place, trainer: _Thing, settings: Settings, until: float) -> None:
        """The steps that a trainer has done up to a moment."""
        total = round(run.plan.stages[0].units)
        begin = max(trainer.ready_at, place.worked_until)
        while place.steps < total and begin + settings.step_seconds <= until:
            begin += settings.step_seconds
            place.steps, place.worked_until = place.steps + 1, begin
            self._report(run, place.steps, total, settings.step_seconds, begin)
        if place.steps >= total and trainer.ends_at is None:
            trainer.end(place.worked_until, Cause.DONE)
            write_atomic(self.folder / run.run_id / "result.json", json.dumps({"steps": total}))

    def _report(self, run: RunRef, step: int, total: int, seconds: float, at: float) -> None:
        files = self.folder / run.run_id
        (files / "logs").mkdir(parents=True, exist_ok=True)
        row = {
            "at": datetime.fromtimestamp(at, tz=UTC).isoformat(),
            "stage": run.plan.stages[0].name,
            "step": step,
            "of": total,
            "phases": {"generate": seconds},
        }
        for name, line in (("reports.jsonl", json.dumps(row)), ("logs/trainer.log", f"step {step}/{total}")):
            with (files / name).open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def _machine(request: MachineRequest, settings: Settings, now: float) -> _Thing:
    thing = _Thing(name=request.pool.id, index=request.index, asked_at=now, ready_at=now + settings.machine_seconds)
    if request.pool.instance_type in settings.no_capacity:
        thing.end(now, Cause.NO_CAPACITY)
    return thing


def _instance(identity: str, thing: _Thing, now: float) -> Instance:
    return Instance(
        role=thing.name,
        index=thing.index,
        resource_id=identity,
        address=f"fake:{identity}",
        started_at=datetime.fromtimestamp(thing.asked_at, tz=UTC),
        phase=thing.phase(now),
        cause=Cause(thing.cause) if thing.phase(now) is Phase.ENDED else Cause.NONE,
    )


def _billed(identity: str, thing: _Thing, now: float) -> Machine:
    """A machine: queued for the first half of its coming, paid from then on until its end."""
    paid_from = thing.asked_at + (thing.ready_at - thing.asked_at) / 2
    phase = thing.phase(now)
    had = thing.ends_at is None or thing.ends_at > paid_from
    if phase is Phase.STARTING and now < paid_from:
        phase = Phase.QUEUED
    return Machine(
        resource_id=identity,
        phase=phase,
        cause=Cause(thing.cause) if phase is Phase.ENDED else Cause.NONE,
        since=datetime.fromtimestamp(paid_from, tz=UTC) if had and now >= paid_from else None,
        until=datetime.fromtimestamp(thing.ends_at, tz=UTC) if thing.ends_at and phase is Phase.ENDED else None,
        address=f"fake:{identity}",
    )


def _append_new(source: Path, target: Path) -> None:
    """Bytes of the source that the target has not.  Raises OSError where the target is no file."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    have = target.stat().st_size if target.exists() else 0
    with source.open("rb") as more:
        more.seek(have)
        append(target, more.read())
