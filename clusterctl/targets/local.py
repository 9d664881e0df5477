"""This machine as a target: roles are supervised processes, found by their tags; nothing is installed, nothing is
remote."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from clusterctl.sandbox.orphaned_sandboxes import orphans
from clusterctl.targets.base import Job, Leftover, LogLine, RunRef
from clusterctl.targets.log_times import read_times
from clusterctl.targets.processes import (
    POLL_SECONDS,
    RESOURCE_TAG,
    ROLE_TAG,
    RUN_TAG,
    STORE_TAG,
    address_of,
    end,
    kill,
    running,
    spawn,
    tagged,
)
from planners.runs.reconcile import Change, Instance, Role

SANDBOX = "sandbox"
TRAINER = "trainer"
TELEMETRY = "telemetry"
SUPERVISOR = "supervisor"
LAUNCH_SECONDS = 10.0
"""For a new process to take its lock: an interpreter's start on a busy machine."""
KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "SYSTEMROOT",
    "XDG_DATA_HOME",
    "CLUSTERCTL_TELEMETRY",
)
"""What a role inherits.  Nothing else: credentials of the terminal have no business in a job."""


class LocalTarget:
    """Runs live in folders of `store`; their processes carry its path as a tag, so that stores don't see each
    other's runs."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def roles(self) -> Sequence[Role]:
        """A sandbox server, an agent that measures, and a trainer that asks the sandbox."""
        trainer = Role(name=TRAINER, after=(SANDBOX,), until_done=True)
        return (Role(name=SANDBOX), Role(name=TELEMETRY, vital=False), trainer)

    def observe(self, run: RunRef) -> Sequence[Instance]:
        """The processes that hold their role's lock.  What they have started themselves carries their tags and is no
        instance."""
        return [
            Instance(
                role=p.tags[ROLE_TAG],
                resource_id=p.tags.get(RESOURCE_TAG, ""),
                address=p.address,
                started_at=p.started_at,
            )
            for p in tagged(self.store)
            if p.tags.get(RUN_TAG) == run.run_id and p.address == _holder(run.folder, p.tags.get(ROLE_TAG, ""))
        ]

    def launch(self, run: RunRef, change: Change, job: Job) -> str:
        """Starts the role in a session of its own, and waits until it holds the role's lock, which no second one
        can."""
        for instance in self.observe(run):
            if instance.role == change.role:
                return instance.address
        lock = run.folder / f"{change.role}.lock"
        command = [sys.executable, "-P", "-m", "clusterctl.targets.holder", str(lock), *job.command]
        environment = self.environment(run, change.role, change.resource_id) | dict(job.environment)
        pid = spawn(command, folder=run.folder, environment=environment, log=log_file(run.folder, change.role))
        deadline = time.monotonic() + LAUNCH_SECONDS
        while time.monotonic() < deadline:
            held = _holder(run.folder, change.role)
            if held.partition(":")[0] == str(pid) or not running(pid):
                return held
            time.sleep(POLL_SECONDS)
        return f"{pid}:0"

    def environment(self, run: RunRef, role: str, resource_id: str) -> dict[str, str]:
        """Tags and the little that a process needs of this terminal's environment."""
        kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        own = {RUN_TAG: run.run_id, ROLE_TAG: role, RESOURCE_TAG: resource_id, STORE_TAG: str(self.store)}
        tags = {f"CLUSTERCTL_TAG_{variable(name)}": value for name, value in run.tags.items()}
        return kept | tags | own | {"CLUSTERCTL_HOME": str(self.store), "PYTHONUNBUFFERED": "1"}

    def stop(self, run: RunRef, change: Change, *, grace_seconds: float) -> bool:
        """TERM to the whole session, KILL after the grace, then whatever else of the role is left."""
        itself = end(change.address, grace_seconds=grace_seconds) if change.address else True
        for process in tagged(self.store):
            if process.tags.get(RUN_TAG) == run.run_id and process.tags.get(RESOURCE_TAG) == change.resource_id:
                kill(process)
        return itself

    def logs(self, run: RunRef, role: str, *, after: int = 0) -> Iterator[LogLine]:
        """Lines of the role's log file, dated by what its supervisor has noted beside it."""
        path = log_file(run.folder, role)
        if not path.exists():
            return
        times, number = read_times(path), 0
        with path.open("rb") as lines:
            lines.seek(after)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                while number < len(times) and times[number][0] <= after:
                    number += 1
                at = times[number][1] if number < len(times) else None
                after += len(line)
                yield LogLine(role=role, text=line.decode("utf-8", "replace").rstrip(), at=at, position=after)

    def leftovers(self, live_runs: frozenset[str], known_runs: frozenset[str]) -> Sequence[Leftover]:
        """Processes of no live run, sandboxes whose owner is no more, folders without a run.

        The folder of a run that has ended is kept: it holds logs and results.
        """
        mine = [process for process in tagged(self.store) if RUN_TAG in process.tags]
        others = {p.tags[RUN_TAG] for p in mine if p.tags.get(ROLE_TAG) == SUPERVISOR} - known_runs
        kept = live_runs | others
        found = [
            Leftover(
                kind="process",
                address=p.address,
                run_id=p.tags[RUN_TAG],
                role=p.tags.get(ROLE_TAG, ""),
                since=p.started_at,
            )
            for p in mine
            if p.tags[RUN_TAG] not in kept
        ]
        found += [
            Leftover(kind="sandbox", address=address, run_id="", since=since)
            for address, since in map(address_of, orphans())
            if address
        ]
        folders = self.store / "runs"
        for folder in sorted(folders.iterdir()) if folders.is_dir() else ():
            if folder.name not in kept | known_runs and not (folder / KEPT_MARK).exists():
                since = datetime.fromtimestamp(folder.stat().st_mtime, tz=UTC)
                found.append(
                    Leftover(
                        kind="folder", address=str(folder), run_id=folder.name, since=since, size_bytes=_size(folder)
                    )
                )
        return found

    def remove(self, leftover: Leftover) -> None:
        """Ends a process with its session, or a sandbox, or deletes a folder of this store."""
        if leftover.kind != "folder":
            end(leftover.address, grace_seconds=2.0 if leftover.kind == "process" else 0.0)
            return
        folder = Path(leftover.address)
        if folder.parent == self.store / "runs" and folder.exists():
            shutil.rmtree(folder)


def variable(tag: str) -> str:
    """`clusterctl.dev/plan-id` as a part of a variable's name: PLAN_ID."""
    return tag.rpartition("/")[2].upper().replace("-", "_")


def _holder(folder: Path, role: str) -> str:
    """Address of the process that holds, or was the last to hold, a role's lock; empty where nobody ever did."""
    with contextlib.suppress(OSError):
        return (folder / f"{role}.lock").read_text("ascii")
    return ""


KEPT_MARK = "ended"
"""File that says: this run has ended and its folder is kept for its logs and results."""


def log_file(folder: Path, role: str) -> Path:
    """Where a role's output is kept."""
    return folder / "logs" / f"{role}.log"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
