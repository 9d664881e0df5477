"""A simulated place: machines that come late, listings that lag, capacity that is not there; nothing runs, nothing is
paid.

`fleet.targets: [fake]` tries out a run without any machine: nodes appear, a trainer does its planned steps, each in
`step_seconds`.  What goes wrong is set in `fake/settings.json` of the data folder; see `PlaceSettings`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterctl.foreign_files import append
from clusterctl.jobs import Job
from clusterctl.specfile.write import write_atomic
from clusterctl.targets.base import Leftover, MachineRequest, Observed, Pace, RunRef, Target, Unreachable, result_name
from clusterctl.targets.in_place import home_here
from clusterctl.targets.place_commands import ProcessCommands
from clusterctl.targets.remote_home import RemoteHome
from clusterctl.targets.shell import LocalShell, Ran
from clusterctl.targets.simulated_place import SANDBOX, TRAINER, Place, PlaceSettings, Thing, moment_of, open_place
from clusterctl.targets.supervisor_home import SupervisorHome
from planners.plan.value import Plan
from planners.runs.reconcile import Cause, Change, InstancePhase, Role


class FakeTarget(Target):
    """Places in `fake/` of the data folder, one file a run."""

    pace = Pace(observe_seconds=0.1, bound_seconds=5.0, appear_seconds=3.0)

    def __init__(self, store: Path) -> None:
        self.store, self._here = store, store / "fake" / "settings.json"
        elsewhere = PlaceSettings.read(self._here).home
        self.home = _home_in(store, elsewhere, self._here) if elsewhere else home_here(store)
        self.folder = Path(elsewhere or store) / "fake"
        self._settings_file = self.folder / "settings.json"

    def check(self, plan: Plan, *, held: Plan | None = None) -> None:
        """Any plan will do."""

    def roles(self, plan: Plan, stage: str) -> Sequence[Role]:
        """A sandbox server on each sandbox node of the stage, and a trainer that asks them."""
        sandboxes = sum(pool.nodes for pool in plan.pools if SANDBOX in pool.role and pool.stage in {stage, ""})
        if not sandboxes:
            return (Role(name=TRAINER, until_done=True),)
        return (Role(name=SANDBOX, count=sandboxes), Role(name=TRAINER, after=(SANDBOX,), until_done=True))

    def jobs(self, run: RunRef, kept: Mapping[str, Mapping[str, str]]) -> Mapping[str, Job]:  # noqa: ARG002
        """Names only: nothing is started."""
        return {role.name: Job(command=("simulated", role.name)) for role in self.roles(run.plan, run.stage)}

    def apply(self, run: RunRef, machines: Sequence[MachineRequest], *, make: bool) -> None:
        """Requests what is missing, releases what is not named."""
        with self._place(run, "apply") as (place, settings, now):
            wanted = {request.resource_id: request for request in machines}
            for identity, machine in place.machines.items():
                if identity not in wanted:
                    machine.end(now + settings.end_seconds, Cause.STOPPED)
            for request in wanted.values() if make else ():
                place.request(request, settings, now)

    def observe(self, run: RunRef) -> Observed:
        """The place as it was `lag_seconds` ago."""
        with self._place(run, "observe") as (place, settings, now):
            then = now - settings.lag_seconds
            instances = [thing.as_instance(i, then) for i, thing in place.instances.items() if thing.asked_at <= then]
            machines = [thing.as_machine(i, then) for i, thing in place.machines.items() if thing.asked_at <= then]
        return Observed(at=datetime.now(tz=UTC), instances=tuple(instances), machines=tuple(machines))

    def find(self, run: RunRef, resource_id: str) -> bool:
        """Whether an instance of this id lives, without any lag."""
        with self._place(run, "find") as (place, _, now):
            thing = place.instances.get(resource_id)
            return thing is not None and thing.phase(now) is not InstancePhase.ENDED

    def launch(self, run: RunRef, change: Change, job: Job) -> str:  # noqa: ARG002 - nothing is started
        """Accepts it at once; it is ready later."""
        with self._place(run, "launch") as (place, settings, now):
            ready_at = now + settings.start_seconds
            thing = Thing(name=change.role, index=change.index, asked_at=now, ready_at=ready_at, stage=run.stage)
            place.instances.setdefault(change.resource_id, thing)
        return f"fake:{change.resource_id}"

    def stop(self, run: RunRef, change: Change, *, force: bool) -> None:
        """Ends it after `end_seconds`; force: now."""
        with self._place(run, "stop") as (place, settings, now):
            if thing := place.instances.get(change.resource_id):
                thing.end(now if force else now + settings.end_seconds, Cause.STOPPED)

    def set_deadline(self, run: RunRef, deadline: datetime | None, now: datetime) -> None:
        """The place ends all instances then."""
        with self._place(run, "deadline") as (place, _, here):
            place.deadline = None if deadline is None else here + (deadline - now).total_seconds()

    def fetch(self, run: RunRef) -> None:
        """The new bytes of the place's reports and logs, and the result."""
        with self._place(run, "fetch"):
            pass  # brings the place's files up to this moment
        results = (result_name(run.plan, stage.name) for stage in run.plan.stages)
        for name in ("reports.jsonl", "logs/trainer.log", *results):
            _append_new(self.folder / run.run_id / name, run.folder / name)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Machines that are there and belong to no live run; what supervises runs is this machine's."""
        left, now = [], datetime.now(tz=UTC).timestamp()
        self._reach()
        for file in sorted(self.folder.glob("*.place")):
            run_id = file.stem
            if run_id in live_runs or (self.home.find(run_id) and run_id not in known_runs):
                continue
            left += [
                Leftover(kind="machine", address=identity, run_id=run_id, since=moment_of(machine.asked_at))
                for identity, machine in Place.read(file).machines.items()
                if machine.phase(now) is not InstancePhase.ENDED
            ]
        return left

    def remove(self, leftover: Leftover) -> None:
        """Releases a machine, with all that runs on it."""
        self._reach()
        if leftover.kind == "machine":
            with open_place(self._file(leftover.run_id)) as (place, now):
                for thing in (*place.machines.values(), *place.instances.values()):
                    thing.end(now, Cause.STOPPED)

    def disturb(self, run_id: str, resource_id: str, cause: Cause) -> None:
        """Ends a machine, with what runs in the place, or an instance: as a lost node or a crash does."""
        with open_place(self._file(run_id)) as (place, now):
            hit = [place.machines[resource_id], *place.instances.values()] if resource_id in place.machines else []
            for thing in hit or [place.instances[resource_id]]:
                thing.end(now, cause)

    def _file(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.place"

    @contextmanager
    def _place(self, run: RunRef, call: str) -> Iterator[tuple[Place, PlaceSettings, float]]:
        """The run's place, brought up to this moment, kept afterwards; or the next error that is set for this call."""
        self._reach()
        settings = PlaceSettings.read(self._settings_file)
        error = next((error for error in settings.errors if error["on"] == call), None)
        if error is not None and not error.get("after"):
            self._raise(error)
        with open_place(self._file(run.run_id)) as (place, now):
            place.advance(run.plan, self.folder / run.run_id, settings, now)
            yield place, settings, now
        if error is not None:
            self._raise(error)

    def _reach(self) -> None:
        """Raises Unreachable where the place is another folder, and can't be reached now."""
        if why := PlaceSettings.read(self._here).unreachable:
            raise Unreachable(f"fake: {why}")

    def _raise(self, error: dict[str, Any]) -> None:
        """Raises Unreachable for an error that is set; one of its times is over."""
        settings = PlaceSettings.read(self._settings_file)
        for mine in settings.errors:
            if {**mine, "times": 0} == {**error, "times": 0}:
                mine["times"] = mine.get("times", 1) - 1
        settings.errors = [mine for mine in settings.errors if mine.get("times", 1) > 0]
        write_atomic(self._settings_file, settings.model_dump_json())
        raise Unreachable(f"fake: {error['error']}")


def _append_new(source: Path, target: Path) -> None:
    """Bytes of the source that the target has not.  Raises OSError where the target is no file."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as more:
            more.seek(target.stat().st_size if target.exists() else 0)
            append(target, more.read())


class _Reach(LocalShell):
    """A shell of this machine that stands for one far away."""

    name = "fake"

    def __init__(self, settings_file: Path) -> None:
        self._settings_file = settings_file

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        """As on this machine, unless the place can't be reached."""
        if why := PlaceSettings.read(self._settings_file).unreachable:
            raise Unreachable(f"fake can't be reached: {why}", hint="nothing was changed; repeat the command later")
        return super().run(script, seconds=seconds, stdin=stdin)


def _home_in(store: Path, folder: str, settings_file: Path) -> SupervisorHome:
    """Supervisors live in another folder, as they do on another machine."""
    shell, commands = _Reach(settings_file), ProcessCommands(folder)
    return RemoteHome(store, shell, commands, folder, python=sys.executable, pull_seconds=0.2, lease_seconds=6.0)
