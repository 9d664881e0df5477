"""Pack a folder of CSV files into a price book: how the embedded book was made.

    python tools/pack_prices.py CSV_FOLDER BOOK_FOLDER

Reads prices, prices_history, instances, small_prices, small_instances, extras, sources and (optional) tokens .csv; the
small ones hold machines that no fleet is planned with.  Their columns are those of
clusterctl/catalog/price_files.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from clusterctl.catalog.lookup import load_gpus
from clusterctl.catalog.price_files import (
    EXTRA_SCHEMA,
    PRICE_SCHEMA,
    SHAPE_SCHEMA,
    SOURCE_SCHEMA,
    TOKEN_SCHEMA,
    BookFrames,
    write_book,
)
from clusterctl.errors import PriceError

GPU_BY_ACCELERATOR = {
    "A100-40GB": "A100-40", "A100-80GB": "A100-80", "A100-80GB-PCIe": "A100-80-PCIe", "H100-SXM-80GB": "H100",
    "H100-NVL-94GB": "H100-NVL", "H200": "H200", "B200": "B200", "B300": "B300", "GB200": "GB200", "L40S": "L40S",
    "L4": "L4", "A10G": "A10G", "A10": "A10",
}  # fmt: skip
"""Accelerator as written in the shape sources -> canonical GPU name (the one `GpuSpec.name` uses)."""


def read_csv_folder(folder: Path) -> BookFrames:
    """The CSVs as frames.  Raises PriceError when a file is missing or a value is not of its type."""
    instances, tokens = _read(folder / "instances.csv"), folder / "tokens.csv"
    unknown = set(instances["accelerator"].drop_nulls()) - set(GPU_BY_ACCELERATOR)
    if unknown:
        raise PriceError(
            f"{folder / 'instances.csv'}: unknown accelerator {', '.join(sorted(unknown))}",
            hint="add it to tools/pack_prices.py",
        )
    shapes = _renamed(instances).with_columns(
        gpu=pl.col("accelerator").replace_strict(GPU_BY_ACCELERATOR, return_dtype=pl.String)
    )
    try:
        return BookFrames(
            prices=_typed(_read(folder / "prices.csv").rename({"purchase": "capacity_type"}), PRICE_SCHEMA),
            history=_typed(_read(folder / "prices_history.csv").rename({"purchase": "capacity_type"}), PRICE_SCHEMA),
            shapes=_typed(shapes, SHAPE_SCHEMA),
            extras=_typed(_read(folder / "extras.csv"), EXTRA_SCHEMA),
            tokens=_typed(_read(tokens), TOKEN_SCHEMA) if tokens.is_file() else pl.DataFrame(schema=dict(TOKEN_SCHEMA)),
            sources=_typed(_read(folder / "sources.csv"), SOURCE_SCHEMA),
            infrastructure=read_infrastructure_prices(folder / "small_prices.csv"),
            infrastructure_shapes=read_infrastructure_shapes(folder / "small_instances.csv"),
        )
    except pl.exceptions.PolarsError as error:
        raise PriceError(f"{folder}: {error}", hint="compare the columns with docs/prices.md") from error


def read_infrastructure_prices(path: Path) -> pl.DataFrame:
    """Prices of machines that no fleet is planned with; none without a file."""
    if not path.is_file():
        return pl.DataFrame(schema=dict(PRICE_SCHEMA))
    return _typed(_read(path).rename({"purchase": "capacity_type"}), PRICE_SCHEMA)


def read_infrastructure_shapes(path: Path) -> pl.DataFrame:
    """Their shapes: 0 GiB stands for a size that the source lacks, and a GPU that no fleet is planned with has only
    the source's word."""
    if not path.is_file():
        return pl.DataFrame(schema=dict(SHAPE_SCHEMA))
    named = _renamed(_read(path)).with_columns(
        gpu=pl.when(pl.col("accelerator").is_in(list(load_gpus()))).then(pl.col("accelerator"))
    )
    shapes = _typed(named, SHAPE_SCHEMA)
    return shapes.with_columns(pl.col("vcpus", "memory_gib").replace(0.0, None))


def _renamed(instances: pl.DataFrame) -> pl.DataFrame:
    return instances.rename(
        {"accelerator_count": "num_gpus", "gpu_memory_gib_each": "hbm_gib", "source": "shape_source"}
    )


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PriceError(f"cannot read {path}: {error}") from error


def _typed(frame: pl.DataFrame, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """Text to types; an empty cell is null; the word `unknown` in a date is null."""
    days = [name for name, kind in schema.items() if kind is pl.Date]
    cells = frame.select(pl.when(pl.col(name) != "").then(pl.col(name)) for name in schema)
    known = pl.col(days).replace("unknown", None).str.to_date("%Y-%m-%d")
    return cells.with_columns(known).cast(pl.Schema(schema))


if __name__ == "__main__":
    write_book(read_csv_folder(Path(sys.argv[1])), Path(sys.argv[2]))
