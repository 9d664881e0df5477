"""Writes a price book: the frames, packed small, into a folder.  The same writer serves `refresh`.

The bytes depend only on the rows and on the polars version: no clock, no host, sorted rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from clusterctl.errors import PriceError
from clusterctl.prices.schema import (
    EXTRA_SCHEMA,
    FORMAT_VERSION,
    MANIFEST_NAME,
    PRICE_SCHEMA,
    SHAPE_SCHEMA,
    SOURCE_SCHEMA,
    TOKEN_SCHEMA,
    USD_DECIMALS,
    BookFrames,
    Manifest,
)

GPU_BY_ACCELERATOR = {
    "A100-40GB": "A100-40", "A100-80GB": "A100-80", "A100-80GB-PCIe": "A100-80-PCIe", "H100-SXM-80GB": "H100",
    "H100-NVL-94GB": "H100-NVL", "H200": "H200", "B200": "B200", "B300": "B300", "GB200": "GB200", "L40S": "L40S",
    "L4": "L4", "A10G": "A10G", "A10": "A10",
}  # fmt: skip
"""Accelerator as written in the shape sources -> canonical GPU name (the one `GpuSpec.name` uses)."""


def pack(csv_folder: Path, out_folder: Path) -> Manifest:
    """Pack prices, prices_history, instances, extras, sources and (optional) tokens .csv into a book.

    Raises PriceError.
    """
    return write_book(read_csv_folder(csv_folder), out_folder)


def write_book(frames: BookFrames, out_folder: Path, *, base: str | None = None) -> Manifest:
    """Write every file of the book, the manifest last; returns the manifest."""
    out_folder.mkdir(parents=True, exist_ok=True)
    with_gpu = frames.shapes.filter(pl.col("gpu").is_not_null()).select("cloud", "instance_type")
    keys = ["cloud", "instance_type"]
    files = {
        "gpu.parquet": _packed_prices(frames.prices.join(with_gpu, on=keys, how="semi")),
        "cpu.parquet": _packed_prices(frames.prices.join(with_gpu, on=keys, how="anti")),
        "history.parquet": _packed_prices(frames.history),
        "shapes.parquet": frames.shapes.sort(keys),
        "extras.parquet": frames.extras.sort("cloud", "item", "region", "unit"),
        "tokens.parquet": frames.tokens.sort("provider", "model"),
        "sources.parquet": frames.sources.sort("source_id"),
    }
    sha256 = {name: _write(frame, out_folder / name) for name, frame in files.items()}
    days = frames.prices["as_of"]
    manifest = Manifest(
        version=FORMAT_VERSION,
        book_id=hashlib.sha256("".join(sha256.values()).encode()).hexdigest()[:16],
        base=base,
        priced_from=days.min(),
        priced_to=days.max(),
        num_prices=frames.prices.height,
        sha256=sha256,
    )
    (out_folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def _packed_prices(frame: pl.DataFrame) -> pl.DataFrame:
    order = ["cloud", "instance_type", "region", "capacity_type", "zone", "as_of", "source", "usd_per_hour"]
    return frame.with_columns(pl.col("usd_per_hour").round(USD_DECIMALS)).select(*PRICE_SCHEMA).sort(order)


def _write(frame: pl.DataFrame, path: Path) -> str:
    frame.write_parquet(path, compression="zstd", compression_level=19, statistics=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_csv_folder(folder: Path) -> BookFrames:
    """The CSVs as frames.  Raises PriceError when a file is missing or a value is not of its type."""
    instances, tokens = _read(folder / "instances.csv"), folder / "tokens.csv"
    unknown = set(instances["accelerator"].drop_nulls()) - set(GPU_BY_ACCELERATOR)
    if unknown:
        raise PriceError(
            f"{folder / 'instances.csv'}: unknown accelerator {', '.join(sorted(unknown))}",
            hint="add it to clusterctl/prices/pack.py",
        )
    shapes = instances.rename(
        {"accelerator_count": "num_gpus", "gpu_memory_gib_each": "hbm_gib", "source": "shape_source"}
    ).with_columns(gpu=pl.col("accelerator").replace_strict(GPU_BY_ACCELERATOR, return_dtype=pl.String))
    try:
        return BookFrames(
            prices=_typed(_read(folder / "prices.csv").rename({"purchase": "capacity_type"}), PRICE_SCHEMA),
            history=_typed(_read(folder / "prices_history.csv").rename({"purchase": "capacity_type"}), PRICE_SCHEMA),
            shapes=_typed(shapes, SHAPE_SCHEMA),
            extras=_typed(_read(folder / "extras.csv"), EXTRA_SCHEMA),
            tokens=_typed(_read(tokens), TOKEN_SCHEMA) if tokens.is_file() else pl.DataFrame(schema=dict(TOKEN_SCHEMA)),
            sources=_typed(_read(folder / "sources.csv"), SOURCE_SCHEMA),
        )
    except pl.exceptions.PolarsError as error:
        raise PriceError(f"{folder}: {error}", hint="compare the columns with docs/prices.md") from error


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
