"""What a cloud must answer so that a run's machines can be paid, resized and found again.  Times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from clusterctl.errors import ClusterctlError

if TYPE_CHECKING:
    from clusterctl.fleet.outputs import FleetOutputs, FleetPool
    from planners.plan.value import Plan


class CloudError(ClusterctlError):
    """A cloud refused something, or can't be asked now; `hint` says what helps."""


class CloudUnreachable(CloudError):  # noqa: N818 - what happened
    """The cloud does not answer, or asks to wait: nobody knows what is there."""


class CredentialsMissing(CloudError):  # noqa: N818 - what happened
    """Nobody has said who asks."""


class CredentialsExpired(CloudError):  # noqa: N818 - what happened
    """Who asks was known, and must log in again."""


class NotAllowed(CloudError):  # noqa: N818 - what happened
    """Who asks is known, and may not do that."""


class InUse(CloudError):  # noqa: N818 - what happened
    """A resource that can be removed only after another one, or that is still on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResource:
    """Something that exists in a cloud and has our tags."""

    cloud: str
    kind: str
    """instance, disk, node group, cluster, address, bucket …: in the cloud's own words."""
    id: str
    """By which `remove` finds it again, together with the region."""
    name: str
    region: str
    """Empty where it has none."""
    run_id: str
    owner: str
    since: datetime | None = None
    """None where the cloud doesn't say."""
    usd_per_hour: float | None = None
    """By the price book; 0.0 is free, None is unknown."""
    holds_data: bool = False
    """A bucket or a file system: with it go results and checkpoints."""
    command: str = ""
    """Removes it by hand; empty where nobody can remove it, or this version doesn't know how."""
    note: str = ""
    """What a person should know: why it can't be removed, until when it is paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAsked:
    """A place of which nobody knows what is there."""

    cloud: str
    place: str
    """A region, or a service in a region: `us-east-1`, `eks in us-east-1`."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there, in the order in which it can be removed, and where could not be looked."""

    resources: tuple[CloudResource, ...] = ()
    not_asked: tuple[NotAsked, ...] = ()
    asked: tuple[str, ...] = ()
    """Regions that were asked, at least for a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInstance:
    """A machine that is paid, or was lately."""

    id: str
    pool: str
    """The label clusterctl.dev/pool of its pool."""
    since: datetime
    """When it was launched, by the cloud's own clock."""
    until: datetime | None = None
    """When it ended; None while it lives."""
    zone: str = ""
    address: str = ""
    """Private name or address, by which Kubernetes knows the node."""
    spot: bool = False
    ready: bool = True
    """Whether it runs; one that is being started is paid on some clouds already."""
    message: str = ""
    """Why it ended, in the cloud's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much of something the account may have in a region, and how much of it a plan asks for."""

    cloud: str
    name: str
    region: str
    limit: float | None
    """None = unknown."""
    used: float | None
    """None = unknown."""
    asked: float = 0.0
    """By the plan, at its largest."""
    unit: str = ""
    """vCPU, GPU, instances."""
    code: str = ""
    """The cloud's own name of it."""
    request: str = ""
    """Command or page that asks for more."""

    @property
    def is_short(self) -> bool:
        """Whether the plan asks for more than is free; never so where the limit is unknown."""
        return self.limit is not None and (self.used or 0.0) + self.asked > self.limit

    @property
    def text(self) -> str:
        """`384 vCPU of Running On-Demand P instances (L-417A185B) in us-east-1: it has 400, of which 192 are used`."""
        limit = "nobody says how many it has" if self.limit is None else f"it has {self.limit:g}"
        used = "" if self.used is None else f", of which {self.used:g} are used"
        code = f" ({self.code})" if self.code and self.code != self.name else ""
        amount = f"{self.asked:g} {self.unit} of" if self.unit else f"{self.asked:g} of"
        return f"{amount} {self.name}{code} in {self.region or 'all regions'}: {limit}{used}"


class Cloud(Protocol):
    """One account of a cloud.  Everything raises CloudError where the cloud can't be asked, and waits for seconds at
    most: what takes minutes only begins here."""

    name: str

    def identity(self) -> str:
        """The account, project or subscription that pays.  Raises CredentialsMissing, CredentialsExpired."""

    def regions(self) -> Sequence[str]:
        """Those that this account can use."""

    def resources(self, regions: Sequence[str] | None, owner: str | None) -> Found:
        """Everything with our tags, in these regions (None: in all that the account uses) and in what has no region.

        owner: only that owner's; None = everybody's.
        """

    def remove(self, resource: CloudResource) -> None:
        """Begin to remove; what is gone already is success.  Raises InUse where another one must go first."""

    def instances(self, fleet: FleetOutputs) -> Sequence[CloudInstance]:
        """Machines of the fleet's pools: live, and those lately ended that the cloud still shows."""

    def resize(self, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
        """Begin to make a pool that large; the same again is a no-op.

        Raises InUse while the pool is still being changed.  No capacity is known only later: `pool_problem`.
        """

    def pool_problem(self, fleet: FleetOutputs, pool: FleetPool) -> str:
        """Why the pool has fewer machines than it should, in the cloud's own words; empty = nothing is wrong."""

    def quotas(self, plan: Plan) -> Sequence[Quota]:
        """Those that the plan's pools of this cloud count against."""
