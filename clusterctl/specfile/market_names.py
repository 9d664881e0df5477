"""Regions, instance types and clouds that a spec names: are they in the price book, or among the spec's own machines?

A rule that names nothing would change nothing, in silence: a typo in an own price plans by the list price.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import polars as pl

from clusterctl.catalog.price_book import PriceBook
from planners.search.offers import ANY_REGION
from planners.spec.fleet import CLOUDS, OwnPrices, is_cloud
from planners.spec.run_spec import RunSpec

Steps = tuple[str | int, ...]
_Names = dict[str, list[str]]
"""Cloud -> what it has."""


class _Named(NamedTuple):
    """One name of the spec."""

    path: Steps
    word: str
    what: str
    """`region`, `instance type` or `cloud`."""
    clouds: Sequence[str] = ()
    """In which it must exist; none = in any."""
    has_patterns: bool = False


def unknown_names(spec: RunSpec, open_book: Callable[[], PriceBook]) -> Iterator[tuple[Steps, str, str | None]]:
    """(path, what is wrong, hint) of each region, instance type and cloud that nothing is called by."""
    named = list(_names_of(spec))
    if not named:
        return
    book = open_book()
    known = {"region": _by_cloud(book.prices(), "region"), "instance type": _by_cloud(book.shapes(), "instance_type")}
    known["cloud"] = {cloud: [cloud] for cloud in known["instance type"]}
    own = {machine.name for machine in spec.fleet.machines if machine.name}
    for name in named:
        kinds = known if name.what.startswith("cloud, ") else {name.what: known[name.what]}
        clouds = name.clouds or list(known["cloud"])
        there = {word for kind in kinds.values() for cloud in clouds for word in kind.get(cloud, ())} | own
        there |= {"local"} if name.what == "cloud" else set()
        if not _is_among(name, there) and not (name.what == "region" and ANY_REGION in there):
            everywhere = [c for kind in kinds.values() for c, words in kind.items() if _is_among(name, words)]
            where = f" in {_listed(name.clouds)}" if name.clouds else ""
            hint = f"{_listed(everywhere)} has it, and is not among the clouds" if everywhere else None
            if name.what == "cloud":
                hint = f"known: {', '.join(known['cloud'])}, local, slurm:NAME, kubernetes:CONTEXT"
            yield name.path, f"no {name.what} {name.word!r}{where}{_near(name.word, there)}", hint


def _names_of(spec: RunSpec) -> Iterator[_Named]:
    fleet = spec.fleet
    clouds = [target for target in fleet.targets if is_cloud(target)]
    beside = [target for target in fleet.sandbox.targets or fleet.targets if is_cloud(target)]
    lists = (
        (("fleet", "regions"), fleet.regions, "region", list(dict.fromkeys([*clouds, *beside])) if clouds else []),
        (("fleet", "instance_types"), fleet.instance_types, "instance type", clouds),
        (("fleet", "sandbox", "instance_types"), fleet.sandbox.instance_types, "instance type", beside),
    )
    for where, targets in ((("fleet",), fleet.targets), (("fleet", "sandbox"), fleet.sandbox.targets or ())):
        others = [(n, word) for n, word in enumerate(targets) if _is_other(word)]
        yield from (_Named((*where, "targets", n), word, "cloud") for n, word in others)
    excluded = "cloud, region or instance type"
    yield from (
        _Named(("fleet", "exclude", n), word, excluded, has_patterns=True) for n, word in enumerate(fleet.exclude)
    )
    for path, words, what, among in lists:
        if among:
            yield from (_Named((*path, n), word, what, among, has_patterns=True) for n, word in enumerate(words))
    for key in fleet.quota:
        if ":" in key:
            yield _Named(("fleet", "quota", key), key.split(":", 1)[0], "cloud")
    yield from _own_prices(spec.prices)


def _own_prices(own: OwnPrices) -> Iterator[_Named]:
    for name in ("rates", "discounts", "reservations"):
        for number, rule in enumerate(getattr(own, name)):
            if rule.cloud and _is_other(rule.cloud):
                yield _Named(("prices", name, number, "cloud"), rule.cloud, "cloud")
            clouds = [rule.cloud] if rule.cloud else []
            for field in ("region", "instance_type"):
                word = getattr(rule, field)
                if word is not None:
                    yield _Named(("prices", name, number, field), word, field.replace("_", " "), clouds)


_CLOUD_WORDS = {
    "amazon": "aws",
    "ec2": "aws",
    "google": "gcp",
    "gce": "gcp",
    "microsoft": "azure",
    "lambdalabs": "lambda",
}
"""What people call a cloud."""


def _is_other(target: str) -> bool:
    """Whether it is a cloud besides the three that every book has."""
    return is_cloud(target) and target not in CLOUDS


def _by_cloud(frame: pl.DataFrame, column: str) -> _Names:
    distinct = frame.select("cloud", column).unique().sort("cloud", column)
    return dict(distinct.group_by("cloud", maintain_order=True).agg(column).iter_rows())


def _is_among(name: _Named, words: Collection[str]) -> bool:
    if not name.has_patterns:
        return name.word in words
    return any(fnmatchcase(word.lower(), name.word.lower()) for word in words)


def _near(word: str, words: Collection[str]) -> str:
    """The nearest of `words`, or each that is as near."""
    by_key = {known.lower(): known for known in sorted(words)}
    key = _CLOUD_WORDS.get(word.lower(), word.lower()[:100])
    close = [key] if key in by_key else difflib.get_close_matches(key, list(by_key), n=3, cutoff=0.5)
    ratios = [difflib.SequenceMatcher(None, other, key).ratio() for other in close]
    best = [by_key[other] for other, ratio in zip(close, ratios, strict=True) if ratio == max(ratios)]
    return f"; did you mean {_listed(best)}?" if best else ""


def _listed(words: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(words))
