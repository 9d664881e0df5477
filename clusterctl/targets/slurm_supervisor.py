"""Supervisors as Slurm jobs: one CPU, found by their name, started again by Slurm where their node is lost."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from clusterctl.errors import ClusterctlError
from clusterctl.targets.place_commands import COMMAND_SECONDS, FIND_SECONDS, FoundSupervisor
from clusterctl.targets.shell import Shell
from clusterctl.targets.slurm_jobs import NO_REASON, seconds_of

MEMORY_MIB = 3072
"""For a supervisor (200 MB) and SkyPilot's API server beside it (1.2 GB, twice that for a moment)."""
RENEW_SECONDS = 120
"""Before its time is over the job is queued again: a run may last longer than a partition lets a job."""
NAME = "clusterctl-supervisor"


class SlurmSupervisors:
    """partition: one with CPUs; empty = the cluster's default.  options: more of sbatch's, `--account=…`."""

    node_folder = '"${TMPDIR:-/tmp}/clusterctl-$(id -u)/$run-$(cksum <<<"$root" | cut -d " " -f 1)"'

    def __init__(self, partition: str = "", options: Sequence[str] = ()) -> None:
        self._partition, self._options = partition, tuple(options)

    def start(self, shell: Shell, run_id: str, script: str, log: str) -> str:
        """`sbatch --requeue`, for as long as the partition lets a job."""
        options = [
            f"--job-name={NAME}-{run_id}",
            f"--output={log}",
            "--open-mode=append",
            "--requeue",
            "--ntasks=1",
            "--cpus-per-task=1",
            f"--mem={MEMORY_MIB}M",
            f"--signal=B:USR1@{RENEW_SECONDS}",
            f"--time={self._most_time(shell)}",
            *([f"--partition={self._partition}"] if self._partition else []),
            *self._options,
        ]
        command = shlex.join(["sbatch", "--parsable", *options, script])
        what = "its supervisor can't be queued"
        said = shell.must(command, seconds=COMMAND_SECONDS, what=what).split()
        number = said[-1].partition(";")[0] if said else ""
        if not number.isdecimal():
            raise ClusterctlError(f"{shell.name}: {what}: sbatch said `{' '.join(said)[:200]}`")
        return number

    def find(self, shell: Shell, run_id: str) -> Sequence[FoundSupervisor]:
        """Of squeue's answer; one that is empty because squeue failed is an error."""
        command = f"squeue --noheader --me --name={shlex.quote(f'{NAME}-{run_id}')} --format='%i|%T|%M|%r'"
        found = []
        for line in shell.must(command, seconds=FIND_SECONDS, what="squeue failed").splitlines():
            number, state, took, reason = (line.strip().split("|") + [""] * 4)[:4]
            if state in {"COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT"} or not number:
                continue
            running = (seconds_of(took) or 0.0) if state in {"RUNNING", "SUSPENDED", "STOPPED"} else None
            message = state.lower() + (f": {reason}" if reason not in NO_REASON else "")
            found.append(FoundSupervisor(address=number, running_seconds=running, message=message))
        return sorted(found, key=lambda each: int(re.split(r"\D", each.address)[0] or 0))

    def end(self, shell: Shell, address: str) -> None:
        """`scancel`, of the script and of what it has started."""
        command = f"scancel --full --signal=KILL {shlex.quote(address)}; scancel {shlex.quote(address)}"
        shell.run(command, seconds=COMMAND_SECONDS)

    def _most_time(self, shell: Shell) -> str:
        """What the partition allows."""
        of = f"scontrol --oneliner show partition {shlex.quote(self._partition)}"
        text = shell.must(of, seconds=COMMAND_SECONDS, what="the partition can't be looked up")
        lines = text.splitlines()
        mine = next((line for line in lines if self._partition or "Default=YES" in line), lines[0] if lines else "")
        most = re.search(r"\bMaxTime=(\S+)", mine)
        return most[1] if most else "UNLIMITED"
