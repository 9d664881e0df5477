"""Where a run may live, what it may cost, what an outcome is worth, and the prices that the user has negotiated."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from planners.domain import CapacityType
from planners.spec.spec_model import Count, Cpus, Gbps, Gib, Hours, Minutes, SpecModel, Text, Usd, UsdPerHour, Word

CLOUDS = ("aws", "gcp", "azure")
"""Where a run may live when nothing is said; other clouds of the price book are used when a spec names them."""
Target = Annotated[str, StringConstraints(max_length=200, pattern=r"^([a-z][a-z0-9-]*|slurm:[^\s:]+|kubernetes:\S+)$")]


def is_cloud(target: str) -> bool:
    """Whether machines are rented there; elsewhere they exist already."""
    return target not in ("local", "fake", "own", "") and ":" not in target


_Capacities = Annotated[tuple[CapacityType, ...], Field(min_length=1)]
_Words = Annotated[tuple[Word, ...], Field(max_length=500)]


class NodeCount(SpecModel):
    """How many GPU nodes: between min and max."""

    min: Count = Field(1, description="Fewest nodes.")
    max: Count = Field(description="Most nodes.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


def _number_is_exact(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return {"min": value, "max": value} if is_number else value


Nodes = Annotated[NodeCount, BeforeValidator(_number_is_exact, json_schema_input_type=Count | NodeCount)]


class Machines(SpecModel):
    """Machines that exist already (targets local, slurm, kubernetes)."""

    target: Target | None = Field(None, description="Which target has them; default: every such target.")
    name: Word | None = Field(None, description="Partition or node-pool name.")
    gpu: Word | None = Field(None, description="GPU by name; left out = CPU machines for sandboxes.")
    gpus_per_node: Count = Field(8, description="GPUs per node, where there are GPUs.")
    nodes: Count = Field(1, description="Nodes.")
    vcpus: Cpus = Field(description="vCPUs per node.")
    memory_gib: Gib = Field(description="Memory per node.")
    network_gbps: Gbps | None = Field(None, description="Network per node; default: by GPU.")
    usd_per_hour: UsdPerHour | None = Field(None, description="Internal price per node; left out = unknown.")
    sbatch: Annotated[dict[Word, Word], Field(max_length=20)] = Field(
        {}, description="Options of sbatch that a Slurm site wants, e.g. {account: rl, qos: high}."
    )
    usd_per_gpu_hour: UsdPerHour | None = Field(None, description="Internal price per GPU instead of per node.")

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.usd_per_gpu_hour is not None and self.gpu is None:
            raise ValueError("usd_per_gpu_hour needs gpu: machines without GPUs have usd_per_hour")
        if self.usd_per_gpu_hour is not None and self.usd_per_hour is not None:
            raise ValueError("give either usd_per_hour or usd_per_gpu_hour, not both")
        return self

    @property
    def usd_per_node_hour(self) -> float | None:
        """Price per node, whichever way it was stated; None = unknown."""
        if self.usd_per_gpu_hour is not None:
            return self.usd_per_gpu_hour * self.gpus_per_node
        return self.usd_per_hour


class SandboxFleet(SpecModel):
    """Restrictions on the machines that run sandboxes."""

    targets: Annotated[tuple[Target, ...], Field(max_length=16)] | None = Field(
        None, description="Where sandboxes may run; default: beside the GPUs."
    )
    capacity: _Capacities = Field((CapacityType.ON_DEMAND,), description="Capacity types allowed.")
    instance_types: _Words = Field((), description="Instance types allowed (patterns with *); default: all.")


class FleetSpec(SpecModel):
    """Which clouds, regions, GPUs and capacity types may be used."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=16)] = Field(
        CLOUDS,
        description="aws, gcp, azure, other clouds of the price book (lambda, coreweave, ...), local, slurm:NAME, "
        "kubernetes:CONTEXT.",
    )
    regions: _Words = Field((), description="Regions allowed (patterns with *, e.g. us-*); default: all.")
    gpus: _Words = Field((), description="GPUs allowed, by name; default: all that fit.")
    capacity: _Capacities = Field((CapacityType.ON_DEMAND,), description="Capacity types allowed.")
    instance_types: _Words = Field((), description="GPU instance types allowed (patterns with *); default: all.")
    exclude: _Words = Field((), description="Clouds, regions or instance types never used (patterns with *).")
    max_gpus: Count | None = Field(None, description="Most GPUs in any candidate.")
    num_gpus: Count | None = Field(None, description="GPUs, exactly this many; default: searched.")
    nodes: Nodes | None = Field(None, description="GPU nodes: a number, or {min, max}; default: searched.")
    quota: Annotated[dict[Word, Annotated[int, Field(strict=True, ge=0, le=10**7)]], Field(max_length=200)] = Field(
        {}, description="GPUs that an account may hold, by GPU or cloud:GPU, e.g. {'aws:H100': 64}."
    )
    sandbox: SandboxFleet = Field(default_factory=SandboxFleet, description="Machines that run sandboxes.")
    machines: Annotated[tuple[Machines, ...], Field(max_length=100)] = Field(
        (), description="Machines that exist already; needed by local, slurm and kubernetes."
    )

    @model_validator(mode="after")
    def _one_number_of_gpus(self) -> Self:
        if self.num_gpus is not None and self.nodes is not None:
            raise ValueError("give either num_gpus or nodes, not both")
        if self.num_gpus is not None and self.max_gpus is not None and self.num_gpus > self.max_gpus:
            raise ValueError(f"num_gpus ({self.num_gpus}) is above max_gpus ({self.max_gpus})")
        return self

    @model_validator(mode="after")
    def _existing_targets_state_machines(self) -> Self:
        existing = [target for target in self.targets if not is_cloud(target)]
        if existing and not self.machines:
            raise ValueError(f"target {existing[0]} needs machines: what nodes it has")
        return self


class Limits(SpecModel):
    """What the run may cost and take."""

    usd: Usd | None = Field(None, description="Most dollars for the whole run.")
    hours: Hours | None = Field(None, description="Most hours from start to end.")
    idle_minutes: Minutes | None = Field(
        None,
        description="Most minutes without a finished step; default: 30, or three planned steps if those take longer.",
    )
    gpus: Count | None = Field(None, description="Most GPUs at once.")
    usd_per_hour: Usd | None = Field(None, description="Most dollars per hour while running.")


class OutcomeValue(SpecModel):
    """What an outcome is worth, for the break-even."""

    outcome: Text = Field("solved task", description="What counts as one outcome.")
    usd_per_outcome: Usd | None = Field(None, description="What one outcome earns or saves.")
    tasks_per_feature: Count | None = Field(None, description="Solved tasks that make one feature.")


Cloud = Annotated[str, StringConstraints(max_length=100, pattern=r"^[a-z][a-z0-9-]*$")]


class Discount(SpecModel):
    """A negotiated or committed-use discount on list prices; of several, the most specific counts."""

    cloud: Cloud | None = Field(None, description="Cloud; left out = every cloud.")
    instance_type: Word | None = Field(None, description="Instance type; left out = every type.")
    region: Word | None = Field(None, description="Region; left out = every region.")
    gpu: Word | None = Field(None, description="GPU by name; left out = any machine.")
    capacity: CapacityType | None = Field(None, description="Capacity type; left out = every type.")
    percent: Annotated[float, Field(strict=True, gt=0, lt=100, json_schema_extra={"unit": "percent"})] = Field(
        description="Percent taken off the list price."
    )


class Rate(SpecModel):
    """What the user pays for an instance type, undiscounted."""

    cloud: Cloud = Field(description="Cloud.")
    instance_type: Word = Field(description="Instance type.")
    region: Word | None = Field(None, description="Region; left out = every region that has the type.")
    capacity: CapacityType = Field(CapacityType.ON_DEMAND, description="Capacity type.")
    usd_per_hour: UsdPerHour = Field(description="Price of the whole instance.")


class Reservation(SpecModel):
    """Nodes that are paid whether used or not."""

    cloud: Cloud = Field(description="Cloud.")
    region: Word = Field(description="Region.")
    instance_type: Word = Field(description="Instance type.")
    nodes: Count = Field(description="Nodes reserved.")
    usd_per_hour: UsdPerHour | None = Field(None, description="Price per node; left out = unknown.")


class OwnPrices(SpecModel):
    """Negotiated discounts, own rates and reservations."""

    rates: Annotated[tuple[Rate, ...], Field(max_length=1000)] = Field((), description="Own rates.")
    discounts: Annotated[tuple[Discount, ...], Field(max_length=100)] = Field((), description="Discounts.")
    reservations: Annotated[tuple[Reservation, ...], Field(max_length=100)] = Field((), description="Reserved nodes.")
