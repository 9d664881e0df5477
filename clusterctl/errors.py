"""The errors a person can meet, and the exit code of each kind.

ClusterctlError            exit 1   anything else that went wrong; always one message and, if we have one, a hint
|- SpecError               exit 2   the user's file or argument is wrong; names file, line, column, field
|- Infeasible              exit 3   no fleet satisfies the run; names the nearest that does
|- PriceError              exit 4   a price is missing, stale or a price source failed
|- StateError              exit 5   a file or store of ours is of another version, damaged or locked
|- RunEnded                exit 6   the run that was followed ended before its work was done
|- LeftOver                exit 7   something was to be removed, and is still there
|- NotAllAsked             exit 8   a place could not be asked: nobody knows what is there
|- Drifted                 exit 9   what a run has in a cloud differs from its state; for scripts, no failure
|- AlertsOpen              exit 10  something needs a person; for scripts, no failure
|- MachineError            exit 71  this machine has no room left: memory, threads, processes, open files, disk
|- OutputError             exit 74  stdout can't be written
|- Interrupted             exit 130 Ctrl-C; says how to go on
`- OutputClosed            exit 141 whoever read stdout has stopped reading; says nothing
"""

from __future__ import annotations

NO_MEMORY = "free memory, or raise the limit: `ulimit -v` and `ulimit -d` show it"
NO_THREADS = "end processes of this user, or raise the limit: `ulimit -u` shows it, a container has its own"
NO_FILES = "close files, or raise the limit: `ulimit -n` shows it"
NO_ROOM = "make room, or give this user the right to write there; CLUSTERCTL_HOME names another data folder"
"""What helps where the machine refuses something."""


class ClusterctlError(Exception):
    """Printed as `error: …` and `hint: …`, never as a traceback."""

    exit_code = 1
    word = "error"
    """What the message is introduced by."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(ClusterctlError):
    """The user's file or argument is wrong."""

    exit_code = 2


class Infeasible(ClusterctlError):  # noqa: N818 - the word people read
    """No fleet satisfies the run."""

    exit_code = 3


class PriceError(ClusterctlError):
    """A price is missing, stale, or a price source failed."""

    exit_code = 4


class StateError(ClusterctlError):
    """A file or store of ours is of another version, damaged or locked."""

    exit_code = 5


class RunEnded(ClusterctlError):  # noqa: N818 - what happened
    """The run ended before its work was done: it failed, or was stopped by a limit, for idleness or by `down`."""

    exit_code = 6


class LeftOver(ClusterctlError):  # noqa: N818 - what happened
    """Something was to be removed, and is still there."""

    exit_code = 7


class NotAllAsked(ClusterctlError):  # noqa: N818 - what happened
    """A place could not be asked: nobody knows what is there."""

    exit_code = 8


class Drifted(ClusterctlError):  # noqa: N818 - what was found
    """A run's machines in a cloud differ from what its state says."""

    exit_code = 9
    word = "drift"


class AlertsOpen(ClusterctlError):  # noqa: N818 - what was found
    """Alerts are open."""

    exit_code = 10
    word = "alerts"


class MachineError(ClusterctlError):
    """This machine has no room left, or doesn't let this user have it: memory, threads, processes, files, disk."""

    exit_code = 71  # EX_OSERR of sysexits.h


class OutputError(ClusterctlError):
    """stdout can't be written: it is closed, or its disk is full."""

    exit_code = 74  # EX_IOERR

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"stdout can't be written: {error.strerror}",
            hint="what was to be done is done as far as it got; send the output elsewhere, `> /dev/null` if nowhere",
        )


class Interrupted(ClusterctlError):  # noqa: N818 - what happened
    """Ctrl-C, at a place from which the command can go on later."""

    exit_code = 130
    word = "interrupted"


class OutputClosed(ClusterctlError):  # noqa: N818 - what happened
    """Whoever read stdout has stopped reading (`| head`).  No failure, and nothing is said."""

    exit_code = 141  # 128 + SIGPIPE

    def __init__(self) -> None:
        super().__init__("")
