"""More offers than there are: the embedded ones many times over, under other names.  `python larger.py FOLDER FACTOR`
writes a price book of that size (a process of its own, so that the memory it takes is not counted to others)."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.price_files import write_book

if TYPE_CHECKING:
    from planners.inputs import PlanInputs


def enlarged(world: PlanInputs, factor: int, *, other_machines: bool) -> PlanInputs:
    """`factor` times the offers: in further regions, or also of instance types with another amount of memory, which
    the physics has to look at anew."""
    names = ("region", "instance_type")
    return replace(
        world,
        gpu_offers=copies(world.gpu_offers, factor, *names, more_memory=other_machines),
        cpu_offers=copies(world.cpu_offers, factor, *names, more_memory=other_machines),
    )


def copies(frame: pl.DataFrame, factor: int, *names: str, more_memory: bool = False) -> pl.DataFrame:
    """The frame and `factor` - 1 copies of it with `-1`, `-2`, ... after the named columns."""
    parts = [frame]
    for number in range(1, factor):
        renamed = [pl.concat_str(name, pl.lit(f"-{number}")).alias(name) for name in names]
        parts.append(frame.with_columns(*renamed, *([pl.col("memory_gib") + number] if more_memory else [])))
    return pl.concat(parts)


def write_larger_book(folder: Path, factor: int) -> None:
    """The embedded price book `factor` times over."""
    frames = load_book(embedded_dir()).frames()
    prices = copies(frames.prices, factor, "region", "instance_type")
    write_book(replace(frames, prices=prices, shapes=copies(frames.shapes, factor, "instance_type")), folder)


if __name__ == "__main__":
    write_larger_book(Path(sys.argv[1]), int(sys.argv[2]))
