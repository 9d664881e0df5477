"""The process that tells: none waits for another, a restart repeats nothing, what is wrong is said once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from local_receivers import NOW, open_alert

from clusterctl.alerts.look import Look
from clusterctl.alerts.messages import Message, NotDelivered
from clusterctl.alerts.rules_file import AlertsFile
from clusterctl.alerts.state_file import STATE_FILE, StateFile
from clusterctl.alerts.watcher import Watcher
from clusterctl.errors import StateError
from planners.alerts.alert_facts import Facts

RULES = AlertsFile.model_validate(
    {"resolved_after_minutes": 0, "receivers": {name: {"kind": "command", "run": ["true"]} for name in ("ops", "dead")}}
)


class World:
    """A watcher whose receivers are lists, whose clock is set, and which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, NOW
        self.told: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.refusals: dict[str, Callable[[], None]] = {}
        self.start()

    def start(self) -> None:
        self.watcher = Watcher(StateFile(self.folder), deliver=self.deliver, say=self.said.append, now=self.clock)

    def clock(self) -> datetime:
        return self.now

    def deliver(self, _: AlertsFile, message: Message) -> str:
        if message.receiver in self.refusals:
            self.refusals[message.receiver]()
        self.told += [(message.receiver, f"{line.kept.alert.about} {line.news}") for line in message.lines]
        return ""

    def look(self, *about: str, finish: bool = True) -> Look | None:
        self.now += timedelta(minutes=1)
        alerts = tuple(open_alert(name) for name in about)
        look = self.watcher.look(RULES, lambda: Look(alerts=alerts, facts=Facts(), live_runs=1))
        if finish:
            self.watcher.finish(30)
        return look

    def heard(self, receiver: str) -> list[str]:
        return [what for name, what in self.told if name == receiver]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def refuse(why: str = "HTTP 500", pause: timedelta | None = None) -> Callable[[], None]:
    def act() -> None:
        raise NotDelivered(why, asked_pause=pause)

    return act


def test_each_is_told_once_over_restarts(world: World) -> None:
    for about in (["a"], ["a"], ["a", "b"], ["b"], []):
        world.look(*about)
        world.start()
    assert world.heard("ops") == world.heard("dead") == ["a new", "b new", "a resolved", "b resolved"]
    assert world.said == []


def test_a_dead_receiver_keeps_nobody_from_being_told_and_is_named_once(world: World) -> None:
    world.refusals["dead"] = refuse()
    for about in (["a"], ["a", "b"], []):
        world.look(*about)
    assert world.heard("ops") == ["a new", "b new", "a resolved", "b resolved"]
    assert world.said == ["dead: not told: HTTP 500; trying again"]
    del world.refusals["dead"]
    world.now += timedelta(hours=1)
    world.look()
    assert world.heard("dead") == ["a resolved", "b resolved"], "what came and went meanwhile is not lost"


def test_a_receiver_that_hangs_holds_up_neither_the_look_nor_the_others(world: World, gate: threading.Event) -> None:
    world.refusals["dead"] = lambda: gate.wait(60) and None
    for count, about in enumerate((["a"], ["a", "b"], ["b"]), 1):
        assert world.look(*about, finish=False) is not None
        world.watcher.wait(RULES, 30, lambda: len(world.heard("ops")) < count)  # noqa: B023 - called within the round
    threads = [thread for thread in threading.enumerate() if thread.name == "alerts dead"]
    assert len(threads) == 1, "one message on its way, however many looks"
    assert world.heard("ops") == ["a new", "b new", "a resolved"]
    assert world.heard("dead") == []


def test_a_receiver_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    world.refusals["dead"] = refuse("HTTP 429", timedelta(minutes=10))
    world.look("a")
    del world.refusals["dead"]
    for _ in range(9):
        world.look("a")
    assert world.heard("dead") == []
    world.look("a")
    world.look("a")
    assert world.heard("dead") == ["a new"]


def test_a_bug_in_one_receiver_is_said_and_the_others_go_on(world: World) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    world.refusals["dead"] = bug
    world.look("a")
    assert world.heard("ops") == ["a new"]
    assert world.said == ["dead: not told: a bug in clusterctl (ZeroDivisionError); trying again"]


def test_a_look_that_fails_is_said_once_and_changes_nothing(world: World) -> None:
    world.look("a")

    def locked() -> Look:
        raise StateError("the ledger is locked")

    for _ in range(3):
        world.now += timedelta(minutes=1)
        assert world.watcher.look(RULES, locked) is None
    world.look("a")
    assert world.heard("ops") == ["a new"]
    assert world.said == ["the ledger is locked; looking again"]


def test_a_damaged_state_is_put_aside_and_said(world: World, tmp_path: Path) -> None:
    world.look("a")
    (tmp_path / STATE_FILE).write_bytes(b'{"version": 7')
    world.start()
    world.look("a")
    assert world.heard("ops") == ["a new", "a new"]
    assert "was damaged" in world.said[0]
    assert len(list(tmp_path.glob(f"{STATE_FILE}.damaged-*"))) == 1


def test_a_full_disk_is_said_and_nothing_is_told_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clusterctl.alerts.state_file.replace_synced", full)
    world.look("a")
    world.look("a")
    assert world.heard("ops") == ["a new"]
    assert len(world.said) == 1
    assert "No space left on device" in world.said[0]


def test_it_is_idle_only_when_everybody_has_been_told(world: World) -> None:
    world.refusals["dead"] = refuse()
    world.look("a")
    assert not world.watcher.is_idle(RULES)
    for _ in range(9):
        world.now += timedelta(hours=1)
        world.look("a")
    assert world.watcher.is_idle(RULES), "it is not waited for any longer"
    del world.refusals["dead"]
    world.now += timedelta(hours=1)
    world.look("a", "b")
    assert world.heard("dead") == ["a new", "b new"]
    assert world.watcher.is_idle(RULES)
