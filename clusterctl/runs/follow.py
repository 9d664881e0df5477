"""Follow a run until it ends: print its events and steps, then its bill, and say by an error how it ended."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from clusterctl.errors import ClusterctlError, Interrupted, RunEnded
from clusterctl.interrupt import Interrupt
from clusterctl.json_text import json_text
from clusterctl.ledger.rows import LIVE, Event, Step
from clusterctl.runs.planned_actual import planned_against_actual
from clusterctl.runs.render import event_text, final_bill, progress_text, rate_text, step_text
from clusterctl.runs.run import OpenRun
from clusterctl.runs.run_forecast import run_forecast
from clusterctl.runs.run_status import RunStatus, as_data, state_of
from clusterctl.runs.waiting import supervisor_waits
from clusterctl.runs.watching import Watched, ensure_watched, refresh
from clusterctl.targets.base import SUPERVISOR, Unreachable
from clusterctl.targets.role_logs import last_error, log_file
from clusterctl.targets.wishes import last_beat
from clusterctl.ui.streams import draw, printable
from clusterctl.ui.terminal import terminal

POLL_SECONDS = 0.2
STATE_SECONDS = 1.0
"""Between two looks at the target, which cost more than two at the ledger."""
MOST_STARTS = 5
"""Of supervisors one after another, none of which has given a sign of life."""
SHOWN_STEPS = 20
"""Of a long run every nth step stays on the terminal, so many in all; the line below shows each."""


def follow(run: OpenRun, interrupt: Interrupt, *, since_seq: int, since: datetime, as_json: bool) -> None:
    """Prints what happens after `since` until the run has ended, then the bill.

    A supervisor that dies is replaced.  Raises Interrupted after Ctrl-C, RunEnded where the work is not done, and
    ClusterctlError where no supervisor lives on.
    """
    live, looked = LiveLine(), float("-inf")
    ledger, starts = run.ledger, Starts(run)
    while True:
        refresh(run)
        live.note("" if as_json else supervisor_waits(run))
        state = ledger.get_run(run.run_id).state
        for event in ledger.events(run.run_id, since_seq=since_seq):
            since_seq = event.seq
            live.say(json_text(event_data(event)) if as_json else event_text(event))
        for step in ledger.steps(run.run_id, after=since):
            since = step.at
            if as_json:
                live.say(json_text(step_data(step)))
            elif not live.watched or step.step % max(1, step.of // SHOWN_STEPS) == 0 or step.step == step.of:
                live.say(step_text(step))
        if state not in LIVE:
            break
        if interrupt.asked:
            live.finish()
            raise _interrupted(run)
        if time.monotonic() - looked >= STATE_SECONDS:
            looked = time.monotonic()
            with suppress(Unreachable):  # the line says so, and it goes on
                starts.count(ensure_watched(run))
            if live.watched and not as_json:
                live.show(state_of(run))
        time.sleep(POLL_SECONDS)
    _end(run, live, as_json=as_json)


class Starts:
    """Counts the supervisors that had to be started since the last sign of life."""

    def __init__(self, run: OpenRun) -> None:
        self._run, self._beat, self._number = run, last_beat(run.ledger.get_run(run.run_id)), 0

    def count(self, found: Watched) -> None:
        """found: what there was.  Raises ClusterctlError after too many."""
        run, beat = self._run, last_beat(self._run.ledger.get_run(self._run.run_id))
        if beat != self._beat:
            self._beat, self._number = beat, 0
        self._number += found is Watched.NO
        if self._number <= MOST_STARTS:
            return
        refresh(run, logs=True)
        why = last_error(log_file(run.folder.path, SUPERVISOR)) or "it says nothing"
        raise ClusterctlError(
            f"{self._number} supervisors of {run.run_id} have ended as soon as they were started: {why}",
            hint=f"once that is mended, `clusterctl up {run.run_id}` goes on; `clusterctl down {run.run_id}` ends it",
        )


def _interrupted(run: OpenRun) -> Interrupted:
    rate = run_forecast(run.ledger, run.ledger.get_run(run.run_id), run.plan, run.clock.now()).rate
    return Interrupted(
        f"{run.run_id} keeps running; an hour costs {rate_text(rate)}",
        hint=f"`clusterctl up {run.run_id}` follows it again\n      `clusterctl down {run.run_id}` ends it",
    )


def _end(run: OpenRun, live: LiveLine, *, as_json: bool) -> None:
    state = state_of(run)
    row = state.row
    live.finish()
    if as_json:
        lines = [asdict(line) for line in planned_against_actual(run)]
        live.say(json_text({"kind": "bill", **as_data(state), "lines": lines}))
    else:
        live.say(f"\n{final_bill(run)}")
    if row.state != "finished":
        fix = next((problem.fix for problem in state.problems if problem.fix), f"clusterctl up {row.run_id}")
        further = "" if fix.startswith("clusterctl up") else f"; `clusterctl up {row.run_id}` resumes it"
        raise RunEnded(
            f"{row.run_id} has {row.state} before its work was done" + (f": {row.note}" if row.note else ""),
            hint=f"`{fix}`{further}",
        )


def event_data(event: Event) -> dict[str, Any]:
    """An event as a line of JSON."""
    return {"kind": event.kind, "at": event.at.isoformat(), "role": event.role, "message": event.message}


def step_data(step: Step) -> dict[str, Any]:
    """A step as a line of JSON."""
    about = {"at": step.at.isoformat(), "stage": step.stage, "step": step.step, "of": step.of}
    return {"kind": "step", **about, "metrics": dict(step.metrics)}


CLEAR = "\r\x1b[K"


class LiveLine:
    """Text to stdout, line by line; below it on stderr, if a person watches, one line that changes."""

    def __init__(self) -> None:
        self._terminal = terminal(sys.stderr)
        self._line = self._noted = ""

    @property
    def watched(self) -> bool:
        """Whether a person sees the line."""
        return self._terminal.interactive

    def say(self, text: str) -> None:
        """A line that stays."""
        line = self._line
        self.finish()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        self._draw(line)

    def note(self, text: str) -> None:
        """A line that stays, whenever it becomes another."""
        if text != self._noted:
            self._noted = text
            self.say(text or "its supervisor answers")

    def show(self, state: RunStatus) -> None:
        """The line that changes."""
        self._draw(progress_text(state, self._terminal.columns - 1))

    def finish(self) -> None:
        """Take the line away for good."""
        if self._line:
            self._draw("")

    def _draw(self, line: str) -> None:
        if self.watched and (line or self._line):
            draw(sys.stderr, CLEAR + printable(line))
            sys.stderr.flush()
        self._line = line
