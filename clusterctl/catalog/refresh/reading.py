"""What one cloud's price interface said, before it becomes part of a book."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from clusterctl.catalog.price_files import EXTRA_SCHEMA, PRICE_KEY, PRICE_SCHEMA, SOURCE_SCHEMA
from clusterctl.catalog.refresh.transport import MAX_PAGE_BYTES, Transport
from clusterctl.errors import PriceError
from clusterctl.foreign_files import read_limited
from clusterctl.json_text import json_text

HOURS_PER_YEAR = 8760
T = TypeVar("T")
Row = tuple[str, str, str, float]
"""region, instance type, capacity type, dollars per hour."""
ExtraRow = tuple[str, str, str, float]
"""region, item, unit, dollars per unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Prices of one cloud in PRICE_SCHEMA, and what a reader of the report should know about them."""

    cloud: str
    prices: pl.DataFrame
    extras: pl.DataFrame
    """In EXTRA_SCHEMA; an old one that was not read stays."""
    source: pl.DataFrame
    """Rows for the book's list of sources."""
    authority: tuple[str, ...]
    """Columns whose combinations, once read, are complete: an old price in one of them that was not read is gone."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to read of one cloud, and by what."""

    transport: Transport
    cache: Cache
    shapes: pl.DataFrame
    """This cloud's, in SHAPE_SCHEMA: only their prices are wanted."""
    regions: Collection[str] | None
    """None = all."""
    today: date
    advance: Callable[[int, int], None]
    """Called with what is done, and of how much."""

    @property
    def known(self) -> set[str]:
        """Names of the instance types."""
        return set(self.shapes["instance_type"])

    @property
    def by_type(self) -> tuple[str, ...]:
        """The authority of a cloud that is asked type by type."""
        return ("instance_type", "capacity_type", *(["region"] if self.regions is not None else []))

    def page(self, url: str, params: Mapping[str, str] | None, parse: Callable[[object], object]) -> Any:
        """What `parse` makes of the page at `url`, read once a day; the caller knows its shape.  Raises PriceError."""
        return self.cache.once(f"{url} {json_text(params)}", lambda: parse(self.transport.page(url, params)))

    def wants(self, region: str) -> bool:
        """Whether prices of this region are asked for."""
        return self.regions is None or region in self.regions

    def reading(
        self,
        rows: Iterable[Row],
        source: str,
        full_source: str,
        *,
        authority: tuple[str, ...],
        quality: str = "list",
        notes: Iterable[str] = (),
        extras: Iterable[ExtraRow] = (),
    ) -> Reading:
        """Rows of today as a reading.  Of several prices for one thing the highest, so that a plan never pays more than
        said; `source` becomes `source@today`."""
        cloud, source = self.transport.cloud, f"{source}@{self.today}"
        priced = [
            (cloud, region, None, kind, capacity_type, usd_per_hour, self.today, source, quality)
            for region, kind, capacity_type, usd_per_hour in rows
            if usd_per_hour > 0
        ]
        prices = pl.DataFrame(priced, schema=PRICE_SCHEMA, orient="row").sort("usd_per_hour", descending=True)
        more, said = [(cloud, *row, self.today, source, "read", None) for row in extras], list(notes)
        if more:
            said.append(f"{len(more)} prices beside machines read: disks, NAT, object storage, control planes, egress")
        about = (source, f"{full_source}, read {self.today}", *[self.today] * 2, "the provider's public price list")
        return Reading(
            cloud=cloud,
            prices=prices.unique(PRICE_KEY, keep="first", maintain_order=True),
            extras=pl.DataFrame(more, schema=EXTRA_SCHEMA, orient="row"),
            source=pl.DataFrame([about], schema=SOURCE_SCHEMA, orient="row"),
            authority=authority,
            notes=tuple(said),
        )


class Cache:
    """Answers of this day's unfinished refresh, one JSON file each, so that another run continues."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def once(self, key: str, read: Callable[[], object]) -> Any:  # JSON of ours: the caller knows its shape
        """What was read under `key` today, else what `read` says now; an unreadable file counts as absent.

        The file appears whole or not at all.
        """
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
        try:
            return json.loads(read_limited(path, MAX_PAGE_BYTES))
        except (OSError, ValueError, RecursionError):
            content = json_text(read())
        begun = path.with_suffix(".part")
        begun.write_text(content, encoding="utf-8")
        begun.replace(path)
        return json.loads(content)


def stays(message: str) -> PriceError:
    """An answer that can't be used."""
    return PriceError(message, hint="the old book stays")


def linked(read: Callable[[str], tuple[T, str]], first: str, *, most: int, cloud: str) -> Iterator[T]:
    """Every page from `first` on; `read` gives a page and the link to the next, or "".  Raises PriceError."""
    link, seen = first, set[str]()
    for _ in range(most):
        page, link = read(link)
        yield page
        if not link:
            return
        if link in seen:
            raise stays(f"{cloud}: the pages lead in a circle")
        seen.add(link)
    raise stays(f"{cloud}: more than {most} pages for one query")


def usd(value: object, where: str) -> float:
    """A price from an answer: a number ≥ 0.  0 is what clouds write for "not sold"; the caller leaves it out.

    Raises PriceError for anything else, naming `where` it was.
    """
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise PriceError(f"{where}: {value!r} is not a price", hint="nothing was changed; the old book stays")
    return number


def field(item: object, path: Sequence[str | int], kind: type | tuple[type, ...], where: str) -> Any:
    """The value at `path` in a JSON value, which must be of `kind`.  Raises PriceError naming the field."""
    value = item
    for step in path:
        try:
            value = value[step]  # type: ignore[index]  # any JSON value: what can't be indexed is caught below
        except (KeyError, IndexError, TypeError) as error:
            raise _unexpected(path, where, "is missing") from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _unexpected(path, where, f"is {value!r}"[:60])
    return value


def _unexpected(path: Sequence[str | int], where: str, problem: str) -> PriceError:
    name = ".".join(str(step) for step in path)
    return PriceError(
        f"{where}: {name} {problem}",
        hint="the price interface may have changed; nothing was changed here, the old book stays",
    )
