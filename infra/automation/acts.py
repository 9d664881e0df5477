"""What can be asked of a stack: preview, up, outputs, drift, destroy; each after what an earlier crash left."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation import errors

from infra.automation.events import EngineWatch
from infra.automation.half_written import remove_half_written
from infra.automation.journal import Journal
from infra.automation.locks import end_stale_locks
from infra.automation.recovery import recover

Say = Callable[..., None]
TRANSIENT = (
    "throttl",
    "rate exceeded",
    "too many requests",
    "requesttimeout",
    "i/o timeout",
    "connection was cut",
    "connection reset",
    "error reading from server",
    "transport is closing",
    "connection refused",
    "code = canceled",
    "code = unavailable",
)
"""In what a provider says where a later attempt may succeed; one is made where all errors are like this."""
ATTEMPTS = 4
PAUSE_SECONDS = 5.0
"""Before the second attempt; doubled before each further one."""


def act(request: Mapping[str, Any], say: Say) -> bool:
    """Answers a request.  Whether it went well."""
    watch = EngineWatch(request, say)
    try:
        if request["act"] == "install":
            say(result={"version": str(automation.PulumiCommand.install(root=request["engine"]).version)})
            return True
        remove_half_written(request)
        found = _stack(request)
        say(result={"exists": False} if found is None else Work(*found, request, watch).answer())
        return True
    except errors.CommandError as error:
        say(error=watch.failure(str(error)))
    except (OSError, ValueError, LookupError, errors.InvalidVersionError, subprocess.CalledProcessError) as error:
        say(error={"kind": getattr(error, "kind", "other"), "text": str(error)})
    return False


def _stack(request: Mapping[str, Any]) -> tuple[automation.Stack, bool] | None:
    """The stack, and whether it was made just now; None where there is none and the act makes none.

    Raises StateLostError where there was one.
    """
    command = automation.PulumiCommand(root=request["engine"]) if request["engine"] else automation.PulumiCommand()
    options = automation.LocalWorkspaceOptions(
        work_dir=request["work_dir"],
        pulumi_home=request["home"],
        pulumi_command=command,
        project_settings=automation.ProjectSettings(
            name=request["project"], runtime="python", backend=automation.ProjectBackend(url=request["backend"])
        ),
    )
    arguments = {"stack_name": request["stack"], "project_name": request["project"], "opts": options}
    try:
        stack, is_new = automation.select_stack(program=_program, **arguments), False
    except errors.StackNotFoundError:
        if request["known"]:
            raise StateLostError(request["backend"]) from None
        if request["act"] not in {"up", "preview"}:
            return None
        stack, is_new = automation.create_stack(program=_program, **arguments), True
    if request["act"] == "up":
        _mark(request).touch()
    return stack, is_new


def _mark(request: Mapping[str, Any]) -> Path:
    """Is there while a state of this fleet must be there."""
    return Path(request["work_dir"], "made")


class StateLostError(LookupError):
    """There was a stack, and the backend has none any more."""

    kind = "state_lost"


def _program() -> None:
    from infra.provision import program  # with the cloud's package, which takes seconds

    program()


class Work:
    """One request on a stack that is there."""

    def __init__(self, stack: automation.Stack, is_new: bool, request: Mapping[str, Any], watch: EngineWatch) -> None:
        self._stack, self._is_new, self._request, self._watch = stack, is_new, request, watch
        self._journal = Journal(Path(request["work_dir"]))

    def answer(self) -> dict[str, Any]:
        """What the request asks for."""
        acts = {
            "preview": self._preview,
            "up": self._up,
            "outputs": self._outputs,
            "drift": self._drift,
            "destroy": self._destroy,
        }
        return acts[self._request["act"]]()

    def _preview(self) -> dict[str, Any]:
        self._configure()
        try:
            self._stack.preview(color="never", on_event=self._watch.preview)
        finally:
            if self._is_new:
                self._stack.workspace.remove_stack(self._stack.name)
        return {}

    def _up(self) -> dict[str, Any]:
        self._configure()
        done: list[automation.UpResult] = []
        self._finish(lambda: done.append(self._stack.up(color="never", on_event=self._watch.change)))
        return {"outputs": {name: value.value for name, value in done[-1].outputs.items()}, "exists": True}

    def _destroy(self) -> dict[str, Any]:
        self._finish(lambda: self._stack.destroy(color="never", run_program=False, on_event=self._watch.change))
        _mark(self._request).unlink(missing_ok=True)  # before the state, which must not be missed if this is killed
        self._stack.workspace.remove_stack(self._stack.name)
        return {}

    def _drift(self) -> dict[str, Any]:
        if self._stack.export_stack().deployment.get("resources"):
            self._stack.refresh(color="never", preview_only=True, run_program=False, on_event=self._watch.drift)
        return {}

    def _outputs(self) -> dict[str, Any]:
        return {"outputs": {name: value.value for name, value in self._stack.outputs().items()}, "exists": True}

    def _configure(self) -> None:
        """The program's keys, and none of an earlier request."""
        wanted = {
            f"clusterctl:{name}": automation.ConfigValue(value if isinstance(value, str) else json.dumps(value))
            for name, value in self._request["config"].items()
        }
        gone = [name for name in self._stack.get_all_config() if name.startswith("clusterctl:") and name not in wanted]
        if gone:
            self._stack.remove_all_config(gone)
        self._stack.set_all_config(wanted)

    def _finish(self, change: Callable[[], object]) -> None:
        """A change, after what an earlier one left; again where only the network or a rate limit was in the way."""
        pause = PAUSE_SECONDS
        for attempt in range(ATTEMPTS):
            try:
                self._unlocked(lambda: recover(self._stack, self._journal, self._request, self._watch))
                self._watch.begin(self._journal)
                self._unlocked(change)
                self._journal.clear()
                return
            except errors.CommandError as error:
                texts = self._watch.failure(str(error))["text"].lower().splitlines()
                fleeting = bool(texts) and all(any(word in text for word in TRANSIENT) for text in texts)
                if self._watch.stopping or attempt == ATTEMPTS - 1 or not fleeting:
                    raise
                self._watch.note(f"again in {pause:.0f} s: {texts[0]}")
                time.sleep(pause)
                pause *= 2
            finally:
                self._watch.end()

    def _unlocked(self, do: Callable[[], object]) -> None:
        """Does it; where a lock is in the way whose process has died on this machine, without it."""
        try:
            do()
        except errors.ConcurrentUpdateError as error:
            if not end_stale_locks(self._stack, str(error)):
                raise
            do()
