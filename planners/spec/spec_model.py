"""What every part of a run spec shares: frozen models and number types that carry their unit and limits."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class SpecModel(BaseModel):
    """A part of a run spec: frozen, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


def _number(unit: str, **limits: Any) -> Any:
    return Field(strict=True, json_schema_extra={"unit": unit}, **limits)


Count = Annotated[int, _number("count", ge=1, le=10**9)]
CountOrZero = Annotated[int, _number("count", ge=0, le=10**9)]
Degree = Annotated[int, _number("GPUs", ge=1, le=65_536)]
TokenTotal = Annotated[int, _number("tokens", ge=1, le=10**16)]
TokenLength = Annotated[float, _number("tokens", ge=0, le=1e8)]
TokenLimit = Annotated[int, _number("tokens", ge=1, le=10**8)]
Seconds = Annotated[float, _number("seconds", ge=0, le=1e7)]
Minutes = Annotated[float, _number("minutes", gt=0, le=1e6)]
Hours = Annotated[float, _number("hours", gt=0, le=1e6)]
Gib = Annotated[float, _number("GiB", gt=0, le=1e6)]
GibOrZero = Annotated[float, _number("GiB", ge=0, le=1e6)]
Cpus = Annotated[float, _number("vCPUs", gt=0, le=10_000)]
PerSecond = Annotated[float, _number("1/second", gt=0, le=1e9)]
Gbps = Annotated[float, _number("Gb/s", gt=0, le=1e6)]
Usd = Annotated[float, _number("USD", gt=0, le=1e12)]
UsdPerHour = Annotated[float, _number("USD/hour", ge=0, le=1e9)]
UsdPerMillionTokens = Annotated[float, _number("USD per million tokens", ge=0, le=1e6)]
Factor = Annotated[float, _number("ratio", ge=1, le=1000)]
Weight = Annotated[float, _number("ratio", ge=0, le=1000)]
Share = Annotated[float, _number("share 0..1", ge=0, le=1)]
OpenShare = Annotated[float, _number("share 0..1", gt=0, lt=1)]
SomeShare = Annotated[float, _number("share 0..1", gt=0, le=1)]

Slug = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
