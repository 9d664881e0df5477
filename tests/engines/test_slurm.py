"""The Slurm target on a real Slurm by a real SkyPilot: two pools, a gang, a second run, a scheduler that hangs, a node that is lost, the end.

One story in several tests, in order: an allocation takes SkyPilot half a minute.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from clusterctl.jobs import Job
from clusterctl.plan_service import Planner, open_source
from clusterctl.targets.base import Machine, MachineRequest, Observed, RunRef, Unreachable
from clusterctl.targets.slurm import SlurmTarget
from planners.plan.value import Plan
from planners.runs.reconcile import Action, Cause, Change, Instance, InstancePhase, resource_id

SPEC = """
name: story
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2, job: {command: "true"}}
fleet:
  targets: ["slurm:mini"]
  machines:
    - {name: gpu, gpu: H100, gpus_per_node: 8, nodes: 2, vcpus: 64, memory_gib: 500, usd_per_hour: 20}
    - {name: cpu, nodes: 1, vcpus: 32, memory_gib: 125, usd_per_hour: 1}
"""
GANG = "echo rank $CLUSTERCTL_NODE_RANK of $CLUSTERCTL_NODES, head $CLUSTERCTL_HEAD, GPUs $CUDA_VISIBLE_DEVICES, $(cat greeting.txt)"


@dataclass
class Story:
    """A run as its supervisor watches it."""

    target: SlurmTarget
    run: RunRef
    start: int = 1
    seen: list[str] = field(default_factory=list)
    asked_at: dict[int, datetime] = field(default_factory=dict)
    """By start, when its machines were first asked for."""

    def requests(self) -> list[MachineRequest]:
        found, asked_at = [], self.asked_at.setdefault(self.start, datetime.now(tz=UTC))
        for pool in self.run.plan.pools:
            for index in range(pool.nodes):
                slot = pool.id if index == 0 else f"{pool.id}-{index + 1}"
                identity = resource_id(self.run.run_id, slot, self.start)
                found.append(MachineRequest(resource_id=identity, pool=pool, index=index, since=asked_at))
        return found

    def tick(self, *, wanted: bool = True) -> Observed:
        observed = self.target.observe(self.run)
        self.target.apply(self.run, self.requests() if wanted else [], make=wanted)
        return observed

    def until(
        self, condition: Callable[[Observed], object], seconds: float = 420.0, *, wanted: bool = True
    ) -> Observed:
        deadline = time.monotonic() + seconds
        while True:
            observed = self.tick(wanted=wanted)
            if condition(observed):
                return observed
            assert time.monotonic() < deadline, observed
            time.sleep(1)

    def launch(self, role: str, job: Job) -> None:
        identity = resource_id(self.run.run_id, role, 1)
        self.target.launch(
            self.run, Change(action=Action.LAUNCH, role=role, resource_id=identity, reason="wanted"), job
        )

    def stop(self, role: str) -> None:
        identity = resource_id(self.run.run_id, role, 1)
        self.target.stop(
            self.run, Change(action=Action.STOP, role=role, resource_id=identity, reason="test"), force=False
        )

    def close(self) -> None:
        self.target._state(self.run).sky.close()


def phases(things: tuple[Machine, ...] | tuple[Instance, ...]) -> set[InstancePhase]:
    return {thing.phase for thing in things}


def all_ready(observed: Observed) -> bool:
    return bool(observed.machines) and phases(observed.machines) == {InstancePhase.READY}


def one(observed: Observed, role: str) -> Instance:
    return next(instance for instance in observed.instances if instance.role == role)


def plan_of(folder: Path, spec: str = SPEC) -> Plan:
    (folder / "spec.yaml").write_text(spec)
    plan = Planner(now=datetime(2026, 11, 23, tzinfo=UTC)).plan(open_source(str(folder / "spec.yaml")))
    sandbox = plan.pools[0].model_copy(update={"nodes": 1})
    gpus = {
        "id": "pool.rlcef.trainer",
        "role": "trainer",
        "instance_type": "gpu",
        "gpu": "H100",
        "gpus_per_node": 8,
        "nodes": 2,
    }
    return plan.model_copy(update={"pools": (sandbox.model_copy(update=gpus), sandbox)})


@pytest.fixture(scope="module")
def story(slurm_cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Story]]:
    home = tmp_path_factory.mktemp("home")
    slurm_cluster.write_client_files(home)
    stories: dict[str, Story] = {}

    def of(name: str) -> Story:
        if name not in stories:
            run = RunRef(run_id=name, plan=plan_of(home), folder=home / name, tags={}, stage="rlcef")
            stories[name] = Story(SlurmTarget(home, "mini"), run)
        return stories[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("CLUSTERCTL_SKYPILOT_PYTHON", str(slurm_cluster.SKYPILOT_PYTHON))
        yield of
    for each in stories.values():
        each.close()


def test_two_pools_are_launched_side_by_side(story: Callable[[str], Story], slurm_cluster: ModuleType) -> None:
    first = story("one")
    first.target.check(first.run.plan)
    observed = first.until(all_ready)
    assert [machine.address for machine in observed.machines] == ["gpu1", "gpu2", "cpu1"]
    rows = slurm_cluster.run("login", "squeue", "-h", "-o", "%j|%V", user="skyu").splitlines()
    names, submitted = zip(*(row.split("|") for row in rows), strict=True)
    assert all(name.startswith("cctl-one-rlcef-") for name in names)
    times = sorted(datetime.fromisoformat(text) for text in submitted)
    assert (times[-1] - times[0]).total_seconds() < 30  # one after the other: a launch apart
    since = {machine.since for machine in observed.machines}
    assert all(moment is not None and (observed.at - moment).total_seconds() < 420 for moment in since)


def test_a_gang_ends_with_its_first_rank_and_launching_twice_is_launching_once(
    story: Callable[[str], Story], slurm_cluster: ModuleType
) -> None:
    first = story("one")
    pool = first.run.plan.pools[0].id
    script = f"{GANG}; [ $CLUSTERCTL_NODE_RANK = 1 ] && sleep 3 && echo out of luck && exit 3; sleep 1000"
    job = Job(command=("bash", "-c", script), pool_id=pool, nodes=2, gpus_per_node=8, files={"greeting.txt": "hello\n"})
    serve = Job(
        command=("python3", "-m", "http.server", "20123"),
        pool_id=first.run.plan.pools[1].id,
        ports={"http": 20123},
        ready_path="/",
    )
    for _ in range(2):
        first.launch("trainer", job)
        first.launch("server", serve)
    observed = first.until(
        lambda o: one(o, "trainer").phase is InstancePhase.ENDED and one(o, "server").phase is InstancePhase.READY
    )
    assert (one(observed, "trainer").cause, one(observed, "trainer").message) == (
        Cause.FAILED,
        "rank 1: exit code 3: out of luck",
    )
    first.target.fetched = 0
    first.target.place.fetch("one", first.run.folder, [])
    log = (first.run.folder / "logs" / "trainer.log").read_text()
    assert log == f"rank 0 of 2, head {slurm_cluster.NETWORK}.11, GPUs 0,1,2,3,4,5,6,7, hello\n"
    assert "GPUs 0,1,2,3,4,5,6,7" in (first.run.folder / "logs" / "trainer.rank1.log").read_text()
    assert (
        json.loads(first.target.place.shell.read(f"{first.target.place.folder('one')}/roles/server.1/job.json") or b"")[
            "role"
        ]
        == "server"
    )


def test_what_the_scheduler_and_skypilot_would_end_follows_the_runs_limits(
    story: Callable[[str], Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, now = story("one"), datetime.now(tz=UTC)
    monkeypatch.setattr("clusterctl.targets.slurm_run.AUTODOWN_SECONDS", -1.0)
    state = first.target._state(first.run)
    with contextlib.closing(sqlite3.connect(state.sky._home / ".sky" / "state.db", timeout=30)) as notes:

        def idle_minutes() -> set[int]:
            return {row[0] for row in notes.execute("SELECT autostop FROM clusters").fetchall()}

        assert idle_minutes() == {60}
        notes.execute("UPDATE clusters SET autostop = -1")
        notes.commit()
        first.tick()
        first.target.set_deadline(first.run, now + timedelta(hours=1), now)
        first.until(lambda _: idle_minutes() == {60}, 180)
    first.target.set_deadline(first.run, None, now)
    seen = state.seen
    assert seen is not None
    ends = [job.ends for job in seen.jobs if job.ends is not None and job.tags["run"] == "one"]
    latest = now + timedelta(hours=1, minutes=16)  # of 24 hours, which the partition allows
    assert len(ends) == 2
    assert all(now < end < latest for end in ends)


def test_a_second_run_waits_and_says_the_schedulers_reason(story: Callable[[str], Story]) -> None:
    second = story("two")

    def gpus_of(observed: Observed) -> list[Machine]:
        return [machine for machine in observed.machines if "trainer" in machine.resource_id]

    def all_wait(observed: Observed) -> bool:
        found = gpus_of(observed)
        return bool(found) and all(machine.message.startswith("pending: ") for machine in found)

    gpus = gpus_of(second.until(all_wait))
    assert {(machine.phase, machine.since) for machine in gpus} == {(InstancePhase.QUEUED, None)}
    assert {machine.message for machine in gpus} <= {"pending: Resources", "pending: Priority"}


def test_a_scheduler_that_hangs_changes_nothing(story: Callable[[str], Story], slurm_cluster: ModuleType) -> None:
    first = story("one")
    with slurm_cluster.paused("slurmctld"):
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer within 8 s"):
            first.target.observe(first.run)
        assert time.monotonic() - began < 20
        time.sleep(20)
    observed = first.until(all_ready, 60)
    assert one(observed, "server").phase is InstancePhase.READY


def test_what_was_asked_to_end_has_stopped(story: Callable[[str], Story]) -> None:
    first = story("one")
    first.stop("server")
    observed = first.until(lambda o: one(o, "server").phase is InstancePhase.ENDED, 60)
    assert one(observed, "server").cause is Cause.STOPPED


def test_a_lost_node_ends_its_allocation_and_the_waiting_run_gets_the_rest(
    story: Callable[[str], Story], slurm_cluster: ModuleType
) -> None:
    first, second = story("one"), story("two")
    slurm_cluster.switch_off("gpu2")
    observed = first.until(lambda o: InstancePhase.ENDED in phases(o.machines), 120)
    lost = [machine for machine in observed.machines if machine.phase is InstancePhase.ENDED]
    assert {(machine.cause, machine.message) for machine in lost} == {(Cause.NODE_LOST, "a node has failed")}
    assert len(lost) == 2  # the whole gang
    assert all(machine.until is not None and machine.since is not None for machine in lost)
    slurm_cluster.start("gpu2")
    if InstancePhase.ENDED in phases(second.tick().machines):  # SkyPilot gives a launch up while the scheduler hangs
        second.start = 2

    def gpus(observed: Observed) -> list[Machine]:
        return [machine for machine in observed.machines if "trainer" in machine.resource_id and machine.address]

    observed = second.until(lambda o: len(gpus(o)) == 2, 180)
    assert [machine.address for machine in gpus(observed)] == ["gpu1", "gpu2"]


def test_after_the_end_nothing_is_left(story: Callable[[str], Story], slurm_cluster: ModuleType) -> None:
    for name in ("one", "two"):
        story(name).until(lambda o: phases(o.machines) <= {InstancePhase.ENDED}, 120, wanted=False)
    assert slurm_cluster.run("login", "squeue", "-h") == ""
    deadline = time.monotonic() + 60
    while (left := processes(slurm_cluster)) and time.monotonic() < deadline:
        time.sleep(1)
    assert left == []
    assert story("one").target.leftovers(frozenset(), frozenset({"one", "two"})) == []


def processes(slurm_cluster: ModuleType) -> list[str]:
    """What still runs of the user on the nodes."""
    lines = [
        line
        for node in slurm_cluster.NODES
        for line in slurm_cluster.run(node, "ps", "-u", "skyu", "-o", "stat=,args=", check=False).splitlines()
    ]
    return [line for line in lines if not line.startswith("Z")]
