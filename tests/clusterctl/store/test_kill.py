"""kill -9 at any moment: what was flushed is there, once, and what a reader sees meanwhile is no less."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from writer_to_kill import FIRST, SPACING_SECONDS

from clusterctl.store import compact, open_store

KILLS = 5
EVER = {"start": FIRST - timedelta(days=1), "end": FIRST + timedelta(days=365)}


def rows_of(store, node: str) -> int:
    """How many rows a node has; that they are 0, 1, 2, … without a hole or a double; and that roll-ups hold them all."""
    numbers = store.read("gpu", nodes=[node], **EVER)["at"].sort()
    expected = [FIRST + timedelta(seconds=SPACING_SECONDS * (i + 1)) for i in range(len(numbers))]
    assert numbers.to_list() == expected
    return len(numbers)


class Child:
    """A writer, and how far it says that it is."""

    def __init__(self, url: str, node: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("writer_to_kill.py")), url, node]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.flushed, self.started = 0, threading.Event()
        self.reading = threading.Thread(target=self._follow)
        self.reading.start()

    def _follow(self) -> None:
        for line in self.process.stdout or ():
            self.flushed = int(line)
            self.started.set()
        self.started.set()

    def kill(self) -> int:
        self.process.kill()
        self.process.wait()
        self.reading.join()
        assert self.process.stdout
        self.process.stdout.close()
        return self.flushed


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Child]]:
    children: list[Child] = []

    def start(node: str) -> Child:
        children.append(Child(str(tmp_path), node))
        assert children[-1].started.wait(60)
        return children[-1]

    yield start
    for child in children:
        child.kill()


@pytest.mark.parametrize("seed", range(KILLS))
def test_nothing_that_was_flushed_is_lost_or_doubled(tmp_path: Path, seed: int, monkeypatch, start) -> None:
    monkeypatch.setattr(compact, "ABANDONED", timedelta(0))
    monkeypatch.setattr(compact, "GRACE", timedelta(0))
    random_ = random.Random(seed)
    store = open_store(str(tmp_path))
    for node in ("a", "b"):
        child = start(node)
        threading.Event().wait(random_.uniform(0, 0.8))
        sure = child.flushed
        assert rows_of(store, node) >= sure  # while it writes and compacts
        flushed = child.kill()
        assert flushed <= rows_of(store, node) <= flushed + 7  # at most the flush that it was in
    store.compact(FIRST + timedelta(days=365))
    a, b = rows_of(store, "a"), rows_of(store, "b")
    store.compact(FIRST + timedelta(days=365))  # removes what the first, and killed ones, replaced or left
    assert (rows_of(store, "a"), rows_of(store, "b")) == (a, b)
    for step in (10, 60, 600):
        rolled = store.read("gpu", step_seconds=step, **EVER)
        assert (rolled["seconds"].sum(), rolled["energy_j"].sum()) == (10 * (a + b), 3000 * (a + b))
    assert {file.name[:2] for file in tmp_path.rglob("*.*")} == {"c-", "m-"}
    assert store.problems() == ()


def test_two_compactions_at_once_and_a_reader_see_each_row_once(tmp_path: Path, start) -> None:
    children = [start(node) for node in ("a", "b")]
    store = open_store(str(tmp_path))
    for _ in range(40):
        for child, node in zip(children, "ab", strict=True):
            sure = child.flushed
            assert rows_of(store, node) >= sure
    assert all(child.process.poll() is None for child in children)
    for child, node in zip(children, "ab", strict=True):
        flushed = child.kill()
        assert flushed <= rows_of(store, node) <= flushed + 7
    assert store.problems() == ()
