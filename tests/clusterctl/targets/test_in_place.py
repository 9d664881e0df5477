"""A supervisor in the place of its run: one writer at a time, and the newest ledger that can be read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from clusterctl.clock import Beat
from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.ledger import open_ledger
from clusterctl.ledger.locks import LockHeldError, LockLostError
from clusterctl.ledger.mirror import copy_run, mirror_of, mirror_of_run, opened_mirror
from clusterctl.ledger.rows import Intent, Run
from clusterctl.runs.supervisor import Supervisor
from clusterctl.targets import in_place
from clusterctl.targets.in_place import LEASE, MIRROR, OLD_MIRROR, InPlace
from clusterctl.targets.wishes import Wish, heed, read_wish

RUN = "far-123456"
T0 = datetime(2026, 3, 1, tzinfo=UTC)


class Node:
    """One node of the place, with a disk of its own."""

    def __init__(self, name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.name, self.root, self._patch = name, root, patch
        self.ledger_file = root / "disks" / name / "ledger.db"
        self.home = InPlace(root, lease_seconds=0.3)

    def __enter__(self) -> InPlace:
        self._patch.setenv("CLUSTERCTL_LEDGER", str(self.ledger_file))
        self.ledger_file.parent.mkdir(parents=True, exist_ok=True)
        return self.home

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Node, Node]:
    """Two nodes, and a run that was just given to the place."""
    monkeypatch.setattr(in_place, "POLL_SECONDS", 0.02)
    folder = tmp_path / "runs" / RUN
    folder.mkdir(parents=True)
    with open_ledger(str(tmp_path / "laptop.db")) as ledger:
        ledger.add_run(Run(run_id=RUN, name="far", target="fake", created_at=T0))
        (folder / MIRROR).write_bytes(mirror_of_run(ledger, RUN))
    return Node("one", tmp_path, monkeypatch), Node("two", tmp_path, monkeypatch)


def beat(node: Node, seconds: float) -> None:
    """The supervisor of the node beats, and lets others see its ledger."""
    with node as home, open_ledger() as ledger:
        ledger.beat(RUN, Beat(at=T0 + timedelta(seconds=seconds), boot_id="b", uptime_seconds=seconds))
        home.keep(RUN)


def beat_at(file: Path) -> datetime | None:
    with opened_mirror(file.read_bytes()) as ledger:
        return ledger.get_run(RUN).beat_at


def test_a_second_supervisor_leaves_while_the_first_renews_its_lease(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    with one as home:
        assert home.enter(RUN), "the ledger was brought here"
    beat(one, 1)

    class Renewing(InPlace):
        """The first one goes on while the second looks."""

        def _beat(self) -> None:
            os.utime(self.store / "runs" / RUN / LEASE)

    with two, pytest.raises(LockHeldError, match="watched by another supervisor"):
        Renewing(one.root, lease_seconds=5.0).enter(RUN)
    beat(one, 2)
    with one as home:
        home.check(RUN)


def test_a_lease_that_is_over_is_taken_and_the_old_one_leaves(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    with one as home:
        home.enter(RUN)
    beat(one, 5)
    with two as home:
        assert home.enter(RUN)
        with open_ledger() as ledger:
            assert ledger.get_run(RUN).beat_at == T0 + timedelta(seconds=5)
    with one as home, pytest.raises(LockLostError, match="has taken"):
        home.check(RUN)
    beat(two, 9)
    with two as home:
        home.leave(RUN)
    third = Node("one", one.root, one._patch)
    third.home = InPlace(one.root, lease_seconds=1000.0)
    with third as home:
        assert home.enter(RUN), "at once: the last one has left; its ledger is newer than that on this node's disk"
        with open_ledger() as ledger:
            assert ledger.get_run(RUN).beat_at == T0 + timedelta(seconds=9)


def test_a_supervisor_that_was_killed_is_followed_at_once_on_its_node(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    with one as home:
        home.enter(RUN)
    beat(one, 3)
    with one:
        assert not InPlace(one.root, lease_seconds=1000.0).enter(RUN), "its ledger is here"


def test_what_an_earlier_run_of_this_id_has_left_on_a_disk_is_passed_over(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    with one as home:
        home.enter(RUN)
    beat(one, 3)
    with one as home:
        home.leave(RUN)
    with open_ledger(str(one.root / "newer.db")) as ledger:
        ledger.add_run(Run(run_id=RUN, name="far", target="fake", created_at=T0 + timedelta(days=1)))
        (one.root / "runs" / RUN / MIRROR).write_bytes(mirror_of_run(ledger, RUN))
    with one as home:
        assert home.enter(RUN)
        with open_ledger() as ledger:
            assert ledger.get_run(RUN).beat_at is None


def test_an_owner_that_cannot_renew_its_lease_does_nothing_more(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = nodes
    with one as home:
        home.enter(RUN)
        monkeypatch.setattr(in_place, "RENEW_SHARE", -1.0)
        with pytest.raises(LockLostError, match="could not be renewed"):
            home.check(RUN)


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_mirror_is_passed_over(
    nodes: tuple[Node, Node], damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = nodes
    folder = one.root / "runs" / RUN
    with one as home:
        home.enter(RUN)
    beat(one, 1)
    monkeypatch.setattr(in_place, "OLD_MIRROR_SECONDS", 0.0)
    beat(one, 2)
    monkeypatch.undo()
    monkeypatch.setattr(in_place, "POLL_SECONDS", 0.02)
    assert (beat_at(folder / OLD_MIRROR), beat_at(folder / MIRROR)) == (
        T0 + timedelta(seconds=1),
        T0 + timedelta(seconds=2),
    )
    whole = (folder / MIRROR).read_bytes()
    (folder / MIRROR).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with two as home:
        assert home.enter(RUN)
        with open_ledger() as ledger:
            assert ledger.get_run(RUN).beat_at == T0 + timedelta(seconds=1)


def test_without_any_ledger_that_can_be_read_nothing_is_begun(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    (one.root / "runs" / RUN / MIRROR).write_bytes(b"x")
    with one as home, pytest.raises(StateError, match="holds the ledger of far-123456"):
        home.enter(RUN)


def test_the_supervisor_of_a_run_that_has_ended_leaves_although_no_ledger_is_left(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, _ = nodes
    (one.root / "runs" / RUN / MIRROR).write_bytes(b"x")
    (one.root / "runs" / RUN / "ended").touch()
    with one as home:
        supervisor = Supervisor(one.root, RUN)
        monkeypatch.setattr(supervisor, "_home", home)
        monkeypatch.setattr("clusterctl.runs.supervisor.time.sleep", lambda _: pytest.fail("it waits"))
        supervisor.run()
    assert "far-123456 has ended" in capsys.readouterr().err


def test_a_ledger_that_is_removed_under_its_supervisor_is_brought_again(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    with one as home:
        home.enter(RUN)
    beat(one, 1)
    with one as home:
        home.check(RUN)
        shutil.rmtree(one.ledger_file.parent)
        with pytest.raises(LockLostError, match="was removed from this node's disk"):
            home.check(RUN)
        assert home.enter(RUN), "the ledger was brought here"
        home.check(RUN)
        home.leave(RUN)
    assert beat_at(one.root / "runs" / RUN / MIRROR) == T0 + timedelta(seconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "null",
        '{"seq": 1}',
        '{"seq": -1, "desired": "down"}',
        '{"seq": 1, "desired": "sideways"}',
        '{"seq": 1, "desired": "up", "limit_usd": "NaN"}',
        '{"seq": 1, "desired": "up", "limit_usd": "-3"}',
        '{"seq": 1, "desired": "up", "limit_hours": "1e999999"}',
        "[" * 100_000,
        '{"seq": 1e400, "desired": "up"}',
    ],
)
def test_what_is_no_wish_is_said_once_and_ignored(nodes: tuple[Node, Node], text: str) -> None:
    one, _ = nodes
    (one.root / "runs" / RUN / "control.json").write_text(text)
    with one as home:
        with pytest.raises(ClusterctlError, match="ignored"):
            home.wished(RUN)
        assert home.wished(RUN) is None


def test_a_wish_is_heeded_once_and_acknowledged_with_the_mirror(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    control, acknowledged = (one.root / "runs" / RUN / name for name in ("control.json", "acknowledged"))
    sent = Wish(seq=3, identity="abc", desired="down", limit_usd=Decimal("2.5"), asked_by="me@laptop")
    control.write_text(sent.model_dump_json())
    with one as home:
        home.enter(RUN)
        with open_ledger() as ledger:
            wish = home.wished(RUN)
            assert wish == sent == read_wish(control.read_bytes())
            heed(ledger, RUN, sent, at=T0)
            assert not acknowledged.exists()
            home.heeded(sent)
            beat(one, 1)
            assert json.loads(acknowledged.read_text()) == {"seq": 3, "identity": "abc"}
            with opened_mirror((one.root / "runs" / RUN / MIRROR).read_bytes()) as seen:
                row = seen.get_run(RUN)
                assert (row.desired, row.limit_usd) == ("down", Decimal("2.5"))
            ledger.set_desired(RUN, "up")  # by its supervisor, later
            heed(ledger, RUN, sent, at=T0)
            assert ledger.get_run(RUN).desired == "up", "the same wish, read again after a crash, changes nothing"
            kinds = [event.kind for event in ledger.events(RUN)]
            assert kinds == ["limits", "wish"]


def test_a_copy_of_a_run_may_be_repeated_and_follows_what_is_taken_back(tmp_path: Path) -> None:
    machine = Intent(
        resource_id=f"{RUN}/pool/1", run_id=RUN, role="node", kind="machine", provider="fake", usd_per_hour=Decimal(36)
    )
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(open_ledger(str(tmp_path / "place.db")))
        laptop = stack.enter_context(open_ledger(str(tmp_path / "laptop.db")))
        place.put_plan("p", schema="plan/1", content="{}", at=T0)
        place.add_run(Run(run_id=RUN, name="far", target="fake", plan_id="p", created_at=T0))
        place.intend(machine, at=T0)
        place.mark_live(machine.resource_id, address="a", at=T0)
        place.extend_cost(machine.resource_id, until=T0 + timedelta(seconds=100))
        place.record_event(RUN, "launch", "m", event_id="e", at=T0)
        laptop.add_run(Run(run_id="other-1", name="other", target="local", created_at=T0))
        laptop.record_event("other-1", "launch", "m")
        for _ in range(2):
            with opened_mirror(mirror_of(tmp_path / "place.db")) as mirror:
                copy_run(mirror, laptop, RUN)
            assert laptop.bill(RUN).usd == Decimal(1)
            assert [event.event_id for event in laptop.events(RUN)] == ["e"]
        place.settle_cost(machine.resource_id, until=T0 + timedelta(seconds=50))
        place.mark_gone(machine.resource_id, at=T0 + timedelta(seconds=50))
        with opened_mirror(mirror_of(tmp_path / "place.db")) as mirror:
            copy_run(mirror, laptop, RUN)
        assert (laptop.bill(RUN).usd, laptop.get_plan("p").content) == (Decimal("0.5"), "{}")
        assert laptop.live_resources(RUN) == ()
        laptop.set_state(RUN, "stopped")
        laptop.add_run(Run(run_id="far-2", name="far", target="local", created_at=T0))
        with (
            opened_mirror(mirror_of(tmp_path / "place.db")) as mirror,
            pytest.raises(SpecError, match="another live run named `far`"),
        ):
            copy_run(mirror, laptop, RUN)
