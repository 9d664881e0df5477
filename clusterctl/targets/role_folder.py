"""The folder of a role in a place: what is written for `rank.py` there, and what its ranks say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clusterctl.jobs import Job
from clusterctl.json_text import json_text
from planners.runs.reconcile import Cause, Change, Instance, InstancePhase, slot_name

SILENT_SECONDS = 120.0
"""Without a beat, while the machine lives: the rank was killed."""
PHASES = {phase.value: phase for phase in InstancePhase}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFolder:
    """What a place says of an instance: how it is to be started, and each rank's last words."""

    name: str
    """Of the folder: slot and start."""
    job: Mapping[str, Any]
    ranks: Mapping[int, Mapping[str, Any]]
    asked_at: datetime
    """When it was launched."""
    told: bool = False
    """Whether it was asked to end."""

    def instance(self, now: datetime, lost: tuple[Cause, str] | None) -> Instance:
        """As a target shows it.  lost: why its machines have ended, where they have."""
        phase, cause, message = self._state(now, lost)
        head = self.ranks.get(0, {})
        return Instance(
            role=str(self.job.get("role", "")),
            index=int(self.job.get("index", 0)),
            resource_id=str(self.job.get("resource_id", "")),
            address=str(head.get("address", "") or self.job.get("cluster", "")),
            started_at=_moment(head.get("started")) or self.asked_at,
            phase=phase,
            cause=cause,
            message=message,
        )

    def _state(self, now: datetime, lost: tuple[Cause, str] | None) -> tuple[InstancePhase, Cause, str]:
        nodes = int(self.job.get("nodes", 1))
        ended = {number: rank for number, rank in self.ranks.items() if rank.get("phase") == "ended"}
        failed = [item for item in sorted(ended.items()) if item[1].get("exit_code") != 0]
        beats = [beat for rank in self.ranks.values() if (beat := _moment(rank.get("beat"))) is not None]
        if failed and (len(ended) == nodes or lost):
            # the first one that failed: the others were ended because of it
            number, rank = min(failed, key=lambda item: (_seconds(item[1].get("ended")), item[0]))
            why = Cause.STOPPED if rank.get("told") else Cause.FAILED
            return InstancePhase.ENDED, why, _why(number, rank, nodes)
        if len(ended) == nodes:
            return InstancePhase.ENDED, Cause.DONE, ""
        if lost:
            return InstancePhase.ENDED, *lost
        if self.told and not self.ranks:
            return InstancePhase.ENDED, Cause.STOPPED, "it was asked to end before it had started"
        if beats and (now - max(beats)).total_seconds() > SILENT_SECONDS:
            return InstancePhase.ENDED, Cause.NODE_LOST, f"no sign of life for {SILENT_SECONDS:.0f} s"
        return self._living(nodes, any_ended=bool(ended)), Cause.NONE, ""

    def _living(self, nodes: int, *, any_ended: bool) -> InstancePhase:
        phases = [PHASES.get(str(rank.get("phase")), InstancePhase.STARTING) for rank in self.ranks.values()]
        if any_ended or InstancePhase.ENDING in phases:
            return InstancePhase.ENDING
        ready = len(phases) == nodes and all(phase is InstancePhase.READY for phase in phases)
        return InstancePhase.READY if ready else InstancePhase.STARTING

    def urls(self, port: str) -> str:
        """`http://host:port` of this instance; empty where it has no such port."""
        ports = self.job.get("ports") or {}
        number = ports.get(port) if port else next(iter(ports.values()), None)
        address = self.ranks.get(0, {}).get("address")
        return f"http://{address}:{number}" if number and address else ""


def folder_name(resource_id: str) -> str:
    """`trainer.1` for the first start of `RUN/trainer/1`."""
    _, slot, start = resource_id.rsplit("/", 2)
    return f"{slot}.{start}"


def job_file(
    job: Job,
    change: Change,
    *,
    run_id: str,
    stage: str,
    result: str,
    run_folder: str,
    secrets_folder: str,
    cluster: str,
    agent: str,
    cpus: float,
    environment: Mapping[str, str],
    folders: Sequence[RoleFolder],
    now: datetime,
) -> str:
    """`job.json` as rank.py and node_agent.py read it.

    agent: shell command that measures a node, beside each rank; empty = none.  cpus: of a node, for one rank.
    folders: of the instances that are ready, whose addresses the job needs.
    """
    needs = {variable: _addresses(wanted, folders, now) for variable, wanted in job.needs.items()}
    own = {
        "CLUSTERCTL_RUN": run_id,
        "CLUSTERCTL_STAGE": stage,
        "CLUSTERCTL_ROLE": change.role,
        "CLUSTERCTL_RESOURCE": change.resource_id,
        "CLUSTERCTL_FOLDER": f"{run_folder}/roles/{folder_name(change.resource_id)}",
        "CLUSTERCTL_REPORTS": f"{run_folder}/reports.jsonl",
        "CLUSTERCTL_CHECKPOINTS": f"{run_folder}/checkpoints",
        "CLUSTERCTL_RESULT": f"{run_folder}/{result}",
        "CLUSTERCTL_NODES": str(job.nodes),
        "CLUSTERCTL_GPUS_PER_NODE": str(job.gpus_per_node),
    }
    return json_text(
        {
            "command": list(job.command),
            "environment": {**environment, **job.environment, **needs, **own},
            "secrets": list(job.secrets),
            "secrets_folder": secrets_folder,
            "setup": job.setup,
            "nodes": job.nodes,
            "gpus_per_node": job.gpus_per_node,
            "ports": dict(job.ports),
            "ready_path": job.ready_path,
            "max_seconds": job.max_seconds,
            "stop_signal": job.stop_signal,
            "role": change.role,
            "index": change.index,
            "slot": slot_name(change.role, change.index),
            "resource_id": change.resource_id,
            "run_folder": run_folder,
            "cluster": cluster,
            "agent": agent,
            "cpus": cpus,
            "asked_at": now.timestamp(),
        }
    )


def read_folder(name: str, files: Mapping[str, str]) -> RoleFolder | None:
    """The folder of these files; None where it holds no job yet.  What can't be read is not there."""
    try:
        job = json.loads(files["job.json"])
        asked_at = datetime.fromtimestamp(float(job["asked_at"]), tz=UTC)
    except (KeyError, ValueError, TypeError, RecursionError, OverflowError):
        return None
    ranks: dict[int, Mapping[str, Any]] = {}
    for file, text in files.items():
        number = file.removeprefix("rank-").removesuffix(".json")
        if file.startswith("rank-") and number.isdigit():
            try:
                rank = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(rank, dict):
                ranks[int(number)] = rank
    return RoleFolder(name=name, job=job, ranks=ranks, asked_at=asked_at, told="stop" in files)


def _addresses(wanted: str, folders: Sequence[RoleFolder], now: datetime) -> str:
    role, _, port = wanted.partition(":")
    ready = [f for f in folders if f.job.get("role") == role and f.instance(now, None).phase is InstancePhase.READY]
    return ",".join(url for folder in sorted(ready, key=lambda f: f.name) if (url := folder.urls(port)))


def _why(number: int, rank: Mapping[str, Any], nodes: int) -> str:
    who = f"rank {number}: " if nodes > 1 else ""
    last = str(rank.get("message") or "")
    return f"{who}exit code {rank.get('exit_code')}{f': {last}' if last else ''}"


def _seconds(value: object) -> float:
    return value if isinstance(value, float) else 0.0


def _moment(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(str(seconds)), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
