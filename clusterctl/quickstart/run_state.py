"""What survives a kill: a checkpoint after every step, and one mark per step, each written exactly once."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from clusterctl.errors import StateError
from clusterctl.files.write import write_atomic
from clusterctl.quickstart.grpo import Adam

if TYPE_CHECKING:
    from pathlib import Path

    from clusterctl.quickstart.policy import Parameters


@dataclass(slots=True, kw_only=True)
class RunState:
    """Everything that the next step depends on.  The random numbers of a step come from (seed, step) alone."""

    settings: dict[str, Any]
    """What must be the same when the run goes on."""
    parameters: Parameters
    adam: Adam
    steps_done: int = 0
    last_mark: str = ""

    def save(self, run_dir: Path) -> None:
        """The checkpoint first, then the mark: whatever is marked is in the checkpoint."""
        about = {"settings": self.settings, "steps_done": self.steps_done, "last_mark": self.last_mark,
                 "updates": self.adam.updates}  # fmt: skip
        arrays: dict[str, Any] = {
            f"{kind}.{name}": array
            for kind, part in (("now", self.parameters), ("first", self.adam.first), ("second", self.adam.second))
            for name, array in part.items()
        }
        stream = io.BytesIO()
        np.savez(stream, about=np.array(json.dumps(about)), **arrays)
        write_atomic(run_dir / "checkpoint.npz", stream.getvalue())
        if self.last_mark:
            append_line(run_dir / "marks.jsonl", self.last_mark)


def resume(run_dir: Path, fresh: RunState) -> RunState:
    """The state in the run's folder, its marks completed; `fresh` where there is none.

    Raises StateError where the folder holds another run, or marks without the checkpoint that they need.
    """
    file, marks = run_dir / "checkpoint.npz", run_dir / "marks.jsonl"
    if not file.exists():
        if marks.exists() and marks.stat().st_size:
            raise StateError(f"{marks} has steps, but {file.name} is gone", hint="start again in a new folder")
        return fresh
    state = _load(file)
    if state.settings != fresh.settings:
        raise StateError(
            f"{file} belongs to another run: {state.settings}, not {fresh.settings}",
            hint="repeat that run's settings, or start in a new folder",
        )
    content = marks.read_bytes() if marks.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_atomic(marks, whole)
    if whole.count(b"\n") < state.steps_done:
        append_line(marks, state.last_mark)
    return state


def _load(file: Path) -> RunState:
    try:
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            about = json.loads(str(stored["about"]))
            parts: dict[str, Parameters] = {"now": {}, "first": {}, "second": {}}
            for key in stored.files:
                kind, dot, name = key.partition(".")
                if dot:
                    parts[kind][name] = stored[key]
        adam = Adam(first=parts["first"], second=parts["second"], updates=about["updates"])
        return RunState(settings=about["settings"], parameters=parts["now"], adam=adam,
                        steps_done=about["steps_done"], last_mark=about["last_mark"])  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise StateError(f"{file} can't be read: {error}", hint="start again in a new folder") from error


def append_line(file: Path, line: str) -> None:
    """Append a line and wait until it is on the disk."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())
