"""Looks, and tells receivers what is new: each in a thread of its own, so that none waits for another, nor the look.

A receiver has at most one message on its way.  What is still to be told is worked out anew after each attempt
(`planners.alerts.delivery`); what has arrived is written down at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from clusterctl.alerts.look import Look
from clusterctl.alerts.messages import Message, NotDelivered
from clusterctl.alerts.rules_file import AlertsFile
from clusterctl.alerts.state_file import StateFile
from clusterctl.errors import ClusterctlError
from planners.alerts.delivery import Line, ReceiverState, due, failed, observed, told

POLL_SECONDS = 0.5
PATIENT_FAILURES = 10
"""In a row, which take an hour and a quarter; whoever watches next tells that receiver what is due."""
END_SECONDS = 10.0
"""For messages on their way when the watcher is asked to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    receiver: str
    lines: Sequence[Line]
    error: str = ""
    note: str = ""
    asked_pause: timedelta | None = None


class Watcher:
    """Tells of alerts.  `deliver` hands one message over and returns what of it failed; `say` writes to the log."""

    def __init__(
        self,
        state_file: StateFile,
        *,
        deliver: Callable[[AlertsFile, Message], str],
        say: Callable[[str], None],
        now: Callable[[], datetime],
    ) -> None:
        """Raises StateError."""
        self._file, self._deliver, self._say, self._now = state_file, deliver, say, now
        self.states, damage = state_file.read(now())
        self._busy: set[str] = set()
        self._outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        self._said: dict[str, str] = {}
        """By subject, what was said last: said again only when it changes."""
        self._say_once("state", damage)

    def look(self, rules: AlertsFile, look: Callable[[], Look]) -> Look | None:
        """Look once, and begin to tell what is new; None where the look failed: nothing is new, nothing is over."""
        try:
            found = look()
        except ClusterctlError as error:
            self._say_once("look", f"{error.message}; looking again")
            self._begin(rules)
            return None
        self._say_once("look", "")
        for name in rules.receivers:
            self.states[name] = observed(
                self.states.get(name, ReceiverState()),
                found.alerts,
                found.facts,
                now=self._now(),
                rules=rules.told(name),
                resolved_after=timedelta(minutes=rules.resolved_after_minutes),
                tells_resolved=rules.receivers[name].resolved,
            )
        for name in set(self.states) - set(rules.receivers):
            del self.states[name]
        self._begin(rules)
        self._write()
        return found

    def wait(self, rules: AlertsFile, seconds: float, wanted: Callable[[], bool]) -> None:
        """Take in what becomes of messages until it is time for the next look."""
        deadline = time.monotonic() + seconds
        while wanted() and (left := deadline - time.monotonic()) > 0:
            if self._take(min(left, POLL_SECONDS)):
                self._begin(rules)

    def finish(self, seconds: float = END_SECONDS) -> None:
        """Wait a little for messages on their way."""
        deadline = time.monotonic() + seconds
        while self._busy and (left := deadline - time.monotonic()) > 0:
            self._take(left)

    def is_idle(self, rules: AlertsFile) -> bool:
        """Whether nothing is on its way, nor waits to be told; a receiver that is away for long is not waited for."""
        later, states = self._now() + timedelta(days=1), [self.states.get(name) for name in rules.receivers]
        waited_for = [state for state in states if state is not None and state.failures < PATIENT_FAILURES]
        return not self._busy and not any(due(state, later, None) for state in waited_for)

    def _begin(self, rules: AlertsFile) -> None:
        """A thread for each receiver that is to be told something, and has nothing on its way."""
        for name, receiver in rules.receivers.items():
            if name in self._busy or name not in self.states:
                continue
            state, repeat = self.states[name], receiver.repeat_hours
            lines = due(state, self._now(), None if repeat is None else timedelta(hours=repeat))
            if not lines:
                continue
            message = Message(receiver=name, at=self._now(), lines=lines, left_out=state.left_out)
            self._busy.add(name)
            threading.Thread(target=self._attempt, args=(rules, message), daemon=True, name=f"alerts {name}").start()

    def _attempt(self, rules: AlertsFile, message: Message) -> None:
        name, lines = message.receiver, message.lines
        try:
            outcome = _Outcome(receiver=name, lines=lines, note=self._deliver(rules, message))
        except NotDelivered as error:
            outcome = _Outcome(receiver=name, lines=lines, error=str(error), asked_pause=error.asked_pause)
        except ClusterctlError as error:
            outcome = _Outcome(receiver=name, lines=lines, error=error.message)
        except Exception as error:  # noqa: BLE001 - a bug in one receiver must not silence the others
            outcome = _Outcome(receiver=name, lines=lines, error=f"a bug in clusterctl ({type(error).__name__})")
        self._outcomes.put(outcome)

    def _take(self, seconds: float) -> bool:
        """Take in what has become of one message; whether there was one."""
        try:
            outcome = self._outcomes.get(timeout=seconds)
        except Empty:
            return False
        name = outcome.receiver
        self._busy.discard(name)
        state = self.states.get(name)
        if state is None:
            return True
        if outcome.error:
            after = failed(state, self._now(), outcome.error, asked_pause=outcome.asked_pause)
            self._say_once(name, f"{name}: not told: {outcome.error}; trying again")
        else:
            after = told(state, outcome.lines, self._now())
            self._say_once(name, f"{name}: {outcome.note}" if outcome.note else "")
        self.states[name] = after
        self._write()
        return True

    def _write(self) -> None:
        try:
            self._file.write(self.states)
        except OSError as error:
            self._say_once("state", f"what was told can't be written down: {error.strerror}; a restart would repeat it")
        else:
            self._said.pop("state", None)

    def _say_once(self, subject: str, text: str) -> None:
        if text and self._said.get(subject) != text:
            self._say(text)
        self._said[subject] = text
