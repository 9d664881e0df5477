"""Where the supervisor of a run lives, what it asks of that place, and what commands do by it."""

# ruff: noqa: ARG002 - what a home need not say itself uses no argument

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from clusterctl.targets.run_ref import RunRef

if TYPE_CHECKING:
    from clusterctl.clock import Beat
    from clusterctl.ledger import Ledger
    from clusterctl.targets.wishes import Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What this machine knows of a run that is watched elsewhere."""

    at: datetime | None = None
    """When its ledger was last read; None = never."""
    unreachable_since: datetime | None = None
    why: str = ""
    """What keeps it from being read."""
    supervisor: str = ""
    """What its place says of a supervisor that does not run yet: `queued: Resources`."""
    heeded: bool = True
    """Whether its supervisor has acknowledged the last wish."""


class SupervisorHome(Protocol):
    """Where the supervisor of a run lives.

    What a home does not say itself is so where the supervisor is a process of this machine, which writes the ledger
    that all read.
    """

    hung_seconds: float
    """A supervisor that has given no sign for so long hangs, was stopped, or can't reach its ledger."""

    def start(self, ledger: Ledger, run: RunRef, environment: Mapping[str, str]) -> str:
        """Start a supervisor, which begins with what this ledger holds, and return its address.

        A second one leaves by itself: the run's lock is held.
        """

    def find(self, run_id: str) -> Sequence[str]:
        """Addresses of the run's supervisors, also of one that has been stopped or hangs."""

    def age_seconds(self, address: str) -> float:
        """How long ago it was started."""

    def alive(self, address: str) -> bool:
        """Whether it still runs."""

    def end(self, address: str) -> None:
        """End one that hangs, at once.  What it watches goes on."""

    def note(self, run_id: str) -> None:
        """The supervisor lives, although it can't write that into the ledger.  Raises OSError."""
        return

    def noted_seconds(self, run_id: str) -> float | None:
        """How long ago it last noted that; None where it never had to."""

    # What the supervisor itself calls.

    def enter(self, run_id: str) -> bool:
        """Before it opens the run's ledger: bring that here, if it is kept elsewhere.  Whether it was replaced.

        Raises LockHeldError where another supervisor may live, StateError where the ledger can't be brought.
        """
        return False

    def check(self, run_id: str) -> None:
        """Raises LockLostError where another may have taken over."""
        return

    def wished(self, run_id: str) -> Wish | None:
        """What was wished since it was last asked.  Raises ClusterctlError, once, for what is no wish."""
        return None

    def bring_plan(self, ledger: Ledger, run_id: str, plan_id: str) -> None:
        """Put the plan that a wish names into this ledger.  Raises ClusterctlError."""
        return

    def heeded(self, wish: Wish) -> None:
        """It is in the ledger now."""
        return

    def keep(self, run_id: str) -> None:
        """At each write: let those elsewhere see the ledger.  Raises OSError or ClusterctlError."""
        return

    def leave(self, run_id: str) -> None:
        """The run has ended, and its ledger is as it will be."""
        return

    # What commands call.

    def make_ready(self) -> None:
        """Put there what supervisors need, before a run is recorded.  Raises ClusterctlError where that can't be."""
        return

    def watches(self, ledger: Ledger, run_id: str) -> bool:
        """Whether there is a supervisor, also one that hangs."""

    def beat_seconds(self, beat: Beat) -> float:
        """How long ago a beat was."""

    def may_take_over(self, ledger: Ledger, run_id: str) -> AbstractContextManager[object]:
        """Be the run's supervisor for a while.  Raises LockHeldError where there is one, or only its home may."""

    def wish(self, ledger: Ledger, run: RunRef, wish: Wish) -> None:
        """See to it that this becomes of the run, at the latest when a supervisor watches it."""

    def pull(self, ledger: Ledger, run: RunRef, *, logs: bool = False, anew: bool = False) -> None:
        """Bring what its supervisor has written into this ledger, and logs into the run's folder.

        anew: also where that was done a moment ago.  Raises ClusterctlError.
        """
        return

    def adopt(self, ledger: Ledger, run_id: str) -> bool:
        """Take a run up that this ledger does not know; whether its home knows it.  Raises Unreachable."""
        return False

    def looked(self, run_id: str) -> Looked | None:
        """What is known of a run that is watched elsewhere; None for one that is watched by this ledger."""
        return None

    def has_folder(self, run: RunRef) -> bool:
        """Whether the run's folder with its checkpoint is there."""

    def give(self, ledger: Ledger, run_id: str) -> None:
        """Make this ledger's record of a run, that has ended without its supervisor, everybody's."""
        return
