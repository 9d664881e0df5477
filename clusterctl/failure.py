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

from clusterctl.errors import ClusterctlError, Interrupted, MachineError, OutputClosed

USAGE = 2
BUG = 70
"""EX_SOFTWARE of sysexits.h: the program, not its input, is at fault."""
OF_THE_MACHINE = frozenset(
    {
        errno.EACCES, errno.EAGAIN, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
        errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
    }
)  # fmt: skip
"""What the operating system refuses: no program can do anything about it."""
NO_MEMORY = "free memory, or raise the limit: `ulimit -v` and `ulimit -d` show it"
NO_THREADS = "end processes of this user, or raise the limit: `ulimit -u` shows it, a container has its own"
NO_ROOM = "make room, or give this user the right to write there; CLUSTERCTL_HOME names another data folder"


def exit_code_of(run: Callable[[], object], args: Sequence[str]) -> int:
    """Call `run`, print what went wrong to stderr, and return the exit code.

    `run` returns an exit code (0 when it returns anything that is no int).
    """
    try:
        result = run()
        sys.stdout.flush()
    except OutputClosed as error:
        return error.exit_code
    except ClusterctlError as error:
        return _known(error, args)
    except TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, Abort):
        result = Interrupted.exit_code
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of polars is no Exception; no traceback reaches a person unasked
        refused = of_the_machine(error)
        return _bug(error, args) if refused is None else _known(refused, args)
    if result == Interrupted.exit_code:
        report("interrupted", None)
    return result if isinstance(result, int) else 0


def of_the_machine(error: BaseException) -> MachineError | None:
    """What the machine refused, as an error with a way out; None where it refused nothing.

    A panic of polars and an import that fails say it in words only.
    """
    words, refused = str(error), None
    if isinstance(error, MemoryError) or any(
        each in words for each in ("annot allocate memory", "failed to map segment")
    ):
        refused = MachineError("there is no memory left", hint=NO_MEMORY)
    elif "can't start new thread" in words or "could not spawn threads" in words or "failed to spawn" in words:
        refused = MachineError("this user may start no further thread", hint=NO_THREADS)
    elif "No usable temporary directory" in words:
        refused = MachineError(
            f"no temporary file can be written: {words}", hint="make room, or name a folder with TMPDIR"
        )
    elif isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
        hint = NO_MEMORY if error.errno == errno.ENOMEM else NO_THREADS if error.errno == errno.EAGAIN else NO_ROOM
        where = f"{error.filename}: " if error.filename is not None else ""
        refused = MachineError(f"{where}{error.strerror}", hint=hint)
    if refused is not None:
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
