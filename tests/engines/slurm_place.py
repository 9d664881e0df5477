"""A real Slurm under the kill harness: the run lives there with its supervisor and SkyPilot, and the store is a laptop's.

What is there the scheduler's own record and the processes of the virtual machines say, read by no code of the product.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from run_faults import Fault, LedgerLocked, LedgerRestored
from run_names import RUN_NAME, SUPERVISOR
from run_samples import Interval, processes
from slurm import cluster
from slurm_faults import Hangs, NodeLost, SchedulerHangs, Unreached
from slurm_record import KILLS, allocations

PATTERNS = {
    SUPERVISOR: r"clusterctl\.runs\.supervisor {root} ",
    "SkyPilot's worker": r"sky_worker\.py$",
    "SkyPilot's server": r"sky\.server\.server",
    "rank": r"rank\.py {root}/runs/",
    "trainer": r"rank\.py {root}/runs/\S+/roles/trainer\.",
    "sandbox": r"rank\.py {root}/runs/\S+/roles/sandbox\.",
}
"""In the command lines of what may be killed; of the last two what the rank has started is."""
TOGETHER_SECONDS = 1.0
"""The scheduler's times are whole seconds."""


def commands() -> Iterator[tuple[int, str]]:
    """(number, command line) of every process."""
    for entry in os.listdir("/proc"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            if entry.isdigit():
                content = Path(f"/proc/{entry}/cmdline").read_bytes()
                yield int(entry), content.replace(b"\0", b" ").decode("utf-8", "replace").strip()


def parent(pid: int) -> int:
    """Of a process; 0 where it has gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def victims(root: Path, victim: str) -> list[int]:
    """Processes of a store that may be killed under this name."""
    if victim == "script":
        return [parent(pid) for pid in victims(root, SUPERVISOR)]
    pattern = re.compile(PATTERNS[victim].format(root=re.escape(str(root))))
    found = [pid for pid, command in commands() if pattern.search(f"{command} " if victim == SUPERVISOR else command)]
    if victim.startswith("SkyPilot"):
        mine = {process.pid for process in processes(root)}
        return [pid for pid in found if pid in mine]
    if victim in {"trainer", "sandbox"}:
        return [pid for pid, _ in commands() if parent(pid) in found]
    return found


class OnSlurm:
    """Machines of a partition of all four nodes, two supervisors or more beside them."""

    name = "slurm"
    usd_per_node_hour = Decimal("3.6")
    victims = (SUPERVISOR, "script", "SkyPilot's worker", "SkyPilot's server", "rank", "trainer", "sandbox")
    spec = rf"""
name: {RUN_NAME}
objective: cost
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 12
    prompts_per_step: 2
    samples_per_prompt: 2
    job:
      command: |
        set -- steps: 12
        for step in $(seq $(($(grep -c '"step"' "$CLUSTERCTL_REPORTS") + 1)) $2); do
          sleep 1
          echo "{{\"at\": \"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)\", \"stage\": \"rlcef\", \"step\": $step, \"of\": $2}}" >>"$CLUSTERCTL_REPORTS"
        done
        echo '{{}}' >"$CLUSTERCTL_RESULT"
fleet:
  targets: ["slurm:mini"]
  machines: [{{name: all, nodes: 1, vcpus: 30, memory_gib: 100, usd_per_hour: 3.6}}]
"""

    def root(self, store: Path) -> Path:
        """The store's folder there, made for the user, who is known here by a key."""
        root = KILLS / store.name
        if not root.is_dir():
            root.mkdir(parents=True)
            os.chown(root, cluster.USER_ID, cluster.USER_ID)
            cluster.write_client_files(store)
        return root

    def strike(self, store: Path, victim: str, chance: random.Random) -> None:
        """kill -9, of what lives: of another victim where this one does not."""
        root, others = self.root(store), chance.sample(self.victims, len(self.victims))
        found = (victims(root, name) for name in (victim, *others))
        for pid in next(filter(None, found), []):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def fault(self, store: Path, ledger: Path, chance: random.Random) -> Fault:
        """A node is lost, the scheduler hangs, the network is cut; a supervisor hangs; the laptop's ledger is locked or old."""
        here = (LedgerLocked(ledger), LedgerRestored(ledger), Unreached())
        return chance.choice((*here, NodeLost(chance), SchedulerHangs(), Hangs(SUPERVISOR)))

    def lived(self, store: Path) -> Mapping[str, Sequence[Interval]]:
        """Each node from the start of its allocation to its end."""
        return {
            identity: [(each.since, each.until)] if each.until > each.since else []
            for each in allocations(self.root(store))
            for identity in each.resources
        }

    def left(self, store: Path) -> list[str]:
        """Jobs that are queued or run, supervisors among them, and what still runs on nodes."""
        root = self.root(store)
        runs = [folder.name for folder in (root / "runs").glob("*")]
        rows = cluster.run("login", "squeue", "--noheader", "--format=%j %T %k", timeout=90).splitlines()
        jobs = [
            row
            for row in rows
            if any(row.startswith(f"clusterctl-supervisor-{run} ") or f"run={run}," in row for run in runs)
        ]
        return jobs + [command for _, command in commands() if f"rank.py {root}/runs/" in command]

    def wrong(self, store: Path) -> list[str]:
        """Two of what there must be one of: allocations by the scheduler's record, roles by that of their ranks."""
        lives: dict[str, list[Interval]] = {}
        for each in allocations(self.root(store)):
            lives.setdefault(f"{each.run}: allocations of {each.pool}", []).append((each.since, each.until))
        for file in (self.root(store) / "runs").glob("*/roles/*/rank-*.json"):
            row = json.loads(file.read_text())
            what = f"{file.parts[-4]}: {file.parent.name.partition('.')[0]} {file.stem}"
            lives.setdefault(what, []).append((row["started"], row.get("ended", row["beat"])))
        return [
            f"two {what} at once: {first} and {second}"
            for what, found in lives.items()
            for first, second in itertools.pairwise(sorted(found))
            if first[1] > second[0] + TOGETHER_SECONDS
        ]
