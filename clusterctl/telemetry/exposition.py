"""Metric families by name, in Prometheus' text format: parsed, merged and written by prometheus_client."""

from __future__ import annotations

import csv
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

MAX_PAGE_BYTES = 2**20
"""Of a page or file that is passed on: the supervisor's has 2 KiB, a sandbox server's 10 KiB."""

Families = dict[str, Metric]
"""A counter's family has no `_total` in its name; its samples have."""
About = tuple[str, str, str]
"""Of a sample: name, type (counter, gauge, untyped), help text."""
with Path(__file__).with_name("samples.csv").open(encoding="utf-8") as _lines:
    SAMPLES: dict[str, tuple[float, About]] = {
        row["value"]: (float(row["factor"]), (row["sample"], row["type"], row["help"]))
        for row in csv.DictReader(line for line in _lines if not line.startswith("#"))
    }
"""By value: the factor from our unit to the sample's, and the sample."""


@dataclass(frozen=True, slots=True)
class MetricsPage(Collector):
    """Families as prometheus_client's writers take them."""

    families: Families

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self.families.values()


def add_sample(families: Families, about: About, labels: Mapping[str, str], value: float) -> None:
    """Add one sample, and its family where it is the first."""
    name, kind, words = about
    family = name.removesuffix("_total") if kind == "counter" else name
    if family not in families:
        families[family] = Metric(family, words, kind)
    families[family].samples.append(Sample(name, dict(labels), value))


def expose(families: Families, values: Mapping[str, float], labels: Mapping[str, str]) -> None:
    """Add those of these values that are samples (SAMPLES), with these labels."""
    for value, (factor, about) in SAMPLES.items():
        if value in values:
            add_sample(families, about, labels, values[value] * factor)


def merge(families: Families, more: Families, labels: Mapping[str, str]) -> None:
    """Add other families, with these labels on each of their samples."""
    for name, metric in more.items():
        merged = families.setdefault(name, Metric(name, metric.documentation, metric.type))
        merged.samples += [Sample(one.name, {**one.labels, **labels}, one.value) for one in metric.samples]


def samples(families: Families, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each sample of this name, such as `…_total` or `…_bucket`."""
    return [(one.labels, one.value) for metric in families.values() for one in metric.samples if one.name == name]


def write(families: Families) -> str:
    """The page that Prometheus reads."""
    return generate_latest(MetricsPage(families)).decode()


def parse(text: str) -> Families:
    """The families of a page, without timestamps.  Raises ValueError."""
    families: Families = {}
    try:
        for metric in text_string_to_metric_families(text):
            parsed = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            parsed.samples += [Sample(one.name, one.labels, float(one.value)) for one in metric.samples]
    except (ValueError, LookupError, OverflowError) as error:
        raise ValueError(f"not in Prometheus' text format: {str(error)[:80]}") from error
    return {name: metric for name, metric in families.items() if metric.samples}


def read_file(path: Path, *, max_age_seconds: float) -> Families:
    """The families of a file of metrics; none where it is older.

    Any job may have written it.  Raises OSError or ValueError for what can't be read, is no plain file (a pipe would
    block), or is larger than MAX_PAGE_BYTES.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no plain file")
        if time.time() - status.st_mtime > max_age_seconds:
            return {}
        content = stream.read(MAX_PAGE_BYTES + 1)
    if len(content) > MAX_PAGE_BYTES:
        raise ValueError(f"it is larger than {MAX_PAGE_BYTES >> 20} MiB")
    return parse(content.decode("utf-8"))
