"""Where a fleet's state, passphrase and work lie; and that one command at a time works on it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from clusterctl.fleet.errors import StackLocked
from clusterctl.machine import process_name
from planners.plan.value import Plan

STATE_URL = "CLUSTERCTL_STATE_URL"
"""Where states are: `file://`, `s3://`, `gs://`, `azblob://`, `https://` of Pulumi's own service."""
PASSPHRASES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
"""The user's own, where one is set."""
MADE = "made"
"""In the folder of a fleet's work once the state knows the fleet; the program's process writes it."""


class FleetPlace:
    """Of one run, in the user's data folder."""

    def __init__(self, store: Path, run_id: str) -> None:
        self._folder, self._run_id = store / "fleets", run_id
        self.work = self._folder / "work" / run_id
        self.home, self.engine = self._folder / "home", self._folder / "engine"
        self.plan_file = self.work / "plan.json"
        self.backend = os.environ.get(STATE_URL) or self._folder.as_uri()

    @property
    def is_made(self) -> bool:
        """Whether a state of this fleet must be there."""
        return (self.work / MADE).exists()

    @property
    def is_supervised(self) -> bool:
        """Whether the run's supervisor, and not the plan, decides how many nodes there are."""
        with suppress(OSError):
            settings = (self.work / f"Pulumi.{self._run_id}.yaml").read_text("utf-8")
            return "clusterctl:nodes: supervisor" in settings
        return False

    def make(self) -> None:
        """The folders, which nobody else may read."""
        for folder in (self._folder, self.home, self.work.parent, self.work):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)

    def environment(self) -> dict[str, str]:
        """What the engine must be told; a secret is named by its file."""
        said = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        if not any(os.environ.get(name) for name in PASSPHRASES):
            said["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self._passphrase())
        return said

    def keep_plan(self, plan_file: Path) -> None:
        """What the fleet is made from, for as long as there is one."""
        self.make()
        if plan_file.resolve() != self.plan_file.resolve():
            shutil.copyfile(plan_file, self.plan_file)

    def plan(self) -> Plan | None:
        """None where this machine has none."""
        with suppress(OSError, ValidationError):
            return Plan.model_validate_json(self.plan_file.read_bytes())
        return None

    def forget(self) -> None:
        """The fleet has gone."""
        shutil.rmtree(self.work, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For one command at a time.  Raises StackLocked."""
        self.make()
        file = self._folder / f"{self._run_id}.lock"
        lock = FileLock(file, blocking=False, mode=0o600)
        holder = file.with_suffix(".holder")
        try:
            lock.acquire()
        except Timeout:
            who = holder.read_text("utf-8") if holder.exists() else "another clusterctl process"
            raise StackLocked(f"{who} works on the fleet of {self._run_id}", hint="wait until it has ended") from None
        try:
            holder.write_text(f"{process_name()}, since {datetime.now(tz=UTC):%H:%M} UTC,", "utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _passphrase(self) -> Path:
        """The file of the passphrase, made once; it appears whole."""
        file = self._folder / "passphrase"
        if not file.exists():
            new = self._folder / f"passphrase.{os.getpid()}"
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(secrets.token_urlsafe(32))
            try:
                os.link(new, file)
            except FileExistsError:
                pass  # another process was first
            finally:
                new.unlink()
        return file
