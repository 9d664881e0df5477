"""What is there of a run in the simulated place: machines and instances with their moments, and the work of a trainer.

A place is a file: whatever has happened since it was last looked at is worked out when it is opened.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clusterctl.errors import ClusterctlError
from clusterctl.foreign_files import read_limited
from clusterctl.json_text import json_text
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.base import Machine, MachineRequest, result_name
from planners.plan.value import Plan
from planners.runs.reconcile import Cause, Instance, InstancePhase

SANDBOX, TRAINER = "sandbox", "trainer"
MAX_BYTES = 64 << 20
Model = TypeVar("Model", bound=BaseModel)


def _read(kind: type[Model], file: Path) -> Model:
    try:
        return kind.model_validate_json(read_limited(file, MAX_BYTES)) if file.exists() else kind()
    except (OSError, ValidationError) as error:
        raise ClusterctlError(f"{file} can't be read: {error}") from error


class PlaceSettings(BaseModel):
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
    home: str = ""
    """Another folder, in which the place and the supervisors of its runs are; empty = they are here."""
    unreachable: str = ""
    """Why that folder can't be reached now; empty = it can."""
    no_capacity: list[str] = []
    """Instance types of which none can be had."""
    launcher_fails: list[str] = []
    """Those for which what asks the place fails before it has an answer."""
    refused: list[str] = []
    """Those that the place will never give, whoever waits."""
    errors: list[dict[str, Any]] = []
    """The next errors: {"on": "observe", "error": "credentials have expired", "times": 3}; `after: true` raises once
    the act is done, as a time-out after creation does."""

    @classmethod
    def read(cls, file: Path) -> PlaceSettings:
        """Those of a file, if there is one.  Raises ClusterctlError where it can't be read."""
        return _read(cls, file)


class Thing(BaseModel):
    """A machine or an instance of the place, with its moments (seconds since 1970)."""

    name: str
    index: int = 0
    asked_at: float
    ready_at: float
    ends_at: float | None = None
    cause: str = ""
    stage: str = ""
    """Of a run, at which a trainer was started; empty = the first."""

    def phase(self, now: float) -> InstancePhase:
        """How far it is at a moment."""
        if self.ends_at is not None and now >= self.ends_at:
            return InstancePhase.ENDED
        if self.ends_at is not None and self.cause == Cause.STOPPED:
            return InstancePhase.ENDING
        return InstancePhase.READY if now >= self.ready_at else InstancePhase.STARTING

    def end(self, at: float, cause: Cause) -> None:
        """Ends it then, unless it ends before."""
        if self.ends_at is None or at < self.ends_at:
            self.ends_at, self.cause = at, cause

    def as_instance(self, identity: str, now: float) -> Instance:
        """As a listing shows it."""
        return Instance(
            role=self.name,
            index=self.index,
            resource_id=identity,
            address=f"fake:{identity}",
            started_at=moment_of(self.asked_at),
            phase=self.phase(now),
            cause=Cause(self.cause) if self.phase(now) is InstancePhase.ENDED else Cause.NONE,
        )

    def as_machine(self, identity: str, now: float) -> Machine:
        """The same: queued for the first half of its coming, paid from then on until its end."""
        paid_from = self.asked_at + (self.ready_at - self.asked_at) / 2
        phase = self.phase(now)
        ended, had = phase is InstancePhase.ENDED, self.ends_at is None or self.ends_at > paid_from
        return Machine(
            resource_id=identity,
            phase=InstancePhase.QUEUED if phase is InstancePhase.STARTING and now < paid_from else phase,
            cause=Cause(self.cause) if ended else Cause.NONE,
            since=moment_of(paid_from) if had and now >= paid_from else None,
            until=moment_of(self.ends_at) if self.ends_at and ended else None,
            address=f"fake:{identity}",
            message="Resources" if phase is InstancePhase.STARTING and now < paid_from else "",
        )


class Place(BaseModel):
    """Everything that is there of one run."""

    machines: dict[str, Thing] = {}
    instances: dict[str, Thing] = {}
    steps: dict[str, int] = {}
    """By stage: how many its trainer has done, over all its starts: its checkpoint."""
    worked_until: float = 0.0
    deadline: float | None = None

    @classmethod
    def read(cls, file: Path) -> Place:
        """The place that a file holds, as it was last left; an empty one where there is none."""
        return _read(cls, file)

    def request(self, wanted: MachineRequest, settings: PlaceSettings, now: float) -> None:
        """A machine that is not there yet."""
        ready_at = now + settings.machine_seconds
        machine = Thing(name=wanted.pool.id, index=wanted.index, asked_at=now, ready_at=ready_at)
        if wanted.pool.instance_type in settings.no_capacity:
            machine.end(now, Cause.NO_CAPACITY)
        if wanted.pool.instance_type in settings.launcher_fails:
            machine.end(now, Cause.LAUNCHER)
        if wanted.pool.instance_type in settings.refused:
            machine.end(now, Cause.REFUSED)
        self.machines.setdefault(wanted.resource_id, machine)

    def advance(self, plan: Plan, files: Path, settings: PlaceSettings, now: float) -> None:
        """What has happened since: steps, the end of the work, the deadline.  files: where the trainer writes."""
        for thing in self.instances.values():
            if self.deadline is not None and now >= self.deadline:
                thing.end(self.deadline, Cause.STOPPED)
            if thing.name == TRAINER:
                self._work(plan, files, thing, settings.step_seconds, min(now, thing.ends_at or now))

    def _work(self, plan: Plan, files: Path, trainer: Thing, step_seconds: float, until: float) -> None:
        """The steps that a trainer has done up to a moment."""
        stage = next((stage for stage in plan.stages if stage.name == trainer.stage), plan.stages[0])
        total, steps = round(stage.units), self.steps.get(stage.name, 0)
        at = max(trainer.ready_at, self.worked_until)
        while steps < total and at + step_seconds <= until:
            at += step_seconds
            steps += 1
            self.steps[stage.name], self.worked_until = steps, at
            done = {"at": moment_of(at).isoformat(), "stage": stage.name, "step": steps, "of": total}
            _write_line(files / "reports.jsonl", json_text(done | {"phases": {"generate": step_seconds}}))
            _write_line(files / "logs" / "trainer.log", f"step {steps}/{total}")
        if steps >= total and trainer.ends_at is None:
            trainer.end(self.worked_until, Cause.DONE)
            write_atomic(files / result_name(plan, stage.name), json_text({"steps": total}))


@contextmanager
def open_place(file: Path) -> Iterator[tuple[Place, float]]:
    """The place that a file holds, and now; kept afterwards.  Others wait for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = Place.read(file)
        yield place, time.time()
        write_atomic(file, place.model_dump_json())


def moment_of(seconds: float) -> datetime:
    """Seconds since 1970 as a moment."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def _write_line(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{text}\n")
