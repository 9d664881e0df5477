"""The command line is frozen: adding, renaming or removing an option is a decision that a reviewer sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clusterctl import cli
from clusterctl.command_table import COMMANDS

Golden = Callable[[str, str], None]


def test_the_options_are_the_agreed_ones(golden: Golden) -> None:
    lines = [*_options("clusterctl", cli.root())]
    for entry in COMMANDS:
        lines += _options(f"clusterctl {entry.name}", cli.load(entry))
    golden("cli_options.txt", "\n".join(lines) + "\n")


def test_every_option_says_what_it_does() -> None:
    for entry in COMMANDS:
        for name, command in _commands(f"clusterctl {entry.name}", cli.load(entry)):
            assert command.help, f"{name} has no help"
            assert [param.name for param in command.params if not param.help] == [], f"{name}: an option without help"


def _options(name: str, command: Any) -> Iterator[str]:
    """`name --option,-o` for each option and `name ARGUMENT` for each argument, groups included."""
    for path, one in _commands(name, command):
        yield path
        yield from sorted(f"{path} {','.join(sorted(param.opts + param.secondary_opts))}" for param in one.params)


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    if name != "clusterctl":
        for child in getattr(command, "commands", {}).values():
            yield from _commands(f"{name} {child.name}", child)
