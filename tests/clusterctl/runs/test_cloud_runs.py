"""A run on a cluster of its own in a cloud: made by `up`, billed while it stands, removed by `down`, whatever crashes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from fake_cloud import START, FakeCloud, FakeFleets, FakeStack, Killed  # found by the path above

from clusterctl import clock
from clusterctl.clouds.base import CloudResource, CloudUnreachable, CredentialsMissing, NotAsked, Quota
from clusterctl.fleet.errors import FleetError, FleetStateError, StackLocked
from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import Intent
from clusterctl.runs import ending, own_cluster
from clusterctl.targets import cloud, cloud_home
from clusterctl.targets.base import Unreachable
from clusterctl.targets.supervisor_home import SupervisorHome
from clusterctl.targets.wishes import Wish, heed

Run = Callable[..., Any]
SPEC = """
name: rl
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2, job: {command: "true"}}
fleet: {targets: [aws], regions: [us-east-1]}
limits: {usd: 50, hours: 10}
"""
USD_PER_SECOND = (Decimal("0.1") + Decimal("0.096") + Decimal("0.045")) / 3600
"""Control plane, system node, gateway."""


class StandInHome(SupervisorHome):
    """The home in the cluster, whose supervisor does nothing by itself; what ends the run is done by the command."""

    hung_seconds = 150.0
    started: dict[str, str] = {}  # noqa: RUF012 - of all commands of a test
    away = ""

    def __init__(self, *_: object) -> None:
        self.shell = self

    def write(self, path: str, content: bytes) -> None:
        self.started[path] = content.decode()

    def read(self, path: str) -> bytes | None:
        return b'{"reward": 1}' if path.endswith("/result.json") else None

    def start(self, ledger: Any, run: Any, environment: Any) -> str:
        self.started[run.run_id] = "pod"
        return "pod"

    def find(self, run_id: str) -> list[str]:
        return ["pod"] if run_id in self.started else []

    def age_seconds(self, address: str) -> float:
        return 0.0

    def alive(self, address: str) -> bool:
        return True

    def watches(self, ledger: Any, run_id: str) -> bool:
        return run_id in self.started

    def may_take_over(self, ledger: Any, run_id: str) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def wish(self, ledger: Any, run: Any, wish: Wish) -> None:
        if StandInHome.away:
            raise Unreachable(StandInHome.away)
        heed(ledger, run.run_id, wish, at=ledger.now())

    def has_folder(self, run: Any) -> bool:
        return True


class World:
    """One user's machine, and a cloud in memory."""

    def __init__(self, run: Run, store: Path) -> None:
        self._run, self.store, self.cloud, self.fleets, self.now = run, store, FakeCloud(), FakeFleets(), START
        self.environment = {
            "CLUSTERCTL_HOME": str(store),
            "CLUSTERCTL_IMAGE": "registry/clusterctl:1",
            "CLUSTERCTL_ACCESS_CIDRS": "203.0.113.7/32",
        }
        self.fleets.told, self.fleets.now = lambda: self.later(1), lambda: self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def run(self, *words: str) -> Any:
        return self._run(*words, **self.environment)

    def up(self, *options: str) -> Any:
        return self.run("up", "run.yaml", "--yes", "--detach", *options)

    def ledger(self) -> Any:
        return open_ledger(str(self.store / "ledger.db"))

    @property
    def name(self) -> str:
        with self.ledger() as ledger:
            return str(ledger.runs()[0].run_id)

    def usd(self) -> Decimal:
        with self.ledger() as ledger:
            return Decimal(ledger.bill(self.name).known_usd)


@pytest.fixture
def world(in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    store = tmp_path / "store"
    (tmp_path / "run.yaml").write_text(SPEC)
    world = World(in_process, store)
    monkeypatch.setattr(cloud, "CloudTarget", partial(cloud.CloudTarget, cloud=world.cloud, fleet_stack=world.fleets))
    monkeypatch.setattr(cloud, "require_programs", lambda _: None)
    monkeypatch.setattr(cloud_home, "KubernetesHome", StandInHome)
    monkeypatch.setattr(StandInHome, "started", {})
    monkeypatch.setattr(clock.SteadyClock, "now", lambda self: world.now)
    return world


def test_up_makes_the_cluster_and_down_removes_it_billed_while_it_stood(world: World) -> None:
    shown = world.run("up", "run.yaml", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "paid by aws 123456789012" in shown.stdout
    assert "4 resources to make or change, no node among them; $0.241 an hour" in shown.stdout
    assert "aws ec2 Vpc" in shown.stdout
    assert world.fleets.made == {}

    up = world.up()
    assert up.returncode == 0, up.stderr
    assert "done create aws:eks/cluster:Cluster rl-1" in up.stderr
    folder = world.store / "runs" / world.name
    assert (folder / "kubeconfig").stat().st_mode & 0o777 == 0o600
    assert StandInHome.started[f"/data/runs/{world.name}/fleet.json"] == (
        json.dumps(json.loads((folder / "fleet.json").read_text()), separators=(",", ":"))
    )
    world.later(3600)
    again = world.up()
    assert (again.returncode, len(world.fleets.made[world.name])) == (0, 4), again.stderr
    down = world.run("down", world.name, "--yes")
    assert down.returncode == 0, down.stderr
    assert "nothing left running" in down.stdout
    assert "Kubernetes control plane" in down.stdout
    assert world.fleets.made[world.name] == []
    assert not (folder / "kubeconfig").exists()
    assert (folder / "result.json").read_text() == '{"reward": 1}', "its volume is gone"
    # each from when it was made until it was gone: in the opposite order, a second each
    hour = 3600 * USD_PER_SECOND
    assert world.usd() == pytest.approx(hour, rel=Decimal("0.002"))
    before = world.usd()
    world.later(3600)
    assert world.run("down", world.name, "--yes").returncode == 0
    assert world.usd() == before
    assert world.run("status").stdout.startswith("nothing runs")


@pytest.mark.parametrize("then", ["up", "down"])
def test_a_command_that_is_killed_while_it_makes_the_cluster_is_repeated(world: World, then: str) -> None:
    world.fleets.fails = Killed()
    assert world.up().returncode != 0
    assert len(world.fleets.made[world.name]) == 2
    (row,) = json.loads(world.run("status", world.name, "--json").stdout)
    assert row["state"] == "provisioning"
    problems = " ".join(problem["what"] for problem in row["problems"])
    assert "its cluster is not complete, and nobody makes it" in problems
    assert "its cluster is being made, for" in problems
    assert len(world.fleets.made[world.name]) == 2, "status makes nothing"
    world.later(60)
    if then == "up":
        assert world.up().returncode == 0
        assert len(world.fleets.made[world.name]) == 4
    down = world.run("down", world.name, "--yes")
    assert down.returncode == 0, down.stderr
    assert world.fleets.made[world.name] == []
    assert world.usd() > 60 * Decimal("0.045") / 3600, "the gateway was there before the crash"


def test_what_a_command_that_was_killed_could_not_say_is_billed_by_the_times_of_the_state(world: World) -> None:
    world.fleets.fails = Killed()  # the gateway is there, and the command has not heard of it
    world.fleets.told = lambda: world.later(100)
    assert world.up().returncode != 0
    world.later(3600)
    world.up()
    world.fleets.fails = Killed()  # the control plane has gone, and the command has not heard of it
    assert world.run("down", world.name, "--yes").returncode != 0
    world.later(3600)
    down = world.run("down", world.name, "--yes")
    assert down.returncode == 0, down.stderr
    seconds = {"0.045": 7800 - 100, "0.1": 4100 - 3800, "0.096": 4000 - 3900}
    usd = sum(Decimal(price) * until for price, until in seconds.items()) / 3600
    assert world.usd() == pytest.approx(usd, rel=Decimal("0.002"))


def edit(world: World, old: str, new: str) -> str:
    """The spec, edited; the id of the run's plan before."""
    file = world.store.parent / "run.yaml"
    file.write_text(file.read_text().replace(old, new))
    with world.ledger() as ledger:
        return str(ledger.get_run(world.name).plan_id)


def had_machine(world: World, plan_id: str) -> None:
    """A machine that its supervisor has had by a plan."""
    with world.ledger() as ledger:
        tags = {"clusterctl.dev/plan-id": plan_id}
        identity = f"{world.name}/pool.rlcef.trainer/1"
        ledger.intend(
            Intent(resource_id=identity, run_id=world.name, role="node", kind="machine", provider="aws", tags=tags)
        )
        ledger.mark_live(identity, address="i-1", at=START)


def refused(*_: object) -> None:
    raise FleetError("VcpuLimitExceeded", hint="ask for more")


@pytest.mark.parametrize("stopped", [False, True])
def test_an_edited_spec_changes_the_run_on_its_cluster(world: World, stopped: bool) -> None:
    world.up()
    name, before = world.name, edit(world, "steps: 4", "steps: 8")
    had_machine(world, before)
    if stopped:  # at a limit: its cluster stands
        with world.ledger() as ledger:
            ledger.mark_gone(f"{name}/pool.rlcef.trainer/1", at=START)
            ledger.set_state(name, "stopped", note="the limit is reached")
    shown = world.run("up", "run.yaml", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f"changes {name}" in shown.stdout
    assert "~ rlcef: 4 → 8 steps" in shown.stdout
    assert "before   " in shown.stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeStack, "up", refused)
        up = world.up()
    assert (up.returncode, "VcpuLimitExceeded" in up.stderr) == (1, True), up.stderr
    assert edit(world, "", "") == before, "its plan is the old one until its cluster has what the new one needs"
    up = world.up()
    assert up.returncode == 0, up.stderr
    with world.ledger() as ledger:
        (row,) = ledger.runs()
        (event,) = ledger.events(name, kind="plan")
    assert (row.run_id, row.plan_id) == (name, world.fleets.plans[-1].id)
    assert row.desired == "up"
    assert event.message.startswith(f"plan {before} → {row.plan_id}: rlcef: 4 → 8 steps")
    assert len(world.fleets.plans[-1].elsewhere) > len(world.fleets.plans[0].elsewhere), "pools with nodes are kept"
    down = world.run("down", name, "--yes")
    assert down.returncode == 0, down.stderr
    assert world.fleets.made[name] == []


def test_what_a_run_in_a_cloud_can_not_become_in_place(world: World) -> None:
    world.up()
    edit(world, "us-east-1", "us-west-2")
    up = world.up()
    assert (up.returncode, "it lives on aws in us-east-1, and would live on aws in us-west-2" in up.stderr) == (5, True)
    assert f"`clusterctl down {world.name}` ends it" in up.stderr


def test_a_removal_that_fails_is_repeated_and_billed_on(world: World) -> None:
    world.up()
    world.fleets.fails = FleetError("DependencyViolation: subnet is in use", hint="again")
    down = world.run("down", world.name, "--yes")
    assert (down.returncode, "DependencyViolation" in down.stderr) == (1, True)
    world.later(86400)
    status = world.run("status")
    assert f"{world.name}" in status.stdout, "also without --all"
    assert "its cluster stands, and costs $1.08 a day" in status.stdout.replace("\n    ", " ")
    assert f"clusterctl down {world.name}" in status.stdout
    assert world.usd() > 86400 * Decimal("0.045") / 3600
    down = world.run("down", world.name, "--yes")
    assert down.returncode == 0, down.stderr


def test_what_the_cloud_still_holds_after_down_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "FORGET_SECONDS", 0.2)
    world.up()
    row = {"cloud": "aws", "region": "us-east-1", "run_id": world.name, "owner": "me", "since": START}
    world.cloud.left = [CloudResource(kind="volume", id="vol-1", name="checkpoints", command="aws ec2 …", **row)]
    down = world.run("down", world.name, "--yes")
    assert (down.returncode, "still there: checkpoints aws:/us-east-1/vol-1" in down.stderr) == (5, True), down.stderr
    note = "a capacity block, paid until 2026-12-02 11:30, $2,641.92 in all: it can't be given back"
    world.cloud.left = [CloudResource(kind="capacity block", id="cr-1", name="", note=note, **row)]
    down = world.run("down", world.name, "--yes")
    assert (down.returncode, note in down.stderr) == (0, True), down.stderr
    world.cloud.left, world.cloud.not_asked = [], (NotAsked(cloud="aws", place="us-east-1", reason="AccessDenied"),)
    down = world.run("down", world.name, "--yes")
    assert (down.returncode, "could not be asked everywhere: us-east-1: AccessDenied" in down.stderr) == (1, True)


def test_what_is_refused_before_anything_is_made(world: World) -> None:
    quota = {"cloud": "aws", "name": "P instances", "region": "us-east-1", "limit": 96.0, "used": 0.0, "asked": 384.0}
    world.cloud.short = (Quota(**quota, unit="vCPU", code="L-417A185B", request="aws service-quotas request …"),)
    up = world.up()
    assert (up.returncode, "384 vCPU of P instances (L-417A185B) in us-east-1: it has 96" in up.stderr) == (3, True)
    assert "aws service-quotas request" in up.stderr
    world.cloud.short = ()
    world.cloud.fails = CredentialsMissing("aws: nobody has said who asks", hint="`aws configure`")
    up = world.up()
    assert (up.returncode, "aws configure" in up.stderr) == (1, True)
    world.cloud.fails = None
    for cidrs, said in (("", "names nobody"), ("10.0.0.0/8, 0.0.0.0/0", "is everybody")):
        world.environment["CLUSTERCTL_ACCESS_CIDRS"] = cidrs
        up = world.up()
        assert (up.returncode, said in up.stderr) == (2, True), up.stderr
    world.environment["CLUSTERCTL_ACCESS_CIDRS"] = "203.0.113.7/32"
    world.environment["CLUSTERCTL_FLEET"] = "vpcId"
    assert "CLUSTERCTL_FLEET is no JSON of keys and values" in world.up().stderr
    world.environment["CLUSTERCTL_FLEET"] = ""
    world.cloud.regions = lambda: ("eu-west-1",)  # type: ignore[method-assign]
    up = world.up()
    assert (up.returncode, "can't use the region us-east-1" in up.stderr) == (2, True)
    assert world.fleets.made == {}
    with world.ledger() as ledger:
        assert not ledger.runs()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FleetStateError("the state was written by Pulumi 4", hint="upgrade"), 5),
        (StackLocked("the fleet is locked by ann@desk since 10:00", hint="wait"), 5),
    ],
)
def test_a_state_that_can_not_be_used_is_said_and_nothing_is_half_done(
    world: World, error: FleetError, code: int
) -> None:
    world.fleets.fails = error
    up = world.up()
    assert (up.returncode, error.message in up.stderr, str(error.hint) in up.stderr) == (code, True, True)
    assert world.up().returncode == 0, "then again"
    assert world.run("down", world.name, "--yes").returncode == 0


def test_two_commands_do_not_change_one_cluster_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_home, "CHANGE_SECONDS", 0.1)
    said: list[str] = []

    def meanwhile() -> None:
        if not said:
            (row,) = json.loads(world.run("status", world.name, "--json").stdout)
            said.append(row["state"])
            with contextlib.suppress(Exception), cloud_home.CloudHome(world.store, "aws").changing(world.name):
                said.append("both")

    world.fleets.told = meanwhile
    assert world.up().returncode == 0
    assert said == ["provisioning"]


def test_while_the_cloud_is_away_down_says_that_nobody_knows(world: World) -> None:
    world.up()
    world.cloud.fails = CloudUnreachable("aws does not answer", hint="again later")
    down = world.run("down", world.name, "--yes")
    assert (down.returncode, "aws does not answer" in down.stderr) == (1, True)


def test_a_cluster_that_can_not_be_reached_is_removed_with_what_is_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_cluster, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(own_cluster, "AWAY_SECONDS", 0.1)
    world.up()
    monkeypatch.setattr(StandInHome, "away", "rl-1 can't be reached: i/o timeout")
    down = world.run("down", world.name, "--yes")
    assert down.returncode == 0, down.stderr
    assert "i/o timeout; after" in down.stderr
    assert "ended with its cluster, which could not be reached" in down.stdout
    assert world.fleets.made[world.name] == []
    monkeypatch.setattr(own_cluster, "AWAY_SECONDS", 60.0)
    monkeypatch.setattr(StandInHome, "away", "")
    assert world.up().returncode == 0, "again, on a new cluster"
    away = iter(["rl-1 can't be reached"])
    monkeypatch.setattr(own_cluster.time, "sleep", lambda _: setattr(StandInHome, "away", next(away, "")))
    assert world.run("down", world.name, "--yes").returncode == 0


def test_another_laptop_takes_the_run_up_by_the_state_of_pulumi(world: World, tmp_path: Path) -> None:
    world.up()
    name = world.name
    world.environment["CLUSTERCTL_HOME"] = str(tmp_path / "other")
    unknown = world.run("status", name)
    assert (unknown.returncode, "no run" in unknown.stderr) == (2, True), unknown.stderr
    world.environment["CLUSTERCTL_STATE_URL"] = "s3://states"
    there = world.run("status", name)
    assert (tmp_path / "other" / "runs" / name / "kubeconfig").exists(), there.stderr
