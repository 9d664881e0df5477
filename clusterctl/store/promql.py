"""Which PromQL query gives which column (`promql.toml`), and how a query is filled in for some nodes or one run."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

QUERIES: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
"""By table and column; in `present`, `idle` and `still`, by table."""
NODE_LABELS = ("exported_hostname", "hostname", "Hostname")
"""Where a node's name is: dcgm-exporter renamed its own in 2026; Prometheus prefixes what a target's labels hide."""


def filled(query: str, *, step_seconds: int, nodes: Collection[str] | None = None, run: str | None = None) -> str:
    """The query for these nodes and this run: one alternative per label that may hold their names."""
    query = query.replace("@", f"{step_seconds}s").replace("%", f"{step_seconds - 1}s")
    texts = [query.replace("$", matchers).replace(",}", "}") for matchers in _matchers(nodes, run)]
    return texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts)


def metrics(query: str) -> list[str]:
    """The names of the series that it reads."""
    return list(dict.fromkeys(re.findall(r"([A-Za-z_]\w+)\{", query)))


def any_of(names: Collection[str]) -> str:
    """How many series have the first of these names that is there.  One name each: a GPU's series differ by name alone,
    which functions over time leave out, and Prometheus then refuses two alike."""
    return " or ".join(f"count(count_over_time({name}[@]))" for name in names)


def _matchers(nodes: Collection[str] | None, run: str | None) -> Iterator[str]:
    of_node, of_run = [""], [""]
    if nodes is not None:
        names = "|".join(re.escape(node) for node in nodes)
        of_node = [f"{label}=~{quoted(names)}" for label in NODE_LABELS]
        unnamed = "".join(f'{label}="",' for label in NODE_LABELS)
        of_node.append(f"{unnamed}instance=~{quoted(f'({names})(:.*)?')}")
    if run is not None:
        _, _, pod = run.rpartition("/")
        labels = ("exported_pod", "pod") if "/" in run else ("exported_run", "run")
        of_run = [f"{label}={quoted(pod)}" for label in labels]
    for pair in itertools.product(of_node, of_run):
        yield ",".join(text for text in pair if text)


def quoted(text: str) -> str:
    """As a string of PromQL, which takes Go's escapes."""
    return json.dumps(text, ensure_ascii=False)
