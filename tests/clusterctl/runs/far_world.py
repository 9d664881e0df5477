"""A place that is another folder of this machine, with its own supervisors, and laptops that reach it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from run_samples import processes

SPEC = """
name: far-away
objective: time
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 400, prompts_per_step: 6, samples_per_prompt: 6}
fleet: {targets: [fake], machines: [{target: fake, name: pretend, nodes: 3, vcpus: 2, memory_gib: 8, usd_per_hour: 36}]}
"""
"""Three nodes at a cent a second each."""
Run = Callable[..., subprocess.CompletedProcess[str]]
BEHAVIOUR = {"step_seconds": 0.3, "machine_seconds": 0.2, "start_seconds": 0.1, "end_seconds": 0.1}
USD_PER_NODE_SECOND = Decimal("0.01")


class Far:
    """The place, and what is done to it by no code of the product."""

    def __init__(self, root: Path) -> None:
        self.root = root / "place"
        self.behave(**BEHAVIOUR)

    def behave(self, **settings: object) -> None:
        """How the simulated place behaves."""
        (self.root / "fake").mkdir(parents=True, exist_ok=True)
        (self.root / "fake" / "settings.json").write_text(json.dumps(settings))

    def laptop(self, store: Path, *, unreachable: str = "") -> Path:
        """The data folder of a laptop that reaches the place, or does not."""
        (store / "fake").mkdir(parents=True, exist_ok=True)
        part = store / "fake" / "settings.part"
        part.write_text(json.dumps({"home": str(self.root), "unreachable": unreachable}))
        part.replace(store / "fake" / "settings.json")
        return store

    def supervisors(self) -> list[int]:
        """Live ones, without the scripts that start them again."""
        return [p.pid for p in processes(self.root) if p.role == "supervisor"]

    def scripts(self) -> list[int]:
        """The scripts that start them again."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if words[0] == b"bash" and any(word.startswith(os.fsencode(self.root)) for word in words):
                    found.append(int(entry.name))
        return found

    def kill(self, *pids: int) -> None:
        """kill -9, which also ends what was stopped."""
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def nodes(self, run: str) -> dict[str, tuple[float, float | None]]:
        """Each node of a run: from its allocation, half-way to its being ready, to its release."""
        return allocations((self.root / "fake" / f"{run}.place").read_text())

    def end(self) -> None:
        """Nothing of it lives on."""
        self.kill(*self.scripts())
        self.kill(*self.supervisors())


def allocations(place: str | bytes) -> dict[str, tuple[float, float | None]]:
    """By node, what the file of a simulated place says: allocation, half-way to its being ready, and release."""
    return {
        identity: (thing["asked_at"] + (thing["ready_at"] - thing["asked_at"]) / 2, thing["ends_at"])
        for identity, thing in json.loads(place)["machines"].items()
    }


def started(run: Run, laptop: Path, *options: str) -> str:
    """The id of the run of `run.yaml`, which a laptop has started."""
    up = run("up", "run.yaml", "--yes", "--detach", *options, CLUSTERCTL_HOME=str(laptop))
    assert up.returncode == 0, up.stderr
    return up.stdout.splitlines()[-1].split()[0]


def seen(run: Run, laptop: Path, name: str) -> dict[str, Any]:
    """What `status` says of a run on a laptop."""
    status = run("status", name, "--json", CLUSTERCTL_HOME=str(laptop))
    assert status.returncode == 0, status.stderr
    (row,) = json.loads(status.stdout)
    return dict(row)


def until(condition: Callable[[], object], seconds: float = 60.0, *, pause: float = 0.1) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become so"
        time.sleep(pause)


@contextmanager
def far_place(root: Path) -> Iterator[Far]:
    """A place, whose processes end with the test."""
    far = Far(root)
    try:
        yield far
    finally:
        far.end()
