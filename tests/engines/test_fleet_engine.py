"""A run's fleet through `FleetStack`, on the real engine with the real SDKs, beside a cloud that is a file."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent / "pulumi"))

from fleet import RUN, FakeFleet, build_engine, make_plan

from clusterctl.fleet import program
from clusterctl.fleet.errors import FleetError, FleetStateError, LoginNeeded, NoCapacity, QuotaExceeded, StackLocked
from clusterctl.fleet.place import FleetPlace
from clusterctl.fleet.stack import FleetEvent, FleetOptions, FleetStack

OPTIONS = FleetOptions(owner="ledger-1", nodes="plan", settings={"inCluster": "false"})


def quiet(_: FleetEvent) -> None:
    """Says nothing."""


@pytest.fixture
def fleet_of(tmp_path: Path, in_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A fleet on a cloud, with nothing made yet, and its stack."""
    made: list[FakeFleet] = []

    def fleet(cloud: str) -> tuple[FakeFleet, FleetStack]:
        found = FakeFleet(tmp_path, build_engine(), make_plan(tmp_path, in_process, cloud))
        for name, value in found.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("CLUSTERCTL_STATE_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
            monkeypatch.delenv(name, raising=False)
        stack = FleetStack(found.store, RUN)
        stack.settle_seconds = 4.0
        made.append(found)
        return found, stack

    yield fleet
    for each in made:
        program.end_leftovers(each.store / "fleets" / "work" / RUN)


def life(fleet: FakeFleet, stack: FleetStack) -> None:
    """Preview, up, up again, an edit, what others change, destroy."""
    gpus = next(pool for pool in fleet.pools if pool["gpu"])
    preview = stack.preview(fleet.plan, OPTIONS)
    assert set(preview.counts) == {"create"}
    assert preview.usd_per_hour >= sum(pool["nodes"] * pool["usd_per_node_hour"] for pool in fleet.pools)
    assert not fleet.cloud.held(), "a preview makes nothing"
    events: list[FleetEvent] = []
    outputs = stack.up(fleet.plan, OPTIONS, events.append)
    assert outputs == stack.outputs()
    assert sum(pool.most_nodes for pool in outputs.pools) == sum(pool["nodes"] for pool in fleet.pools)
    begun = [(event.type, event.name) for event in events if event.kind == "started"]
    assert sorted(begun) == sorted((event.type, event.name) for event in events if event.kind == "done")
    assert len(begun) == len(fleet.cloud.held()) == preview.counts["create"]
    assert not stack.preview(fleet.plan, OPTIONS).changes, "a second time changes nothing"
    assert not stack.drift().changes
    name = next(each.name for each in outputs.pools if each.instance_type == gpus["instance_type"])
    pools = [held for held in fleet.cloud.held() if held.type.endswith(("NodeGroup", "NodePool", "AgentPool"))]
    pool = next(held for held in pools if held.name == name)
    fleet.cloud.note(pool.id, without_a_node(pool.properties))
    drift = stack.drift()
    assert [(step.op, step.name) for step in drift.changes] == [("update", pool.name)]
    # with its boot disk, which is a thousandth of a node with eight H100
    assert drift.usd_per_hour_change == pytest.approx(-gpus["usd_per_node_hour"], rel=2e-3)
    stack.destroy(quiet)
    assert fleet.cloud.held() == []
    assert stack.outputs() is None
    stack.destroy(quiet)  # what has gone is no error


def without_a_node(properties: Any) -> dict[str, Any]:
    """A pool from which somebody has taken a node."""
    text = json.loads(json.dumps(properties))
    for place, name in ((text.get("scalingConfig") or {}, "desiredSize"), (text, "nodeCount"), (text, "count")):
        if isinstance(place.get(name), int | float):
            place[name] -= 1
    return dict(text)


def test_a_fleet_is_previewed_made_compared_and_removed(fleet_of: Any) -> None:
    life(*fleet_of("aws"))


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["gcp", "azure"])
def test_a_fleet_on_another_cloud_is_previewed_made_compared_and_removed(fleet_of: Any, cloud: str) -> None:
    life(*fleet_of(cloud))


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_requests_that_are_cut_after_each_resource_was_made_make_none_twice(fleet_of: Any, cloud: str) -> None:
    fleet, stack = fleet_of(cloud)
    fleet.cloud.set(cut=["*"], cuts_left=1000)
    for _ in range(6):  # each time to resources that need those before
        with contextlib.suppress(FleetError):
            stack.up(fleet.plan, OPTIONS, quiet)
            break
    assert fleet.twice() == []
    assert not stack.preview(fleet.plan, OPTIONS).changes
    stack.destroy(quiet)
    assert fleet.cloud.held() == []


@pytest.mark.slow
def test_what_a_cloud_shows_late_after_a_cut_is_not_made_twice(fleet_of: Any) -> None:
    fleet, stack = fleet_of("gcp")
    stack.settle_seconds = 30.0
    fleet.cloud.set(cut=["Network"], cuts_left=1, lag_seconds=20.0)  # the next attempt comes after 5 s
    events: list[FleetEvent] = []
    stack.up(fleet.plan, OPTIONS, events.append)
    assert any("may be late" in event.message for event in events)
    assert fleet.twice() == []
    fleet.cloud.set(lag_seconds=0.0)
    stack.destroy(quiet)
    assert fleet.cloud.held() == []


def test_what_a_cloud_refuses_is_said_as_what_it_is_and_the_same_command_goes_on(fleet_of: Any) -> None:
    fleet, stack = fleet_of("aws")
    machine = next(pool["instance_type"] for pool in fleet.pools if pool["gpu"])
    fleet.cloud.set(expired=True)
    with pytest.raises(LoginNeeded) as refused:
        stack.up(fleet.plan, OPTIONS, quiet)
    assert "aws sso login" in (refused.value.hint or "")
    fleet.cloud.set(expired=False, quota={machine: 1})
    with pytest.raises(QuotaExceeded, match=machine):
        stack.up(fleet.plan, OPTIONS, quiet)
    fleet.cloud.set(quota={}, no_capacity=[machine])
    with pytest.raises(NoCapacity, match=machine):
        stack.up(fleet.plan, OPTIONS, quiet)
    fleet.cloud.set(no_capacity=[], unreadable=True)
    with pytest.raises(FleetError, match="AccessDenied"):  # the recovery of what was refused is cut, too
        stack.up(fleet.plan, OPTIONS, quiet)
    fleet.cloud.set(unreadable=False, throttled=2)
    stack.up(fleet.plan, OPTIONS, quiet)
    assert fleet.twice() == []
    paid = {row for held in fleet.cloud.held() for row in fleet.cloud.machine_types(held.properties)}
    assert machine in paid, "a pool that was begun, and of which the state says more than the cloud, is made"


def cut_while_writing(store: Path, locks: Path) -> None:
    """What an engine leaves that is killed in the middle of a write: with each of them it can't go on by itself."""
    states = store / "fleets/.pulumi"
    locks.mkdir(parents=True, exist_ok=True)
    found = [states / "meta.yaml.attrs", states / f"stacks/clusterctl/{RUN}.json.attrs", locks / "a.json.18c.tmp"]
    found += (store / "fleets/home/workspaces").glob("*.json")
    assert len(found) >= 4
    for file in found:
        file.write_bytes(b"")


def test_a_state_that_cannot_be_used_is_one_message(fleet_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, stack = fleet_of("aws")
    empty = FleetOptions(owner="ledger-1", settings={"inCluster": "false"})
    fleet.cloud.set(expired=True)
    with pytest.raises(LoginNeeded):  # the stack is there, with nothing in it
        stack.up(fleet.plan, empty, quiet)
    fleet.cloud.set(expired=False)
    locks = fleet.store / "fleets/.pulumi/locks/organization/clusterctl" / RUN
    locks.mkdir(parents=True, exist_ok=True)
    lock = {"pid": 1, "username": "ann", "hostname": "another", "timestamp": "2026-11-30T10:00:00Z"}
    (locks / "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed.json").write_text(json.dumps(lock))
    with pytest.raises(StackLocked, match="ann@another has worked on this fleet since 2026-11-30T10:00:00Z"):
        stack.up(fleet.plan, empty, quiet)
    (engine := fleet.folder / "pulumi").write_text("#!/bin/sh\n")
    engine.chmod(0o755)
    dead = subprocess.Popen([engine])
    while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:  # it has ended, and nobody has waited for it
        time.sleep(0.01)
    gone = lock | {"hostname": socket.gethostname(), "pid": dead.pid}
    (locks / "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed.json").write_text(json.dumps(gone))
    with monkeypatch.context() as killed:  # once the state has gone, and before the folder has
        killed.setattr(FleetPlace, "forget", lambda _: None)
        stack.destroy(quiet)
    dead.wait()
    stack.destroy(quiet)
    stack.up(fleet.plan, empty, quiet)
    cut_while_writing(fleet.store, locks)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "another")
    with pytest.raises(FleetStateError, match="another passphrase"):
        stack.preview(fleet.plan, empty)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    state = fleet.store / f"fleets/.pulumi/stacks/clusterctl/{RUN}.json"
    text = state.read_text()
    state.write_text(text.replace('"version":3', '"version":99', 1))
    with pytest.raises(FleetStateError, match="another version"):
        stack.outputs()
    state.unlink()
    state.with_suffix(".json.bak").unlink(missing_ok=True)
    with pytest.raises(FleetStateError, match="holds no state of it"):
        stack.outputs()
