"""The commands as data (command_table.json): `--help` is drawn from this table alone, without importing any command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class CommandEntry(NamedTuple):
    """One command: what a person reads before its module is imported."""

    name: str
    summary: str
    examples: tuple[str, ...]
    """Shown at the end of the command's help; a test runs each beside `templates/`, but those marked `not run`."""
    failure_code: int | None = None
    """Exit code of every failure, where the others are what the command found; None = each kind has its own."""

    @property
    def module(self) -> str:
        """Holds a function of the command's name, or for a group of commands a `typer.Typer` named `app`."""
        return f"clusterctl.commands.{self.name}"


COMMANDS = tuple(
    CommandEntry(name, row["summary"], tuple(row["examples"]), row.get("failure_code"))
    for name, row in json.loads(Path(__file__).with_suffix(".json").read_text("utf-8")).items()
)
