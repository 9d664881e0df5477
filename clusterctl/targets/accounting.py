"""What a scheduler itself says of a run's use, where no agent measures its nodes: into the tables of telemetry.

It knows less than an agent: what the run's own processes use, the sum of an allocation's nodes, shown as their mean.
Notes of kind `source` name it; where it knows nothing, notes of kind `absent` say why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.store import RUN_STORE
from clusterctl.targets.base import MachineRequest, RunRef, Unreachable
from clusterctl.targets.slurm_jobs import SlurmJob
from clusterctl.targets.slurm_tasks import machines_of
from clusterctl.telemetry.compaction import Compaction
from planners.plan.value import Pool
from planners.telemetry.idle import Held, why_idle

READ_SECONDS = 60.0
NOTE_SECONDS = 3600.0
"""As agents do: so every window of the store has the reasons."""
Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What an allocation uses, all its nodes together; None = it does not say."""

    cpu_seconds: float | None = None
    """Since it began."""
    cpus: float | None = None
    """Now; else it is worked out from the seconds."""
    memory_mib: float | None = None
    gpu_util_pct: float | None = None
    """Mean of its GPUs."""


class Accounting:
    """One run's.  source: as people know it, `Slurm (sstat)`; ask: what its allocations use, by their names, raises
    ClusterctlError where nobody says."""

    def __init__(
        self, run: RunRef, source: str, ask: Callable[[Sequence[SlurmJob]], Mapping[str, Use]], *, why: str
    ) -> None:
        """why: there is no agent."""
        self._run, self._source, self._ask, self._why = run, source, ask, why
        self._store = run.folder / RUN_STORE
        self._compaction = Compaction(str(self._store))
        self._read = float("-inf")
        self._before: dict[str, tuple[float, Use]] = {}
        self._noted: dict[tuple[str, str, str], float] = {}

    def read(self, jobs: Sequence[SlurmJob], requests: Mapping[str, Sequence[MachineRequest]]) -> None:
        """When it is time.  Raises Unreachable, OSError."""
        live = [job for job in jobs if job.since is not None and not job.ended and job.name in requests and job.nodes]
        now = time.monotonic()
        if not live or now - self._read < READ_SECONDS:
            return
        self._read = now
        try:
            used = self._ask(live)
        except Unreachable:
            raise
        except ClusterctlError as error:
            text = f"not measured: {self._why}; {error.message}"
            nodes = [node for job in live for node in job.nodes]
            found = [row for node in nodes for row in self._notes(node, "absent", text, "host", "gpu")]
        else:
            pools = {name: some[0].pool for name, some in requests.items()}
            found = [row for job in live for row in self._rows(job, pools[job.name], used.get(job.name), now)]
        write_rows(self._store, "accounting", found)
        self._compaction.start_when_due()

    def _rows(self, job: SlurmJob, pool: Pool, use: Use | None, now: float) -> Iterator[Row]:
        """Of the nodes of an allocation, from the last reading on."""
        if use is None:
            return
        before, self._before[job.name] = self._before.get(job.name), (now, use)
        for node in job.nodes:
            text = f"{self._source}: what the run itself uses, the mean of {len(job.nodes)} nodes; {self._why}"
            yield from self._notes(node, "source", text, "host")
            if pool.gpus_per_node and use.gpu_util_pct is None:
                text = f"not measured: {self._why}; {self._source} knows no use of GPUs here"
                yield from self._notes(node, "absent", text, "gpu")
        if before is None:
            return
        seconds, machines = now - before[0], machines_of(self._run.plan, pool)
        cpus, memory = _cpus(use, before[1], seconds), use.memory_mib
        vcpus = float(machines.vcpus) if machines is not None else None
        for node in job.nodes:
            row = {"node": node, "seconds": seconds}
            if cpus is not None and vcpus:
                row["cpu_pct"] = min(100 * cpus / (vcpus * len(job.nodes)), 100.0)
            if memory is not None:
                row["memory_used_mib"] = round(memory / len(job.nodes))
            yield "host", row
            if use.gpu_util_pct is not None:
                reason = why_idle(use.gpu_util_pct, _HELD)
                own = {
                    "run": self._run.run_id,
                    "reason": reason and reason.value,
                    "gpu_util_pct": round(use.gpu_util_pct),
                }
                for gpu in range(pool.gpus_per_node):
                    yield "gpu", {"node": node, "gpu": str(gpu), "seconds": seconds, **own}

    def _notes(self, node: str, kind: str, text: str, *subjects: str) -> Iterator[Row]:
        for subject in subjects:
            key = (node, subject, text)
            if time.monotonic() - self._noted.get(key, float("-inf")) >= NOTE_SECONDS:
                self._noted[key] = time.monotonic()
                yield "notes", {"node": node, "kind": kind, "subject": subject, "text": text}


def write_rows(store: Path, writer: str, rows: Sequence[Row]) -> None:
    """Into a run's store, as of now where they do not say when.  Raises OSError."""
    import polars as pl

    from clusterctl.store import open_store
    from planners.telemetry.tables import schema

    at = datetime.now(tz=UTC)
    with open_store(str(store), node=writer) as opened:
        for table in sorted({table for table, _ in rows}):
            columns = [{"at": at, **row} for name, row in rows if name == table]
            opened.append(table, pl.DataFrame(columns, schema=schema(table)))


_HELD = Held(role=None, age_seconds=float("inf"), phase=None, run_phases={})


def _cpus(use: Use, before: Use, seconds: float) -> float | None:
    """Cores in use; None where a part of it has ended since, and with it what it had used."""
    if use.cpus is not None:
        return use.cpus
    if use.cpu_seconds is None or before.cpu_seconds is None or use.cpu_seconds < before.cpu_seconds:
        return None
    return (use.cpu_seconds - before.cpu_seconds) / seconds
