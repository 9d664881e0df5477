"""What Slurm says of its jobs, read from `squeue` and `sacct`; and how ours are named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from planners.runs.reconcile import Cause, InstancePhase

PREFIX = "cctl"
"""Of the names of all our jobs."""
MOST_LETTERS = 100
"""Of a name, to which SkyPilot adds its user's id; it takes 120 on Slurm."""
COMMENT = "clusterctl"
SQUEUE = "squeue --me -h -t all -o '%i|%T|%S|%e|%j|%N|%r|%k'"
"""With SLURM_TIME_FORMAT=%s: times are seconds since 1970, whatever the cluster's time zone."""
SACCT = "sacct -X -n -P -S now-14days -o JobIDRaw,State,Start,End,JobName,NodeList,Reason,Comment"
"""The same columns of what squeue has forgotten, where accounting is on."""
NO_REASON = frozenset({"", "None"})
"""What the scheduler says where it has no reason for a job's state."""
QUEUED = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
LIVE = frozenset({"RUNNING", "CONFIGURING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED"})
CAUSES = {
    "PREEMPTED": Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE_LOST,
    "BOOT_FAIL": Cause.NODE_LOST,
    "TIMEOUT": Cause.PREEMPTED,
    "DEADLINE": Cause.NO_CAPACITY,
    "FAILED": Cause.FAILED,
    "OUT_OF_MEMORY": Cause.FAILED,
}
"""Of states in which a job has ended; all others were stopped."""
REASONS = {
    "TIMEOUT": "it has reached the time limit of its allocation",
    "NODE_FAIL": "a node has failed",
    "PREEMPTED": "it was preempted",
    "CANCELLED": "it was cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """A job of ours as the scheduler shows it."""

    job_id: str
    name: str
    """Without what SkyPilot adds to it."""
    state: str
    reason: str
    """Why it waits, in the scheduler's own word."""
    since: datetime | None
    """When its nodes were allocated; None while it waits."""
    until: datetime | None
    """When it ended; None while it lives."""
    nodes: tuple[str, ...]
    tags: Mapping[str, str]
    """What its comment says: run, pool, n, expires."""
    ends: datetime | None = None
    """When the scheduler itself ends it, at the latest; None while it waits, or where it has no such limit."""

    @property
    def ended(self) -> bool:
        """Whether its nodes are free again, or it never had any."""
        return self.until is not None

    @property
    def phase(self) -> InstancePhase:
        """How far it is; SkyPilot still has to prepare its nodes while it is STARTING."""
        if self.ended:
            return InstancePhase.ENDED
        if self.state == "COMPLETING":
            return InstancePhase.ENDING
        return InstancePhase.QUEUED if self.since is None else InstancePhase.STARTING

    @property
    def is_broken(self) -> bool:
        """Whether a part of it has gone, and the rest must be given back; Slurm does that itself."""
        return False

    def span(self, index: int) -> tuple[datetime | None, datetime | None]:  # noqa: ARG002 - all nodes at once
        """When a node of it was allocated, and when it was given back."""
        return self.since, self.until

    @property
    def cause(self) -> Cause:
        """Why it ended."""
        return CAUSES.get(self.state, Cause.STOPPED) if self.ended else Cause.NONE

    @property
    def message(self) -> str:
        """What people are told of it."""
        if self.state in QUEUED:
            return f"pending: {self.reason}" if self.reason not in NO_REASON else "pending"
        return REASONS.get(self.state, "") if self.ended else ""


def parse_jobs(text: str) -> tuple[SlurmJob, ...]:
    """Our jobs of a listing; those of others are left out.  Raises ValueError for a line that is no job."""
    return tuple(job for line in text.splitlines() if line.strip() and (job := _job(line)) is not None)


def _job(line: str) -> SlurmJob | None:
    columns = line.split("|", 7)
    if len(columns) != 8:
        raise ValueError(f"not a line of squeue: {line[:200]}")
    job_id, state, start, end, name, nodes, reason, comment = (column.strip() for column in columns)
    if not name.startswith(f"{PREFIX}-"):
        return None
    state = state.split()[0].rstrip("+")  # sacct says `CANCELLED by 4242`
    over = state not in QUEUED | LIVE | {"COMPLETING"}
    had = () if nodes == "None assigned" else tuple(expand(nodes))
    since = None if state in QUEUED or (over and not had) else _moment(start)  # sacct says when it was cancelled
    return SlurmJob(
        job_id=job_id,
        name=re.sub(r"-[0-9a-f]{8}$", "", name),
        state=state,
        reason=reason,
        since=since,
        until=(_moment(end) or since or datetime.now(tz=UTC)) if over else None,
        nodes=had,
        tags=_tags(comment),
        ends=None if over or since is None else _moment(end),
    )


def newest(jobs: Sequence[SlurmJob]) -> dict[str, SlurmJob]:
    """By name, the job that lives, else the last one."""
    found: dict[str, SlurmJob] = {}
    for job in sorted(jobs, key=lambda job: (not job.ended, int(re.sub(r"\D.*", "", job.job_id) or 0))):
        found[job.name] = job
    return found


def expand(nodes: str) -> Iterator[str]:
    """Names of `gpu[1-3,7],cpu1`, in order."""
    for prefix, ranges, suffix in re.findall(r"([^\s,\[\]()]+)(?:\[([^\]]*)\])?([^\s,\[\]()]*)", nodes):
        if not ranges:
            if prefix != "null":
                yield prefix
            continue
        for part in ranges.split(","):
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield f"{prefix}{number:0{len(first)}d}{suffix}"


def cluster_name(run_id: str, pool_id: str, start: int, most_letters: int = MOST_LETTERS) -> str:
    """Name of the nth allocation of a pool: the same before and after a crash, and short enough for Slurm."""
    plain = re.sub(r"[^a-z0-9]+", "-", f"{run_id}-{pool_id.removeprefix('pool.')}".lower()).strip("-")
    if len(plain) > most_letters - 9:
        plain = f"{plain[: most_letters - 18].rstrip('-')}-{_digits(f'{run_id}/{pool_id}')}"
    return f"{PREFIX}-{plain}-{start}"


def user_id(run_id: str) -> str:
    """SkyPilot's user of a run: it is a part of the names that SkyPilot gives."""
    return _digits(run_id)


def comment(**tags: str) -> str:
    """What the scheduler shows of a job, and `sweep` finds it by."""
    return ",".join([COMMENT, *(f"{name}={re.sub(r'[^A-Za-z0-9._:+/-]', '_', value)}" for name, value in tags.items())])


def time_limit(seconds: float, most_seconds: float | None) -> str:
    """`--time` in whole minutes, at most what the partition allows."""
    minutes = max(int(min(seconds, most_seconds or seconds) // 60), 1)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def seconds_of(limit: str) -> float | None:
    """Seconds of Slurm's `1-02:03:04`, `02:03:04` or `30:00`; None for UNLIMITED and what is no time."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds


def _tags(text: str) -> dict[str, str]:
    head, *pairs = text.split(",")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair) if head == COMMENT else {}


def _moment(text: str) -> datetime | None:
    return datetime.fromtimestamp(int(text), tz=UTC) if text.isdigit() and int(text) > 0 else None


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
