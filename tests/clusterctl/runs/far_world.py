"""A place that is another folder of this machine, with its own supervisors, and laptops that reach it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from run_samples import processes

SPEC = """
name: far-away
objective: time
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 400, prompts_per_step: 6, samples_per_prompt: 6}
fleet: {targets: [fake], machines: [{target: fake, name: pretend, nodes: 3, vcpus: 2, memory_gib: 8, usd_per_hour: 36}]}
"""
"""Three nodes at a cent a second each."""
USD_PER_NODE_SECOND = Decimal("0.01")


class Far:
    """The place, and what is done to it by no code of the product."""

    def __init__(self, root: Path) -> None:
        self.root = root / "place"
        self.behave(step_seconds=0.3, machine_seconds=0.2, start_seconds=0.1, end_seconds=0.1)

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
        row = json.loads((self.root / "fake" / f"{run}.place").read_text())
        return {
            identity: (thing["asked_at"] + (thing["ready_at"] - thing["asked_at"]) / 2, thing["ends_at"])
            for identity, thing in row["machines"].items()
        }

    def end(self) -> None:
        """Nothing of it lives on."""
        self.kill(*self.scripts())
        self.kill(*self.supervisors())


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for something to be so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become so"
        time.sleep(0.1)


@contextmanager
def far_place(root: Path) -> Iterator[Far]:
    """A place, whose processes end with the test."""
    far = Far(root)
    try:
        yield far
    finally:
        far.end()
