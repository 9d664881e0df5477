"""Distributions that a person can state: token lengths and seconds, by mean and tail.

Written as a number (the mean), as {mean, p95, max}, or as {file: measured.csv}; the file form is replaced by its
mean, p95 and max before a spec reaches this module, because planners read no files.
"""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from planners.spec.spec_model import Count, Seconds, SpecModel, TokenLength, Word


class MeasuredFile(SpecModel):
    """A file of measured values: one number per line, a CSV with one numeric column, a JSON list or JSON lines."""

    file: Word = Field(description="Path of the file, relative to the spec.")
    column: Word | None = Field(None, description="Column (CSV) or key (JSON lines) that holds the value.")


class _Spread(SpecModel):
    @model_validator(mode="after")
    def _ordered(self) -> Self:
        mean, p95, largest = (getattr(self, name) for name in ("mean", "p95", "max"))
        if p95 is not None and p95 < mean:
            raise ValueError(f"p95 ({p95:g}) is below the mean ({mean:g})")
        for name, value in (("mean", mean), ("p95", p95)):
            if largest is not None and value is not None and value > largest:
                raise ValueError(f"{name} ({value:g}) is above the max ({largest:g})")
        return self


class Lengths(_Spread):
    """Tokens per sequence: mean, and the tail where it is known."""

    mean: TokenLength = Field(description="Mean.")
    p95: TokenLength | None = Field(None, description="95th percentile; unknown = assumed, wider band.")
    max: TokenLength | None = Field(None, description="Longest value seen or possible.")
    measured: Count | None = Field(None, description="Number of measured values behind these figures.")


class Durations(_Spread):
    """Seconds per call: mean, and the tail where it is known."""

    mean: Seconds = Field(description="Mean.")
    p95: Seconds | None = Field(None, description="95th percentile; unknown = assumed, wider band.")
    max: Seconds | None = Field(None, description="Longest value seen or possible.")
    measured: Count | None = Field(None, description="Number of measured values behind these figures.")


def _number_is_mean(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"mean": value} if is_number else value


TokenCount = Annotated[
    Lengths, BeforeValidator(_number_is_mean, json_schema_input_type=TokenLength | Lengths | MeasuredFile)
]
SecondsSpread = Annotated[
    Durations, BeforeValidator(_number_is_mean, json_schema_input_type=Seconds | Durations | MeasuredFile)
]
