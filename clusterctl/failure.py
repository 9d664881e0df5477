"""What a failure prints and which code it exits with.  The codes are listed in docs/exit-codes.md.

Everything ends here: a person never sees a traceback unless they ask for it with `--debug`.
"""

from __future__ import annotations

import errno
import itertools
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from typer.exceptions import Abort, TyperException

from clusterctl.errors import (
    NO_FILES,
    NO_MEMORY,
    NO_ROOM,
    NO_THREADS,
    ClusterctlError,
    Interrupted,
    MachineError,
    OutputClosed,
)

USAGE = 2
BUG = 70
"""EX_SOFTWARE of sysexits.h: the program, not its input, is at fault."""
REFUSED_BY_CODE = {
    errno.ENOMEM: NO_MEMORY, errno.EAGAIN: NO_THREADS, errno.EMFILE: NO_FILES, errno.ENFILE: NO_FILES,
    errno.EACCES: NO_ROOM, errno.EPERM: NO_ROOM, errno.EROFS: NO_ROOM, errno.ENOTDIR: NO_ROOM,
    errno.ENOSPC: NO_ROOM, errno.EDQUOT: NO_ROOM, errno.EFBIG: NO_ROOM, errno.EIO: NO_ROOM,
}  # fmt: skip
"""Code of an OSError that no program can do anything about → hint."""
REFUSED_IN_WORDS = {
    "annot allocate memory": ("there is no memory left", NO_MEMORY),
    "failed to map segment": ("there is no memory left", NO_MEMORY),
    "can't start new thread": ("this user may start no further thread", NO_THREADS),
    "could not spawn threads": ("this user may start no further thread", NO_THREADS),
    "failed to spawn": ("this user may start no further thread", NO_THREADS),
    "No usable temporary directory": ("no temporary file can be written", "make room, or name a folder with TMPDIR"),
}
"""What an import that fails, Python or a panic of polars says → message and hint."""


def exit_code_of(run: Callable[[], object], args: Sequence[str], *, failure_code: int | None = None) -> int:
    """Call `run`, print what went wrong to stderr, and return the exit code.

    `run` returns an exit code (0 when it returns anything that is no int).  failure_code: the code of every failure but
    an interruption, for a command whose other codes are its findings; None = each kind of failure has its own.
    """
    try:
        result = run()
        sys.stdout.flush()
    except OutputClosed as error:
        return error.exit_code
    except ClusterctlError as error:
        code = _known(error, args)
    except TyperException as error:
        code = _usage(error)
    except (KeyboardInterrupt, Abort):
        code = Interrupted.exit_code
        report("interrupted", None)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - no traceback reaches a person unasked; a panic of polars is no Exception
        refused = _refused_by_the_machine(error)
        code = _bug(error, args) if refused is None else _known(refused, args)
    else:
        if result == Interrupted.exit_code:
            report("interrupted", None)
        return result if isinstance(result, int) else 0
    return code if failure_code is None or code == Interrupted.exit_code else failure_code


def _refused_by_the_machine(error: BaseException) -> MachineError | None:
    """What the machine refused, with a way out; None where it refused nothing."""
    words = "Cannot allocate memory" if isinstance(error, MemoryError) else str(error)
    message, hint = next((found for part, found in REFUSED_IN_WORDS.items() if part in words), (None, None))
    if message is None and isinstance(error, OSError) and error.errno in REFUSED_BY_CODE:
        where = "" if error.filename is None else f"{error.filename}: "
        message, hint = f"{where}{error.strerror}", REFUSED_BY_CODE[error.errno]
    if message is None:
        return None
    refused = MachineError(message, hint=hint)
    refused.__cause__ = error
    return refused


def report(message: str, hint: str | None, *, word: str = "error") -> None:
    """Print `error: …` and, after a blank line, `hint: …` to stderr."""
    text = f"{word}: {message}\n" + (f"\nhint: {hint}\n" if hint else "")
    sys.stderr.write(text)
    sys.stderr.flush()


def _usage(error: TyperException) -> int:
    """A wrong command line.  typer's message, in our voice, with the nearest option, command or choice."""
    message = error.format_message()
    if message.startswith("Usage: "):  # a group called without a command: its help is the answer
        sys.stderr.write(f"{message}\n")
        return USAGE
    command_path = getattr(getattr(error, "ctx", None), "command_path", "clusterctl")
    near = _nearest(error)
    see = f"`{command_path} --help` lists what it takes"
    report(_in_our_voice(message), f"did you mean `{near}`? {see}" if near else see)
    return USAGE


def _in_our_voice(message: str) -> str:
    first = message.splitlines()[0]
    for pattern, replacement in _REWORDED:
        first = re.sub(pattern, replacement, first)
    return (first[0].lower() + first[1:]).rstrip(".")


_REWORDED = (
    (r" \(Possible options: .*\)$", ""),
    (r"\. Choose from:$", ""),
    (r"\. Did you mean .*\?$", ""),
    (r"'([^' ]+)'", r"`\1`"),
    (r"^No such option: (\S+)", r"no such option `\1`"),
    (r": Value error, ", ": "),
    (r"Got unexpected extra argument\(s\) \((.*)\)", r"unexpected argument `\1`"),
)


def _nearest(error: TyperException) -> str | None:
    """The option, command or choice that the person may have meant."""
    ctx = getattr(error, "ctx", None)
    if ctx is None:
        return None
    message = error.format_message()
    option = getattr(error, "option_name", None)
    choices = getattr(getattr(getattr(error, "param", None), "type_descriptor", None), "choices", None)
    known: list[str] = []
    if option is not None:
        said = option
        known = [name for param in ctx.command.get_params(ctx) for name in getattr(param, "opts", ())]
    elif (unknown := re.match(r"No such command '([^']*)'", message)) and hasattr(ctx.command, "list_commands"):
        said = unknown[1]
        known = ctx.command.list_commands(ctx)
    elif choices and (wrong := re.search(r"'([^']*)' is not one of", message)):
        said = wrong[1]
        known = [str(getattr(choice, "value", choice)) for choice in choices]
    else:
        return None
    return next(iter(get_close_matches(said, known, n=1)), None)


def _bug(error: BaseException, args: Sequence[str]) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    if _asks_for("--debug", args):
        traceback.print_exception(error)
    said = str(error).splitlines()[0] if str(error) else "no message"
    again = shlex.join(["clusterctl", "--debug", *(arg for arg in args if arg != "--debug")])
    report(
        f"this is a bug in clusterctl: {type(error).__name__}: {said}{where}",
        f"`{again}` shows the traceback; please report it together with the input file",
    )
    return BUG


def _known(error: ClusterctlError, args: Sequence[str]) -> int:
    report(error.message, error.hint, word=error.word)
    if error.__cause__ is not None and _asks_for("--debug", args):
        traceback.print_exception(error.__cause__)
    return error.exit_code


def _asks_for(flag: str, args: Sequence[str]) -> bool:
    """Whether one of our own flags, which stand before the command, is set."""
    return flag in itertools.takewhile(lambda arg: arg.startswith("-"), args)
