"""What a price book holds: its files, their columns, its manifest; and the writer of a book.

A book is a folder.  `book.json` is the manifest; every other file is a zstd parquet with these columns.  The bytes
depend only on the rows and on the polars version: no clock, no host, sorted rows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 3
MANIFEST_NAME = "book.json"
USD_DECIMALS = 6
"""Decimals that a packed price keeps: every list price seen has at most six."""

PRICE_KEY = ("cloud", "region", "zone", "instance_type", "capacity_type")
"""What makes a price row unique."""

Columns = dict[str, type[pl.DataType]]


def _columns(dtype: type[pl.DataType], *names: str) -> Columns:
    return dict.fromkeys(names, dtype)


PRICE_SCHEMA: Columns = (
    _columns(pl.String, "cloud", "region", "zone", "instance_type", "capacity_type")
    | {"usd_per_hour": pl.Float64, "as_of": pl.Date}
    | _columns(pl.String, "source", "quality")
)
"""One price: dollars per hour of the whole instance.  zone: spot only; as_of null = unknown day."""

SHAPE_SCHEMA: Columns = (
    _columns(pl.String, "cloud", "instance_type")
    | _columns(pl.Float64, "vcpus", "memory_gib")
    | _columns(pl.String, "accelerator", "gpu")
    | _columns(pl.Float64, "num_gpus", "hbm_gib", "network_gbps")
    | {"interconnect": pl.String, "local_nvme_gib": pl.Float64, "arch": pl.String, "shape_source": pl.String}
)
"""One instance type.  accelerator = the source's word, gpu = ours; both null without a GPU; hbm_gib per GPU."""

EXTRA_KEY = ("cloud", "region", "item", "unit")
EXTRA_SCHEMA: Columns = (
    _columns(pl.String, *EXTRA_KEY)
    | {"usd": pl.Float64, "as_of": pl.Date}
    | _columns(pl.String, "source", "verified", "note")
)
"""Disks, object storage, egress, NAT, control planes.  region `*` = everywhere; verified `memory` = no source read."""

TOKEN_KEY = ("provider", "model", "from_input_tokens")
_KINDS = ("input", "cached_input", "cache_write", "output", "batch_input", "batch_output")
TOKEN_SCHEMA: Columns = (
    _columns(pl.String, "provider", "model", "name")
    | _columns(pl.Float64, "from_input_tokens", *(f"{kind}_usd_per_million_tokens" for kind in _KINDS))
    | {"as_of": pl.Date, "source": pl.String, "quality": pl.String}
)
"""A model behind an API; one row per size of request from which other prices hold (the first: 0).  Null = the source
names no such price (it may exist)."""

SOURCE_SCHEMA: Columns = (
    _columns(pl.String, "source_id", "full_source")
    | _columns(pl.Date, "as_of_min", "as_of_max")
    | _columns(pl.String, "upstream_license")
)
FILE_SCHEMAS = {f"{name}.parquet": PRICE_SCHEMA for name in ("gpu", "cpu", "infrastructure", "history")} | {
    "shapes.parquet": SHAPE_SCHEMA,
    "infrastructure_shapes.parquet": SHAPE_SCHEMA,
    "extras.parquet": EXTRA_SCHEMA,
    "tokens.parquet": TOKEN_SCHEMA,
    "sources.parquet": SOURCE_SCHEMA,
}
"""File of a book → its columns.  `infrastructure`: machines that infrastructure programs use and no fleet is planned
with (T3, E2, B series …); the search for fleets never reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFrames:
    """The whole content of a book in memory, in the schemas above (history and infrastructure have PRICE_SCHEMA)."""

    prices: pl.DataFrame
    history: pl.DataFrame
    shapes: pl.DataFrame
    extras: pl.DataFrame
    tokens: pl.DataFrame
    sources: pl.DataFrame
    infrastructure: pl.DataFrame
    infrastructure_shapes: pl.DataFrame


class Manifest(BaseModel):
    """`book.json`.  `base` is the `book_id` of the embedded book that a refreshed book was merged with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["clusterctl-price-book"] = "clusterctl-price-book"
    version: int
    book_id: str
    base: str | None
    priced_from: date
    priced_to: date
    num_prices: int
    sha256: dict[str, str]


def write_book(frames: BookFrames, out_folder: Path, *, base: str | None = None) -> Manifest:
    """Write every file of the book, the manifest last; returns the manifest."""
    out_folder.mkdir(parents=True, exist_ok=True)
    with_gpu = frames.shapes.filter(pl.col("gpu").is_not_null()).select("cloud", "instance_type")
    keys = ["cloud", "instance_type"]
    files = {
        "gpu.parquet": _packed_prices(frames.prices.join(with_gpu, on=keys, how="semi")),
        "cpu.parquet": _packed_prices(frames.prices.join(with_gpu, on=keys, how="anti")),
        "infrastructure.parquet": _packed_prices(frames.infrastructure),
        "history.parquet": _packed_prices(frames.history),
        "shapes.parquet": frames.shapes.sort(keys),
        "infrastructure_shapes.parquet": frames.infrastructure_shapes.sort(keys),
        "extras.parquet": frames.extras.sort("cloud", "item", "region", "unit"),
        "tokens.parquet": frames.tokens.sort(TOKEN_KEY),
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
