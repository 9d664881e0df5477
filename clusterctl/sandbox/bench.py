"""How fast sandboxes start here, beside bare bubblewrap; whether they leave anything; what the planner is to believe."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl import paths
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.languages import toolchain
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.verdict import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clusterctl.sandbox.isolation import Isolation

ROUNDS = 4
"""What is compared takes turns, so that both see the same machine."""
_BARE = "bwrap --unshare-all --die-with-parent --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp".split()
_TRUE, _PASS = ("/bin/true",), ("python3", "-c", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Starts of one kind at one concurrency."""

    what: str
    concurrency: int
    starts_per_second: float
    mean_seconds: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


def speeds(isolation: Isolation, *, seconds: float, concurrencies: list[int], bare: bool) -> Iterator[Speed]:
    """Measure `/bin/true` and `python3 -c pass` in our sandbox and, if `bare`, in bare bubblewrap; `seconds` each."""

    def ours(program: tuple[str, ...]) -> None:
        task = Task(program=program, toolchain=toolchain("python"))
        if not (phase := run_phase(isolation.command, task, Policy())).ok:
            raise RuntimeError(f"{' '.join(program)}: {phase.status.value}: {phase.stderr.decode(errors='replace')}")

    def plain(program: tuple[str, ...]) -> None:
        subprocess.run([*_BARE, *program], capture_output=True, check=True)  # noqa: S603 - a list, no shell

    kinds = [("sandbox", ours), *([("bare bwrap", plain)] if bare else [])]
    for concurrency in concurrencies:
        for program in (_TRUE, _PASS):
            took: dict[str, list[float]] = {name: [] for name, _ in kinds}
            rates: dict[str, list[float]] = {name: [] for name, _ in kinds}
            for _ in range(ROUNDS):
                for name, start in kinds:
                    began = time.monotonic()
                    new = _repeat(lambda start=start: start(program), concurrency, began + seconds / ROUNDS)
                    rates[name].append(len(new) / (time.monotonic() - began))
                    took[name] += new
            for name, _ in kinds:
                cuts = statistics.quantiles([*took[name], *took[name][:1]], n=100)
                yield Speed(
                    what=f"{name}: {' '.join(program)}",
                    concurrency=concurrency,
                    starts_per_second=statistics.mean(rates[name]),
                    mean_seconds=statistics.mean(took[name]),
                    p50_seconds=cuts[49],
                    p95_seconds=cuts[94],
                    p99_seconds=cuts[98],
                )


def _repeat(start: Callable[[], None], concurrency: int, until: float) -> list[float]:
    """Seconds of each call, made by `concurrency` threads until the clock says `until`."""

    def work() -> list[float]:
        took = []
        while not took or time.monotonic() < until:
            began = time.monotonic()
            start()
            took.append(time.monotonic() - began)
        return took

    with ThreadPoolExecutor(concurrency) as pool:
        return [seconds for future in [pool.submit(work) for _ in range(concurrency)] for seconds in future.result()]


def profile(measured: list[Speed], policy: Policy) -> dict[str, object]:
    """The `sandbox:` block of a run spec that says what was measured: the python start with the most starts per second."""
    best = max(
        (speed for speed in measured if speed.what.startswith("sandbox: python3")), key=lambda s: s.starts_per_second
    )
    return {
        "cpus": 1.0,
        "memory_gib": policy.memory_mib / 1024,
        "disk_gib": policy.disk_mib / 1024,
        "image_gib": 0.0,
        "stateful": False,
        "start_seconds": {"mean": round(best.mean_seconds, 4), "p95": round(best.p95_seconds, 4)},
        "starts_per_second_per_node": round(best.starts_per_second, 1),
    }


def traces() -> dict[str, set[str]]:
    """What runs could leave on this machine: processes in other namespaces, mounts, folders, descriptors."""
    found: dict[str, set[str]] = {"processes": set(), "mounts": set(), "folders": set(), "descriptors": set()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("ns/pid").readlink() != Path("/proc/self/ns/pid").readlink():
                found["processes"].add(process.name)
        except OSError:
            continue  # it has gone, or is another user's
    found["mounts"].update(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines())
    for folder, pattern in ((Path(tempfile.gettempdir()), "clusterctl-*"), (paths.user_data_dir() / "sandbox", "*")):
        found["folders"].update(str(path) for path in folder.glob(pattern))
    found["descriptors"].update(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder is gone when it is read
    return found
