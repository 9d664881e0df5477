"""What the engine says while it works, as lines for whoever asked; and a deadline for each resource."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pulumi.automation import EngineEvent
from pulumi.automation.events import StepEventMetadata

from infra.automation.journal import Journal

SAME = {"same", "refresh", "read"}
"""Operations that change nothing."""
SUMMARIES = {"update failed", "preview failed", "refresh failed", "destroy failed"}
"""What the engine adds to any failure."""
KILLED = re.compile(r"\s*code: -(\d+)\n")
"""How the text of a command begins that was ended by a signal."""
WAITING_SECONDS = 60.0
"""How often a resource is named that isn't there yet."""
GRACE_SECONDS = 120.0
"""For what is in flight to end or to be noted, once a deadline has passed."""


class EngineWatch:
    """Follows one request: notes what is begun before it can be lost, says what happens, and stops what hangs."""

    def __init__(self, request: Mapping[str, Any], say: Callable[..., None]) -> None:
        self._say, self._deadline = say, float(request["deadline_seconds"])
        self._gate = threading.Lock()
        self._begun: dict[str, tuple[StepEventMetadata, float, float]] = {}
        """By URN: the step, when it was begun, when it was named last."""
        self._failed: dict[str, str] = {}
        """By URN, or empty: what the provider has said."""
        self._journal: Journal | None = None
        self._ended = threading.Event()
        self.stopping = ""
        """Why the engine was asked to end."""

    def begin(self, journal: Journal) -> None:
        """A change begins."""
        self._begun.clear()
        self._failed.clear()
        self._journal, self._ended = journal, threading.Event()
        threading.Thread(target=self._look_at_clock, args=(self._ended,), daemon=True).start()

    def end(self) -> None:
        """A change has ended."""
        self._ended.set()

    def note(self, text: str) -> None:
        """Something that people may want to know."""
        self._say(event={"kind": "note", "message": text})

    def there(self, deployment: Mapping[str, Any]) -> None:
        """What a state holds, with when each was made; and when it was last written.

        Who was killed has not heard of all of it.
        """
        for each in deployment.get("resources") or ():
            if each.get("custom") and not each["type"].startswith("pulumi:") and not each.get("delete"):
                name = each["urn"].rpartition("::")[2]
                self._say(event={"kind": "there", "type": each["type"], "name": name, "at": each.get("created", "")})
        self._say(event={"kind": "counted", "at": (deployment.get("manifest") or {}).get("time", "")})

    def errors(self, event: EngineEvent) -> None:
        """Of an act of which nothing but errors matters."""
        self._hear(event)

    def preview(self, event: EngineEvent) -> None:
        """Of a preview: a line for each resource."""
        self._hear(event)
        if event.resource_pre_event:
            self._step(event.resource_pre_event.metadata)

    def drift(self, event: EngineEvent) -> None:
        """Of a refresh, which knows what differs only once it has looked: a line for each resource."""
        self._hear(event)
        if event.res_outputs_event:
            self._step(event.res_outputs_event.metadata)

    def _step(self, step: StepEventMetadata) -> None:
        new, old = step.new, step.old
        if not _is_resource(step):
            return
        self._say(
            step={
                "op": step.op,
                "urn": step.urn,
                "type": step.type,
                "name": step.urn.rpartition("::")[2],
                "inputs": dict((new or old).inputs or {}),
                "old": dict(old.inputs or {}) if old else {},
                "changed": sorted(step.detailed_diff or step.diffs or ()),
            }
        )

    def change(self, event: EngineEvent) -> None:
        """Of a change: what is begun, done and failed."""
        self._hear(event)
        if event.resource_pre_event:
            step = event.resource_pre_event.metadata
            if _is_resource(step) and step.op not in SAME:
                if self._journal and step.op.startswith("create") and step.new:
                    self._journal.begun(step.new)
                now = time.monotonic()
                with self._gate:
                    self._begun[step.urn] = (step, now, now)
                self._tell("started", step, 0.0)
        for kind, ended in (("done", event.res_outputs_event), ("failed", event.res_op_failed_event)):
            if ended is None:
                continue
            with self._gate:
                begun = self._begun.pop(ended.metadata.urn, None)
            if begun:
                if self._journal and kind == "done":
                    self._journal.done(ended.metadata.urn)
                self._tell(kind, begun[0], time.monotonic() - begun[1])

    def failure(self, text: str) -> dict[str, Any]:
        """What has gone wrong, as data: all that providers have said, or else what the engine has said."""
        urns = [urn for urn in self._failed if urn]
        said = [each for each in dict.fromkeys(self._failed.values()) if each not in SUMMARIES]
        kind = "deadline" if self.stopping else "failed"
        if self.stopping or KILLED.match(text):
            said.insert(0, self.stopping or _said(text))
        return {"kind": kind, "text": "\n".join(said) or _said(text), "urns": urns, "engine": text[-6000:]}

    def _hear(self, event: EngineEvent) -> None:
        said = event.diagnostic_event
        if said and said.severity == "error":
            text = " ".join(said.message.split())
            with self._gate:
                self._failed[said.urn or ""] = text if said.urn else self._failed.get("", "") or text

    def _tell(self, kind: str, step: StepEventMetadata, seconds: float) -> None:
        name = step.urn.rpartition("::")[2]
        self._say(event={"kind": kind, "op": step.op, "type": step.type, "name": name, "seconds": round(seconds, 1)})

    def _look_at_clock(self, ended: threading.Event) -> None:
        """Names what takes long, and stops the engine where something takes longer than anything does."""
        while not ended.wait(1.0):
            now = time.monotonic()
            with self._gate:
                late = [each for each in self._begun.values() if now - each[2] >= WAITING_SECONDS]
                over = [each for each in self._begun.values() if now - each[1] > self._deadline]
                self._begun |= {step.urn: (step, since, now) for step, since, _ in late}
            for step, since, _ in late:
                self._tell("waiting", step, now - since)
            if over and not self.stopping:
                step = over[0][0]
                name = step.urn.rpartition("::")[2]
                self.stopping = f"{step.type} {name} has had no answer for {self._deadline:,.0f} s"
                os.killpg(0, signal.SIGINT)
                if not ended.wait(GRACE_SECONDS):
                    os.killpg(0, signal.SIGKILL)  # with us: the next command goes on from the state and the journal


def _is_resource(step: StepEventMetadata) -> bool:
    state = step.new or step.old
    return bool(state and state.custom) and not step.type.startswith("pulumi:")


def _said(text: str) -> str:
    """Of all that a command has printed, what says why it failed."""
    if killed := KILLED.match(text):
        return f"Pulumi's engine was ended by signal {killed[1]}"
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    wrong = [line.removeprefix("stderr: ").removeprefix("error: ") for line in lines if "error: " in line]
    return "\n".join(wrong or lines[1:] or lines)
