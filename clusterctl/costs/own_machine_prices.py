"""What a person says of the price of machines that telemetry sees and no run has paid for: `machine-prices.yaml`."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from clusterctl.catalog.lookup import find_gpu
from clusterctl.errors import SpecError
from clusterctl.paths import user_data_dir
from clusterctl.specfile.spec_errors import spec_error
from clusterctl.specfile.yaml_file import Document, read_yaml
from planners.costs.estimated_price import OwnMachinePrice
from planners.domain import CapacityType
from planners.spec.spec_model import SpecModel, UsdPerHour, Word

FILE_VARIABLE = "CLUSTERCTL_MACHINE_PRICES"
FILE_NAME = "machine-prices.yaml"
HINT = "docs/telemetry.md shows one"


class MachinePriceRow(SpecModel):
    """Machines, and what they cost or where they are."""

    nodes: Annotated[Word, Field(description="pattern of their names: `*`, `?`")] = "*"
    gpu: Annotated[Word | None, Field(description="only those with this GPU")] = None
    usd_per_gpu_hour: UsdPerHour | None = None
    usd_per_hour: Annotated[UsdPerHour | None, Field(description="of the whole machine")] = None
    cloud: Word | None = None
    region: Word | None = None
    instance_type: Word | None = None
    capacity_type: Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "capacity_block"] | None = None
    note: Word | None = None


class MachinePricesFile(SpecModel):
    """The file: the first row that fits a machine counts."""

    machines: tuple[MachinePriceRow, ...]


def own_machine_prices(folder: Path | None = None) -> tuple[OwnMachinePrice, ...]:
    """What the user's file says; nothing where there is none.

    The file that CLUSTERCTL_MACHINE_PRICES names, else `machine-prices.yaml` in the data folder.  Raises SpecError with
    file, line and field.
    """
    named = os.environ.get(FILE_VARIABLE)
    path = Path(named) if named else (folder or user_data_dir()) / FILE_NAME
    if not named and not path.exists():
        return ()
    document = read_yaml(path)
    try:
        content = MachinePricesFile.model_validate(document.data)
    except ValidationError as error:

        def where(path: tuple[str | int, ...], key: bool) -> str:
            return document.where(path, key=key)

        raise spec_error(error, document.data, where) from error
    return tuple(_own(row, number, document) for number, row in enumerate(content.machines))


def _own(row: MachinePriceRow, number: int, document: Document) -> OwnMachinePrice:
    where = document.where(("machines", number))
    if row.usd_per_gpu_hour is not None and row.usd_per_hour is not None:
        raise SpecError(f"{where}: machines[{number}] states usd_per_gpu_hour and usd_per_hour", hint="state one")
    try:
        gpu = None if row.gpu is None else find_gpu(row.gpu).name
    except SpecError as error:
        place = document.where(("machines", number, "gpu"))
        raise SpecError(f"{place}: machines[{number}].gpu: {error.message}", hint=error.hint) from error
    said = [row.usd_per_gpu_hour, row.usd_per_hour, row.cloud, row.region, row.instance_type, row.capacity_type]
    if all(value is None for value in said):
        raise SpecError(f"{where}: machines[{number}] states neither a price nor a place", hint=HINT)
    return OwnMachinePrice(
        nodes=row.nodes,
        gpu=gpu,
        usd_per_gpu_hour=_exact(row.usd_per_gpu_hour),
        usd_per_hour=_exact(row.usd_per_hour),
        cloud=row.cloud,
        region=row.region,
        instance_type=row.instance_type,
        capacity_type=None if row.capacity_type is None else CapacityType(row.capacity_type).value,
        note=row.note,
    )


def _exact(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))
