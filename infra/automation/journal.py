"""Which creations were begun and not seen to end: what a provider that is killed leaves nowhere else."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulumi.automation.events import StepEventStateMetadata

COPIED = ("urn", "custom", "type", "inputs", "parent", "provider")
"""Of a resource that the engine has begun to make."""


class Journal:
    """The creations that were begun and not seen to end, in a file beside the stack's settings."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "journal.jsonl"

    def begun(self, state: StepEventStateMetadata) -> None:
        """A creation may reach the cloud from now on."""
        self.keep({name: getattr(state, name) for name in COPIED if getattr(state, name)})

    def keep(self, resource: Mapping[str, Any], at: float | None = None) -> None:
        """The same, of a resource as the state holds it; at: the second at which it was begun, if not now."""
        self._add({"begun": dict(resource), "at": at or time.time()})

    def done(self, urn: str) -> None:
        """It has come to its end, and the state knows."""
        self._add({"done": urn})

    def unfinished(self) -> dict[str, dict[str, Any]]:
        """What was begun and not done, by URN, with the second at which it was begun as `at`."""
        left: dict[str, dict[str, Any]] = {}
        for line in self._lines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut by the crash, before the creation was begun
            if "begun" in row:
                left[row["begun"]["urn"]] = {**row["begun"], "at": row["at"]}
            else:
                left.pop(row["done"], None)
        return left

    def clear(self) -> None:
        """Everything is in the state."""
        self._file.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        try:
            return self._file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _add(self, row: Mapping[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(row)}\n")  # a line before it may have been cut by a crash
            file.flush()
            os.fsync(file.fileno())
