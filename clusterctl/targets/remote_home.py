"""The home of a run whose supervisor lives in the run's own place: started there by a shell, heard by files.

Wishes go into `control.json` of the run's folder there, which its supervisor acknowledges; its ledger comes back as a
mirror, whose rows of the run replace those of the ledger here.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.clock import Beat
from clusterctl.errors import StateError
from clusterctl.ledger.locks import LockHeldError
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.targets.base import RunRef, Unreachable
from clusterctl.targets.in_place import CONTROL, LEASE_SECONDS, LEASE_VARIABLE, MIRROR, OLD_MIRROR, plan_name
from clusterctl.targets.looks import read_looked, write_looked
from clusterctl.targets.place_commands import FoundSupervisor, PlaceCommands
from clusterctl.targets.remote_files import Fetched, bring_logs, fetch_run, is_mirror
from clusterctl.targets.remote_site import make_site
from clusterctl.targets.remote_telemetry import BRING_SECONDS, TelemetryMirror
from clusterctl.targets.shell import Shell
from clusterctl.targets.supervisor_home import Looked, SupervisorHome
from clusterctl.targets.wishes import Wish, foresee

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

FIND_SECONDS, FIND_SHARE = 1.0, 3.0
"""So long a look for supervisors counts; and so many times as long as it took."""
PULL_SECONDS = 60.0
"""For what a command must know of a run, in all; some seconds more for a connection."""
MEND_SECONDS = 2.5
"""Within which a live supervisor writes its mirror anew."""


class RemoteHome(SupervisorHome):
    """store: of this machine; root: the folder there that holds `site/` and `runs/`: its absolute path, or `~/…`.

    python: one that was made for us there; extras: of our package, for an environment that is made there.
    """

    hung_seconds = 150.0
    """Its own place starts one again that hangs for a minute: later than that its node hangs, or is lost."""

    def __init__(
        self,
        store: Path,
        shell: Shell,
        commands: PlaceCommands,
        root: str,
        *,
        python: str = "",
        extras: tuple[str, ...] = (),
        pull_seconds: float = 2.0,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.store, self._shell, self._commands, self._given_root = store, shell, commands, root
        self._python, self._extras = python, extras
        self._pull_seconds, self._lease_seconds = pull_seconds, lease_seconds
        self._pulled: dict[str, tuple[float, str]] = {}
        """By run: when its mirror was last read, and what tells that mirror from others."""
        self._renewed: dict[str, datetime | None] = {}
        self._ahead = timedelta(0)
        """The place's clock against this machine's."""
        self._last_found: Sequence[FoundSupervisor] = ()
        self._look_again, self._telemetry = float("-inf"), TelemetryMirror()

    def make_ready(self) -> None:
        """Our code and its Python."""
        make_site(self._shell, self._root, python=self._python, extras=self._extras)

    def start(self, ledger: Ledger, run: RunRef, environment: Mapping[str, str]) -> str:  # noqa: ARG002
        """Put our code, the run's ledger and a script there, and start that.  It has no ledger of ours to open."""
        folder = self._folder(run.run_id)
        if not any(is_mirror(self._shell.read(f"{folder}/{name}")) for name in (MIRROR, OLD_MIRROR)):
            self.give(ledger, run.run_id)
        self._shell.write(f"{folder}/plan.json", run.plan.model_dump_json(indent=2).encode())
        code, python = make_site(self._shell, self._root, python=self._python, extras=self._extras)
        head = {"run": run.run_id, "root": self._root, "code": code, "python": python}
        lines = ["#!/bin/bash", *(f"{name}={shlex.quote(value)}" for name, value in head.items())]
        lines += [f"local={self._commands.node_folder}", f"export {LEASE_VARIABLE}={self._lease_seconds:g}"]
        script = files("clusterctl.targets").joinpath("supervisor.sh").read_text("utf-8")
        self._shell.write(f"{folder}/supervisor.sh", "\n".join([*lines, script]).encode())
        self._shell.must(f"mkdir -p {shlex.quote(folder)}/logs", seconds=30, what="its folder can't be made")
        log = f"{folder}/logs/supervisor.log"
        self._look_again = float("-inf")
        return self._commands.start(self._shell, run.run_id, f"{folder}/supervisor.sh", log)

    def find(self, run_id: str) -> Sequence[str]:
        """Also of one that waits in a queue."""
        return [each.address for each in self._found(run_id)]

    def age_seconds(self, address: str) -> float:
        """Since it began to run; one that waits is as new as can be."""
        return next((each.running_seconds or 0.0 for each in self._last_found if each.address == address), 0.0)

    def alive(self, address: str) -> bool:  # noqa: ARG002 - a job that was queued a moment ago may not be shown yet
        """Whether its scheduler has taken it: what becomes of it is seen later."""
        return True

    def end(self, address: str) -> None:
        """By its scheduler."""
        self._commands.end(self._shell, address)
        self._look_again = float("-inf")

    def noted_seconds(self, run_id: str) -> float | None:
        """By its lease: it is renewed also where the disk is full, and the mirror is as old as that."""
        renewed = self._renewed.get(run_id)
        return None if renewed is None else (datetime.now(tz=UTC) + self._ahead - renewed).total_seconds()

    def enter(self, run_id: str) -> bool:
        """A run of this place is not supervised from here."""
        raise LockHeldError(f"{run_id} is watched in its place")

    def watches(self, ledger: Ledger, run_id: str) -> bool:  # noqa: ARG002 - the interface
        """Whether there is a job of it, also one that waits."""
        return bool(self._found(run_id))

    def beat_seconds(self, beat: Beat) -> float:
        """By the clock of the place, as its last answer showed it."""
        return (datetime.now(tz=UTC) + self._ahead - beat.at).total_seconds()

    def may_take_over(self, ledger: Ledger, run_id: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Never from here."""
        raise LockHeldError(f"{run_id} is watched in its place")

    def wish(self, ledger: Ledger, run: RunRef, wish: Wish) -> None:
        """Into control.json, with the next number; here at once, as what is wanted and not yet acknowledged."""
        last = self._fetch(run.run_id, known="").wish
        who = f"{getpass.getuser()}@{os.uname().nodename}"
        sent = wish.model_copy(
            update={"seq": (last.seq if last else 0) + 1, "identity": uuid.uuid4().hex[:12], "asked_by": who}
        )
        if wish.plan_id:  # it comes first: the wish names it
            plan = stored_plan(ledger, wish.plan_id, name="the plan that is wished")
            file = f"{self._folder(run.run_id)}/{plan_name(plan.id)}"
            self._shell.write(file, plan.model_dump_json().encode())
        self._shell.write(f"{self._folder(run.run_id)}/{CONTROL}", sent.model_dump_json().encode())
        foresee(ledger, run.run_id, sent)
        self._pulled.pop(run.run_id, None)

    def pull(self, ledger: Ledger, run: RunRef, *, logs: bool = False, anew: bool = False) -> None:
        """Once in `pull_seconds`, and only what has changed.  What keeps it from being read is noted."""
        at, known = self._pulled.get(run.run_id, (float("-inf"), ""))
        if not anew and time.monotonic() - at < self._pull_seconds:
            return
        before = read_looked(self.store, run.run_id)
        try:
            with self._shell.within(PULL_SECONDS):
                fetched = self._fetch(run.run_id, known=known)
                waits = next((each for each in self._found(run.run_id) if each.running_seconds is None), None)
            if fetched.mirror or (not fetched.stamp and fetched.renewed):  # one that has begun has one
                self._take_in(ledger, run.run_id, fetched)
            if fetched.wish is not None and not fetched.acknowledged:
                foresee(ledger, run.run_id, fetched.wish)
            if logs:
                bring_logs(self._shell, f"{self._folder(run.run_id)}/logs", run.folder / "logs")
            with contextlib.suppress(Unreachable), self._shell.within(BRING_SECONDS):  # the rest with the next look
                self._telemetry.bring(self._shell, self._folder(run.run_id), run.folder)
        except Unreachable as error:
            since = before.unreachable_since or datetime.now(tz=UTC)
            write_looked(self.store, run.run_id, replace(before, unreachable_since=since, why=error.message))
            raise
        except StateError as error:  # a mirror that is damaged: what was read last counts
            write_looked(self.store, run.run_id, replace(before, unreachable_since=None, why=error.message))
            return
        self._pulled[run.run_id] = (time.monotonic(), fetched.stamp)
        supervisor, heeded = waits.message or "queued" if waits else "", fetched.wish is None or fetched.acknowledged
        looked = Looked(at=datetime.now(tz=UTC), supervisor=supervisor, heeded=heeded)
        write_looked(self.store, run.run_id, looked)

    def adopt(self, ledger: Ledger, run_id: str) -> bool:
        """By its mirror."""
        fetched = self._fetch(run_id, known="")
        if not fetched.mirror:
            return False
        self._import(ledger, run_id, fetched.mirror)
        (self.store / "runs" / run_id / "logs").mkdir(parents=True, exist_ok=True)
        return True

    def looked(self, run_id: str) -> Looked | None:
        """As the last look has noted it."""
        return read_looked(self.store, run_id)

    def has_folder(self, run: RunRef) -> bool:
        """In the place.  Raises Unreachable."""
        return self._shell.run(f"[ -d {shlex.quote(self._folder(run.run_id))} ]", seconds=30).exit_code == 0

    def give(self, ledger: Ledger, run_id: str) -> None:
        """As the mirror there."""
        from clusterctl.ledger.mirror import mirror_of_run

        self._shell.write(f"{self._folder(run_id)}/{MIRROR}", mirror_of_run(ledger, run_id))

    def _take_in(self, ledger: Ledger, run_id: str, fetched: Fetched) -> None:
        """The mirror into this ledger.  Where it can't be read, and no supervisor writes it anew, this ledger's record
        becomes the mirror: a supervisor that waits for one, as its disk and all copies are lost, begins with it.

        Raises StateError.
        """
        try:
            self._import(ledger, run_id, fetched.mirror)
        except StateError:
            time.sleep(MEND_SECONDS)
            if self._fetch(run_id, known=fetched.stamp).stamp == fetched.stamp:
                self.give(ledger, run_id)
            raise

    def _import(self, ledger: Ledger, run_id: str, mirror: bytes) -> None:
        from clusterctl.ledger.mirror import copy_run, opened_mirror

        with opened_mirror(mirror) as source:
            copy_run(source, ledger, run_id)

    def _fetch(self, run_id: str, *, known: str) -> Fetched:
        fetched = fetch_run(self._shell, self._folder(run_id), known=known)
        self._ahead = fetched.at - datetime.now(tz=UTC)
        self._renewed[run_id] = fetched.renewed
        return fetched

    def _found(self, run_id: str) -> Sequence[FoundSupervisor]:
        """Looked for once in a second, where that takes no time."""
        if (began := time.monotonic()) >= self._look_again:
            self._last_found, now = self._commands.find(self._shell, run_id), time.monotonic()
            self._look_again = now + max(FIND_SECONDS, FIND_SHARE * (now - began))
        return self._last_found

    @functools.cached_property
    def _root(self) -> str:
        """Raises Unreachable, where the home folder there must be asked for."""
        if not self._given_root.startswith("~"):
            return self._given_root
        home = self._shell.must('printf %s "$HOME"', seconds=30, what="its home folder can't be asked for")
        return home + self._given_root[1:]

    def _folder(self, run_id: str) -> str:
        return f"{self._root}/runs/{run_id}"
