"""What Slurm's own accounting says of live allocations: `sstat`, where the site lets Slurm gather it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from clusterctl.errors import ClusterctlError
from clusterctl.targets.accounting import Use
from clusterctl.targets.shell import Shell
from clusterctl.targets.slurm_jobs import SlurmJob, seconds_of

SOURCE = "Slurm's accounting (sstat)"
SSTAT_SECONDS = 8.0
GATHERS = "JobAcctGatherType"
MIB = 2**20


def allocation_use(shell: Shell, jobs: Sequence[SlurmJob]) -> Mapping[str, Use]:
    """By name of an allocation.  Raises Unreachable, and ClusterctlError where Slurm gathers nothing."""
    ids = ",".join(re.sub(r"\D", "", job.job_id) for job in jobs)
    script = f"""scontrol show config | grep -i '^{GATHERS}' || exit 12
sstat -a -n -P --noconvert -j {ids} -o JobID,TRESUsageInTot,TRESUsageInAve"""
    ran = shell.run(script, seconds=SSTAT_SECONDS)
    kind, _, listing = ran.text.partition("\n")
    kind = kind.partition("=")[2].strip()
    if kind.endswith("none"):
        raise ClusterctlError(f"{SOURCE} gathers nothing ({GATHERS} is {kind})")
    if ran.exit_code != 0:
        why = (ran.stderr.strip().splitlines() or [f"exit code {ran.exit_code}"])[-1]
        raise ClusterctlError(f"{SOURCE} does not answer: {why[:200]}")
    return parse_use(listing, jobs)


def parse_use(listing: str, jobs: Sequence[SlurmJob]) -> dict[str, Use]:
    """The steps of each allocation together; GPUs are as busy as the busiest step says."""
    names = {job.job_id: job.name for job in jobs}
    steps: dict[str, list[tuple[dict[str, str], dict[str, str]]]] = {}
    for line in listing.splitlines():
        step, *columns = line.split("|")
        if len(columns) == 2 and (name := names.get(step.partition(".")[0])):
            steps.setdefault(name, []).append((_tres(columns[0]), _tres(columns[1])))
    return {
        name: Use(
            cpu_seconds=_sum(seconds_of(total.get("cpu", "")) for total, _ in some),
            memory_mib=_sum(_number(total.get("mem", ""), MIB) for total, _ in some),
            gpu_util_pct=max(_known(_number(mean.get("gres/gpuutil", "")) for _, mean in some), default=None),
        )
        for name, some in steps.items()
    }


def _tres(text: str) -> dict[str, str]:
    """`cpu=00:01:02,mem=4096` by name."""
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _number(text: str, unit: float = 1.0) -> float | None:
    return int(text) / unit if text.isdigit() else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _sum(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return sum(known) if known else None
