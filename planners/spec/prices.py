"""Prices that the user knows better than a list: they win over the price book."""

from typing import Annotated, Literal

from pydantic import Field

from planners.domain import CapacityType
from planners.spec.base import Count, SpecModel, UsdPerHour, Word

Cloud = Literal["aws", "gcp", "azure"]


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
