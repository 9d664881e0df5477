"""What survives a kill: a checkpoint after every step, and one report per step, each written exactly once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from zipfile import BadZipFile

import numpy as np

from clusterctl.errors import StateError
from clusterctl.specfile.write import write_atomic
from examples.quickstart.grpo import Adam
from examples.quickstart.report import REPORTS, append_line, say

if TYPE_CHECKING:
    from examples.quickstart.policy import Parameters


CHECKPOINT = "checkpoint.npz"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    settings: dict[str, Any]
    """What must be the same when the run goes on."""
    steps_done: int = 0
    last_report: str = ""


@dataclass(slots=True, kw_only=True)
class RunState(Progress):
    """Everything that the next step depends on.  The random numbers of a step come from (seed, step) alone."""

    parameters: Parameters
    adam: Adam

    def save(self, run_dir: Path) -> None:
        """The checkpoint first, then the report: whatever is reported is in the checkpoint."""
        about = {
            "settings": self.settings,
            "steps_done": self.steps_done,
            "last_report": self.last_report,
            "updates": self.adam.updates,
        }
        arrays: dict[str, Any] = {
            f"{kind}.{name}": array
            for kind, part in (("now", self.parameters), ("first", self.adam.first), ("second", self.adam.second))
            for name, array in part.items()
        }
        stream = io.BytesIO()
        np.savez(stream, about=np.array(json.dumps(about)), **arrays)
        write_atomic(run_dir / CHECKPOINT, stream.getvalue())
        if self.last_report:
            append_line(run_dir / REPORTS, self.last_report)

    @classmethod
    def load(cls, file: Path) -> Self:
        """What `save` wrote."""
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            about = json.loads(str(stored["about"]))
            parts: dict[str, Parameters] = {"now": {}, "first": {}, "second": {}}
            for key in stored.files:
                kind, dot, name = key.partition(".")
                if dot:
                    parts[kind][name] = stored[key]
        adam = Adam(first=parts["first"], second=parts["second"], updates=about.pop("updates"))
        return cls(parameters=parts["now"], adam=adam, **about)


State = TypeVar("State", bound=Progress)


def last_state(file: Path, load: Callable[[Path], State], settings: dict[str, Any]) -> State | None:
    """The state that the checkpoint `file` holds, the reports beside it completed; None where there is none.

    Raises StateError where it belongs to another run, can't be read, or is gone although there are reports.
    """
    reports = file.with_name(REPORTS)
    content = reports.read_bytes() if reports.exists() else b""
    if not file.exists():
        if b'"step"' in content:
            raise StateError(f"{reports} has steps, but {file.name} is gone", hint="start again in a new folder")
        return None
    try:
        state = load(file)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise StateError(f"{file} can't be read: {error}", hint="start again in a new folder") from error
    if state.settings != settings:
        raise StateError(
            f"{file} belongs to another run: {state.settings}, not {settings}",
            hint="repeat that run's settings, or start in a new folder",
        )
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(reports, len(whole))  # in place: other processes of the run append their costs
    if state.last_report and f"{state.last_report}\n".encode() not in whole:
        append_line(reports, state.last_report)
    say(f"goes on after step {state.steps_done}")
    return state
