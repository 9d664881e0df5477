"""Names that the harness and its checker share with the product, in one place.  Nothing of the product is imported:
what checks it must not believe it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

STORE_TAG, RUN_TAG, ROLE_TAG = "CLUSTERCTL_STORE", "CLUSTERCTL_RUN", "CLUSTERCTL_ROLE"
RESOURCE_TAG = "CLUSTERCTL_RESOURCE"
"""Variables in the environment of every process of a run."""
SUPERVISOR = "supervisor"
HOLDER_PROGRAM, SUPERVISOR_PROGRAM = (
    re.compile(r"clusterctl[./]targets[./]holder"),
    re.compile(r"clusterctl\.runs\.supervisor"),
)
"""In their command lines: a holder keeps its role's lock and starts the role's command, which does the work."""

RUN_NAME = "killed"
UP = ("up", f"{RUN_NAME}.yaml", "--yes")
UP_AGAIN = ("up", RUN_NAME, "--yes", "--detach")
DOWN = ("down", RUN_NAME, "--yes")

RUNS_FOLDER = "runs"
REPORTS_FILE = "reports.jsonl"
LIVE_STATES = ("wanted", "starting", "provisioning", "queued", "running", "stopping")
MACHINE = "machine"
"""Kind of the resources that are billed by the hour."""
VERSION_TABLE = "ledger_version"


def folders(store: Path) -> list[Path]:
    """The folders of the store's runs."""
    return sorted((store / RUNS_FOLDER).glob("*"))


def reports(folder: Path) -> Path:
    """Where the run's job writes its reports."""
    return folder / REPORTS_FILE


def instance_of(tags: Mapping[str, str]) -> tuple[str, str]:
    """(role, slot) that a process plays; the id of its resource is RUN/SLOT/START, as in r/sandbox-2/1."""
    role = tags.get(ROLE_TAG, "")
    _, _, slot = tags.get(RESOURCE_TAG, "").partition("/")
    return role, slot.partition("/")[0] or role


def bad_end(code: int | None, said: str, *, allowed: Iterable[int]) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if "Traceback (most recent call last)" in said or re.search(r"this is a bug in clusterctl|panicked at", said):
        return f"exit code {code}, with a bug: {said.strip()[-400:]}"
    return "" if code in set(allowed) else f"exit code {code}: {said.strip()[-300:]}"
