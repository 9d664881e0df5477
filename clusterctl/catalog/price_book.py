"""The price book: embedded facts, or a refreshed book of this user, as polars frames.

Reads; never fetches, never writes.  A damaged book is an error, never a silent fall back to another one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl

from clusterctl.catalog.book_folder import Volume, embedded_dir, newest_refreshed, open_volume
from clusterctl.catalog.price_files import EXTRA_KEY, EXTRA_SCHEMA, PRICE_KEY, PRICE_SCHEMA, TOKEN_KEY, BookFrames
from clusterctl.paths import facts_dir
from planners.domain import OFFER_COLUMNS

MachineKind = Literal["gpu", "cpu"]
MIN_VCPUS, KEPT_PER_GROUP = 4, 2
OFFER_ORDER = ("cloud", "region", "instance_type", "capacity_type", "zone")

UNKNOWN_REGION = "unknown"
"""Region of an instance type that no source prices on demand anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """Prices, shapes, extras, history and sources.

    `volumes` holds the books to merge, newest first: usually one; two when a refreshed book was merged with an
    older embedded book than the one that is installed now.  Then the newest `as_of` wins, price by price.
    """

    volumes: tuple[Volume, ...]

    @property
    def priced_at(self) -> tuple[date, date]:
        """Oldest and newest day on which a current price was read."""
        manifests = [volume.manifest for volume in self.volumes]
        return min(m.priced_from for m in manifests), max(m.priced_to for m in manifests)

    @property
    def book_id(self) -> str:
        """Identifies the content: the same id means the same prices."""
        return "+".join(volume.manifest.book_id for volume in self.volumes)

    def offers(
        self,
        clouds: Collection[str] | None = None,
        *,
        regions: Collection[str] | None = None,
        gpus: Collection[str] | None = None,
        instance_types: Collection[str] | None = None,
        capacity_types: Collection[str] | None = None,
        kind: MachineKind | None = None,
        with_infrastructure: bool = False,
    ) -> pl.DataFrame:
        """Offers in `OFFER_COLUMNS`, sorted; a filter that is None lets everything through.

        An instance type without an on-demand price in any region has one on-demand row in region `unknown` with
        `usd_per_hour` null.  That row passes the region filter: nobody knows that it is elsewhere.
        with_infrastructure: also the machines that no fleet is planned with.
        """
        wanted = {
            "cloud": clouds,
            "region": regions,
            "gpu": gpus,
            "instance_type": instance_types,
            "capacity_type": capacity_types,
        }
        kind = "gpu" if gpus is not None else kind
        shapes = _keep(self.all_shapes() if with_infrastructure else self.shapes(), wanted)
        if kind is not None:
            shapes = shapes.filter(pl.col("gpu").is_not_null() == (kind == "gpu"))
        priced = self._prices(*(f"{name}.parquet" for name in ("gpu", "cpu") if kind in (None, name)))
        if with_infrastructure:
            priced = pl.concat([priced, self.infrastructure_prices()])
        rows = [_keep(priced, wanted)]
        if capacity_types is None or "on_demand" in capacity_types:
            rows.append(_without_on_demand(priced, shapes))
        offers = pl.concat(rows).join(shapes, on=["cloud", "instance_type"], how="inner")
        return offers.select(OFFER_COLUMNS).sort(*OFFER_ORDER)

    def sandbox_offers(
        self, clouds: Collection[str] | None = None, *, capacity_types: Collection[str] | None = None
    ) -> pl.DataFrame:
        """The useful CPU machines, in `OFFER_COLUMNS`.

        Per cloud, region, capacity type, architecture and GiB per vCPU the KEPT_PER_GROUP cheapest per vCPU
        (ties: the bigger machine).  Machines under MIN_VCPUS are left out: the smallest share their cores.
        """
        wanted = {"cloud": clouds, "capacity_type": capacity_types}
        shapes = _keep(self.shapes(), wanted).filter(pl.col("gpu").is_null(), pl.col("vcpus") >= MIN_VCPUS)
        priced = _keep(self._prices("cpu.parquet"), wanted).filter(pl.col("usd_per_hour").is_not_null())
        group = ["cloud", "region", "capacity_type", "arch", "gib_per_vcpu"]
        return (
            priced.join(
                shapes.with_columns(gib_per_vcpu=(pl.col("memory_gib") / pl.col("vcpus")).round(0)),
                on=["cloud", "instance_type"],
            )
            .with_columns(usd_per_vcpu_hour=(pl.col("usd_per_hour") / pl.col("vcpus")).round(5))
            .sort(["usd_per_vcpu_hour", "vcpus"], descending=[False, True], maintain_order=True)
            .group_by(group, maintain_order=True)
            .head(KEPT_PER_GROUP)
            .select(OFFER_COLUMNS)
            .sort(*OFFER_ORDER)
        )

    def shapes(self) -> pl.DataFrame:
        """Instance types in SHAPE_SCHEMA."""
        return self._newest("shapes", "cloud", "instance_type")

    def infrastructure_shapes(self) -> pl.DataFrame:
        """Instance types that infrastructure programs use and no fleet is planned with, in SHAPE_SCHEMA; vCPUs and
        memory may be null."""
        found = self._newest("infrastructure_shapes", "cloud", "instance_type")
        return found.join(self.shapes(), on=["cloud", "instance_type"], how="anti")

    def all_shapes(self) -> pl.DataFrame:
        """Instance types of both kinds."""
        return pl.concat([self.shapes(), self.infrastructure_shapes()])

    def extras(self) -> pl.DataFrame:
        """Disks, storage, egress, NAT and control planes in EXTRA_SCHEMA; a free item is absent, not 0."""
        return self._newest("extras", *EXTRA_KEY)

    def extras_with_nodes(self, instance_types: Collection[str]) -> pl.DataFrame:
        """The extras, and on-demand prices of these CPU machines: item = instance type, unit = hour."""
        on_demand = pl.col("capacity_type") == "on_demand"
        nodes = self._prices("cpu.parquet").filter(pl.col("instance_type").is_in(list(instance_types)), on_demand)
        rows = nodes.select(
            *("cloud", "region", "as_of", "source"),
            item=pl.col("instance_type"),
            usd=pl.col("usd_per_hour"),
            unit=pl.lit("hour"),
            verified=pl.lit("stored"),
            note=pl.lit(None, pl.String),
        )
        return pl.concat([self.extras(), rows.select(*EXTRA_SCHEMA)])

    def sources(self) -> pl.DataFrame:
        """Source ids with full source, dates and licence (SOURCE_SCHEMA)."""
        return self._newest("sources", "source_id")

    def token_prices(self) -> pl.DataFrame:
        """Dollars per million tokens of models behind APIs (TOKEN_SCHEMA); null = not known."""
        return self._newest("tokens", *TOKEN_KEY)

    def _newest(self, name: str, *key: str) -> pl.DataFrame:
        """The rows of all volumes, of several with one key the first."""
        frames = [volume.read(f"{name}.parquet") for volume in self.volumes]
        return frames[0] if len(frames) == 1 else pl.concat(frames).unique(key, keep="first", maintain_order=True)

    def history(self) -> pl.DataFrame:
        """Earlier prices in PRICE_SCHEMA, oldest first; the current prices are not repeated here."""
        frames = [volume.read("history.parquet") for volume in self.volumes]
        return pl.concat(frames).unique(maintain_order=True).sort("as_of", *PRICE_KEY)

    def prices(self) -> pl.DataFrame:
        """Every current price of machines that fleets are planned with, in PRICE_SCHEMA, without shapes."""
        return self._prices("gpu.parquet", "cpu.parquet")

    def infrastructure_prices(self) -> pl.DataFrame:
        """Current prices of `infrastructure_shapes` in PRICE_SCHEMA."""
        found = self._prices("infrastructure.parquet")
        return found.join(self.infrastructure_shapes(), on=["cloud", "instance_type"], how="semi")

    def all_prices(self) -> pl.DataFrame:
        """Current prices of all machines in PRICE_SCHEMA."""
        return pl.concat([self.prices(), self.infrastructure_prices()])

    def frames(self) -> BookFrames:
        """The whole book in memory: what a writer needs."""
        return BookFrames(
            prices=self.prices(),
            history=self.history(),
            shapes=self.shapes(),
            extras=self.extras(),
            tokens=self.token_prices(),
            sources=self.sources(),
            infrastructure=self.infrastructure_prices(),
            infrastructure_shapes=self.infrastructure_shapes(),
        )

    def _prices(self, *names: str) -> pl.DataFrame:
        frames = [volume.read(name) for volume in self.volumes for name in names]
        if len(self.volumes) == 1:
            return pl.concat(frames)
        newest = pl.concat(frames).sort("as_of", descending=True, nulls_last=True, maintain_order=True)
        return newest.unique(PRICE_KEY, keep="first", maintain_order=True)


def load_book(path: Path | None = None) -> PriceBook:
    """The book at `path`, or the one in use: the newest refreshed book of this user, else the embedded one.

    Raises StateError when the book is damaged or of another version.
    """
    if path is not None:
        return PriceBook(volumes=(open_volume(path),))
    embedded = open_volume(embedded_dir())
    newest = newest_refreshed()
    if newest is None:
        return PriceBook(volumes=(embedded,))
    refreshed = open_volume(newest)
    if refreshed.manifest.base == embedded.manifest.book_id:
        return PriceBook(volumes=(refreshed,))
    return PriceBook(volumes=(refreshed, embedded))


def load_availability() -> pl.DataFrame:
    """How instance types are sold, each row with its source and day: `can_be_bought` is yes, no or quote."""
    return pl.read_csv(facts_dir() / "availability.csv", infer_schema=False)


def _keep(frame: pl.DataFrame, wanted: Mapping[str, Collection[str] | None]) -> pl.DataFrame:
    """The rows that pass every filter on a column of this frame."""
    asked = {column: values for column, values in wanted.items() if values is not None and column in frame.columns}
    return frame.filter(*(pl.col(column).is_in(list(values)) for column, values in asked.items()))


def _without_on_demand(priced: pl.DataFrame, shapes: pl.DataFrame) -> pl.DataFrame:
    """One priceless on-demand row (PRICE_SCHEMA) per shape that no region sells on demand at a known price."""
    on_demand = priced.filter(pl.col("capacity_type") == "on_demand")
    unpriced = shapes.join(on_demand, on=["cloud", "instance_type"], how="anti").with_columns(
        region=pl.lit(UNKNOWN_REGION),
        zone=pl.lit(None, pl.String),
        capacity_type=pl.lit("on_demand"),
        usd_per_hour=pl.lit(None, pl.Float64),
        as_of=pl.lit(None, pl.Date),
        source=pl.col("shape_source"),
        quality=pl.lit("unknown"),
    )
    return unpriced.select(*PRICE_SCHEMA)
