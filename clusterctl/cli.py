"""`clusterctl`: parses the command line, calls one command, says what went wrong.  Holds no other logic.

Commands are imported when they are invoked, so that `clusterctl --help` takes a tenth of a second.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from clusterctl import __version__, failure, log
from clusterctl.command_table import COMMANDS, CommandEntry
from clusterctl.machine import check_machine, collect_garbage_rarely, one_thread
from clusterctl.paths import resolve_path_variables
from clusterctl.ui.streams import safe_streams

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
NEEDS_LITTLE = ("init", "schema", "doctor", "completion")
"""Commands that import no polars."""


class LazyGroup(TyperGroup):
    """A group whose commands are stubs, with name and summary, until one of them is invoked."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import the command that `args` names.  `Any` because typer keeps its context class private."""
        name, _, rest = super().resolve_command(ctx, args)
        entry = next((entry for entry in COMMANDS if entry.name == name), None)
        return name, None if entry is None else load(entry), rest


def load(entry: CommandEntry) -> Any:
    """Import a command and give it its examples.  Returns typer's command object, whose class is private."""
    if entry.name not in NEEDS_LITTLE:
        check_machine()
    with one_thread():
        module = import_module(entry.module)
    app = getattr(module, "app", None) or typer.Typer()
    app.rich_markup_mode = None
    if not hasattr(module, "app"):
        app.command(entry.name)(getattr(module, entry.name))
    command = _without_completion(get_command(app))
    command.name = entry.name
    command.epilog = _examples(entry.examples)
    return command


def root() -> TyperGroup:
    """The whole command line, with stubs for commands."""
    app = typer.Typer(
        cls=LazyGroup,
        callback=_root,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=CONTEXT,
        epilog=_examples(("clusterctl init rlcef > run.yaml", "clusterctl plan run.yaml", "clusterctl plan --help")),
    )
    group = _without_completion(get_command(app))
    if not isinstance(group, TyperGroup):
        raise TypeError(f"expected a group, got {type(group).__name__}")
    for entry in COMMANDS:
        group.add_command(TyperCommand(entry.name, help=entry.summary, rich_markup_mode=None))
    return group


def main(argv: Sequence[str] | None = None) -> None:
    """Run and exit: 0, or the exit code of the kind of failure (docs/exit-codes.md)."""
    args = list(sys.argv[1:] if argv is None else argv)
    collect_garbage_rarely()
    with safe_streams():
        code = failure.exit_code_of(lambda: _run(args), args, failure_code=_failure_code(args))
    sys.exit(code)


def _failure_code(args: Sequence[str]) -> int | None:
    """Of the command that the arguments name; before it stand flags alone."""
    name = next((arg for arg in args if not arg.startswith("-")), None)
    return next((entry.failure_code for entry in COMMANDS if entry.name == name), None)


def _run(args: list[str]) -> Any:
    """Any: what the command returned, an exit code if it is an int."""
    resolve_path_variables()
    return root().main(args, prog_name="clusterctl", standalone_mode=False)


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what is being done.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Write the log as JSON lines.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback behind an error.")] = False,
) -> None:
    """Plan fleets for reinforcement learning from code execution.

    How many GPUs, how many sandboxes, how long, how many dollars, on which cloud, and how sure.
    """
    del version  # `_print_version` has answered
    log.configure(verbose=verbose or debug, as_json=log_json)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clusterctl {__version__}")
        raise typer.Exit


def _without_completion(command: Any) -> Any:
    """Take typer's own completion options off: `clusterctl completion` is the way, and it edits no file.

    They can't be left out from the start: making them is what registers the shells with typer.
    """
    command.params = [param for param in command.params if not (param.name or "").endswith("_completion")]
    return command


def _examples(lines: Sequence[str]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
