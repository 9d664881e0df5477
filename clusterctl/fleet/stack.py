"""A run's fleet: what a change would cost, the change, what differs, and its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterctl.fleet.outputs import FleetOutputs


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What the Pulumi program is told beside the plan: the keys of its configuration."""

    owner: str
    """Identity of the ledger: `sweep` leaves the resources of others alone."""
    zone: str = ""
    """Of the GPU nodes; empty = the first of the region."""
    access_cidrs: tuple[str, ...] = ()
    """Who may reach the cluster's API from outside of its network."""
    nodes: str = "supervisor"
    """Who decides how many nodes a pool has: `supervisor` makes every pool with none, `plan` as many as planned."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """More keys of the program (infra/Pulumi.yaml), by name: an existing network, cluster or bucket, reservations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStep:
    """One resource and what would be done with it."""

    op: str
    """create, update, replace, delete, same, import or refresh."""
    urn: str
    type: str
    name: str
    usd_per_hour: float | None
    """Of the resource as it will be; None = unknown."""
    why_unknown: str = ""
    """Empty where the price is known."""
    changed: tuple[str, ...] = ()
    """Properties that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPreview:
    """What `up` would do."""

    steps: tuple[FleetStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDrift:
    """What differs between the state and the cloud."""

    steps: tuple[FleetStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvent:
    """One thing that has happened while a fleet is changed."""

    kind: str
    """started, done, failed, waiting (takes long) or note."""
    op: str = ""
    type: str = ""
    name: str = ""
    seconds: float = 0.0
    """Since the resource was begun."""
    message: str = ""


class FleetStack:
    """The fleet of one run.

    store: the user's data folder.  Raises FleetError and its kinds, FleetStateError, and SpecError where the machine
    lacks Pulumi.
    """

    def __init__(self, store: Path, run_id: str) -> None:
        self._store, self._run_id = store, run_id

    def preview(self, plan_file: Path, options: FleetOptions) -> FleetPreview:
        """What `up` would do, and what it would cost by the hour.  Changes nothing."""
        raise NotImplementedError

    def up(self, plan_file: Path, options: FleetOptions, on_event: Callable[[FleetEvent], None]) -> FleetOutputs:
        """Makes the fleet as planned, after what an earlier crash left half done; a second time changes nothing."""
        raise NotImplementedError

    def outputs(self) -> FleetOutputs | None:
        """Of the fleet as the state knows it; None where nothing was made."""
        raise NotImplementedError

    def drift(self) -> FleetDrift:
        """What the cloud has otherwise than the state.  Changes nothing."""
        raise NotImplementedError

    def destroy(self, on_event: Callable[[FleetEvent], None]) -> None:
        """Removes the fleet, after what an earlier crash left half done; one that has gone is no error."""
        raise NotImplementedError
