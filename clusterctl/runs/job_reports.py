"""What a job writes into its run's `reports.jsonl`: a line for each step that is done, and for each cost.

A job's bug must not end its run: a line that can't be read is a reason in words, and counts for nothing.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic import model_validator as check

MOST_BYTES = 1 << 20
"""Of a line."""
MOST_USD = 1_000_000
"""Of one report, which covers seconds to hours of one run: more is a mistake in the unit.  Assumption."""
MOST_UNITS = 10**15
"""Of one report: a petabyte in bytes.  With twelve decimals it is within the 28 digits of Python's decimals."""
MOST_NAMES, MOST_CHARACTERS = 1000, 200
"""Of the phases and of the metrics of one report; of a text."""
MOST_STEPS = 2**31 - 1
"""PostgreSQL's integer."""


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text of one line")
    return text


def _places(places: int) -> AfterValidator:
    return AfterValidator(lambda amount: amount.quantize(Decimal(1).scaleb(-places)))


def _numbers(given: Any) -> Any:
    """Metrics that are numbers; others are a job's own business."""
    if not given:
        return {}
    numbers = {name: value for name, value in given.items() if type(value) in (int, Decimal)}
    return {
        name: float(value) for name, value in numbers.items() if name.isprintable() and len(name) <= MOST_CHARACTERS
    }


Text = Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_text)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=MOST_STEPS)]
Quantity = Annotated[Decimal, Field(ge=0, le=MOST_UNITS, allow_inf_nan=False), _places(12)]
Usd = Annotated[Decimal, Field(ge=0, le=MOST_USD, allow_inf_nan=False), _places(6)]
UnitPrice = Annotated[Decimal, Field(ge=0, le=MOST_USD, allow_inf_nan=False), _places(15)]


class StepReport(BaseModel):
    """A step is done."""

    at: AwareDatetime
    stage: Text
    step: Number
    of: Number
    phases: Annotated[dict[Text, Seconds], Field(max_length=MOST_NAMES)] = {}
    metrics: Annotated[dict[str, float], Field(max_length=MOST_NAMES), BeforeValidator(_numbers)] = {}


class CostReport(BaseModel):
    """The job has used so much of something that is paid beside its machine, since it last said so."""

    model_config = ConfigDict(extra="forbid")

    cost: Literal["tokens", "storage", "egress"]
    at: AwareDatetime
    quantity: Quantity
    unit: Annotated[Text, Field(min_length=1)]
    """Of tokens: input tokens, cached input tokens or output tokens, as in plans; their price then may be known."""
    name: Text = ""
    """Of the model, the bucket …"""
    role: Text = "trainer"
    provider: Text = ""
    usd: Usd | None = None
    usd_per_unit: UnitPrice | None = None
    source: Text = ""
    """Where the price is from."""

    @check(mode="after")
    def _once(self) -> Self:
        if self.usd is not None and self.usd_per_unit is not None:
            raise ValueError("give either usd or usd_per_unit, not both")
        return self


def read_report(line: bytes) -> StepReport | CostReport | str:
    """What a line says, or why it says nothing."""
    if len(line) > MOST_BYTES:
        return "it is longer than a MiB"
    try:
        row = json.loads(line, parse_float=Decimal)
        return (CostReport if isinstance(row, dict) and "cost" in row else StepReport).model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    except (ValueError, ArithmeticError, AttributeError, RecursionError):
        return "it is no JSON object of the known form"
