"""Reports from a framework's own log, without a patch of it: `python clusterctl_follow.py verl FILE STEPS -- COMMAND`.

Runs the command and reads beside it what its logger writes: verl's `file` logger (JSON lines), or OpenRLHF's
TensorBoard folder.  Ends with the command's exit code; where that is 0, the stage's work is done.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import clusterctl_reports

POLL_SECONDS = 5.0
PHASES = {
    "verl": {
        "timing_s/gen": "generate",
        "timing_s/reward": "sandbox",
        "timing_s/old_log_prob": "log-prob",
        "timing_s/ref": "reference",
        "timing_s/values": "value",
        "timing_s/update_actor": "train",
        "timing_s/update_critic": "critic train",
        "timing_s/update_weights": "weight sync",
    },
    "openrlhf": {
        "train/timing/make_experience": "generate",
        "train/timing/ppo_train": "train",
        "train/timing/broadcast": "weight sync",
    },
}
METRICS = {
    "verl": {
        "critic/score/mean": "reward",
        "response_length/mean": "response_tokens",
        "prompt_length/mean": "prompt_tokens",
        "response_length/clip_ratio": "cut_share",
        "actor/entropy": "entropy_nats",
        "critic/execution/mean": "execution",
    },
    "openrlhf": {
        "train/reward": "reward",
        "train/response_length": "response_tokens",
        "train/total_length": "sample_tokens",
        "train/kl": "kl",
    },
}
"""The framework's names -> those of plans and dashboards; other metrics keep theirs."""
KNOWN = {name for names in (*PHASES.values(), *METRICS.values()) for name in names}
Step = tuple[int, dict[str, float]]


def main(argv: list[str]) -> int:
    """Follows until the command has ended."""
    framework, place, steps = argv[:3]
    child = subprocess.Popen(argv[argv.index("--") + 1 :])
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    log = Followed(framework, Path(place))
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=POLL_SECONDS)
        ended = child.poll() is not None
        for step, row in log.steps(whole=ended):
            clusterctl_reports.report(step, int(steps), *told(framework, row))
        if ended:
            if child.returncode == 0:
                clusterctl_reports.done(steps=log.last)
            return child.returncode if child.returncode >= 0 else 128 - child.returncode


def told(framework: str, row: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by phase and metrics of a step."""
    phases, names = PHASES[framework], METRICS[framework]
    seconds = {phases[name]: value for name, value in row.items() if name in phases}
    if seconds.get("generate") and "sandbox" in seconds:  # verl times the reward beside generation or after it
        seconds = {name: value for name, value in seconds.items() if value > 0}
    metrics = {names.get(name, name): value for name, value in row.items() if name not in phases}
    return seconds, metrics


class Followed:
    """A log that grows; `last` is the last step of which all was read."""

    def __init__(self, framework: str, place: Path) -> None:
        self.last = 0
        self._read = self._lines if framework == "verl" else self._events
        self._place, self._position, self._rows = place, 0, {}  # type: ignore[var-annotated]

    def steps(self, *, whole: bool) -> Iterator[Step]:
        """New steps.  whole: nothing is written any more, so that the last one is complete too."""
        for step, row in self._read():
            self._rows.setdefault(step, {}).update(row)
        complete = sorted(self._rows) if whole else sorted(self._rows)[:-1]
        for step in complete:
            row = self._rows.pop(step)
            if step > self.last and not KNOWN.isdisjoint(row):
                self.last = step
                yield step, row

    def _lines(self) -> Iterator[Step]:
        """verl's file logger: {"step": N, "data": {...}} on a line each; a torn last line waits."""
        if not self._place.is_file():
            return
        with self._place.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    said: dict[str, Any] = json.loads(line)
                    numbers = {name: value for name, value in said["data"].items() if isinstance(value, (int, float))}
                    yield int(said["step"]), numbers

    def _events(self) -> Iterator[Step]:
        """TensorBoard's event files under a folder."""
        if not self._place.is_dir():
            return
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        for file in sorted(self._place.rglob("events.out.tfevents.*")):
            accumulator = EventAccumulator(str(file), size_guidance={"scalars": 0})
            accumulator.Reload()
            for tag in accumulator.Tags()["scalars"]:
                for event in accumulator.Scalars(tag):
                    if event.step > self.last:
                        yield event.step, {tag: event.value}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
