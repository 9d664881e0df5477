"""What can go wrong with a fleet, as kinds that a caller tells apart."""

from __future__ import annotations

from clusterctl.errors import ClusterctlError, StateError


class FleetError(ClusterctlError):
    """The cloud, or Pulumi's engine, has refused or failed; what was made until then is in the state."""


class NoCapacity(FleetError):  # noqa: N818 - what happened
    """The cloud has no such machine in this zone now: the plan's next offer may be had."""


class QuotaExceeded(FleetError):  # noqa: N818 - what happened
    """The account may not have as many: the hint says what to ask for."""


class LoginNeeded(FleetError):  # noqa: N818 - what happened
    """The cloud knows nobody by these credentials: missing, wrong or expired."""


class BucketHoldsData(FleetError):  # noqa: N818 - what happened
    """Everything but the bucket can go: what is in it nobody deletes unasked."""


class StackLocked(FleetError):  # noqa: N818 - what happened
    """Another process works on this fleet; the message says whose, and since when."""

    exit_code = StateError.exit_code


class FleetStateError(StateError):
    """The fleet's state can't be read: lost, of a newer version, or encrypted with another passphrase."""
