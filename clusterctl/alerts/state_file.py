"""What every receiver has been told, in a file of the data folder: who is started again repeats nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from clusterctl.errors import StateError
from clusterctl.foreign_files import read_limited, replace_synced
from planners.alerts.delivery import ReceiverState

STATE_FILE = "alerts-state.json"
MOST_BYTES = 256 << 20


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    receivers: dict[str, ReceiverState] = {}


class StateFile:
    """The file.  One process writes it: whoever holds the lock beside it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE_FILE
        self._written: dict[str, ReceiverState] = {}

    def read(self, now: datetime) -> tuple[dict[str, ReceiverState], str]:
        """The states by receiver, and what is wrong with the file, or empty.

        A damaged one is put aside: what is open is told once more.  Raises StateError where it can't be read.
        """
        try:
            content = read_limited(self._path, MOST_BYTES)
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            raise StateError(f"{self._path} can't be read: {error.strerror}") from error
        try:
            self._written = dict(_Content.model_validate_json(content).receivers)
        except ValidationError:
            aside = self._path.with_name(f"{STATE_FILE}.damaged-{now:%Y%m%dT%H%M%SZ}")
            self._path.rename(aside)
            return {}, f"{self._path} was damaged and is now {aside.name}; what is open is told once more"
        return dict(self._written), ""

    def write(self, states: dict[str, ReceiverState]) -> None:
        """Keep the states, if they have changed.  Raises OSError."""
        if states != self._written:
            replace_synced(self._path, _Content(receivers=states).model_dump_json().encode())
            self._written = dict(states)
