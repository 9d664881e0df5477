"""Are alternatives ranked as their publishers measured them?  `python tools/fit/rankings.py` prints the table.

`cases/rankings.yaml` names cases of one family that differ in one decision.  A pair agrees when the prediction puts the
same one first; published values within 5 % of each other are no pair, predicted ones are a tie, which does not agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from clusterctl.catalog.lookup import load_calibration
from clusterctl.catalog.published_names import published_gpu, published_model
from planners.validation.case import Case, read_case
from planners.validation.predict import predict_cases
from planners.validation.prepare import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planners.physics.calibration import Calibration

FOLDER = Path(__file__).with_name("cases")
TIE = 1.05
LARGER_IS_BETTER = ("per_second", "per_hour", "mfu")
"""Parts of the names of metrics of which more is better; of others less is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One comparison.  Values by the name of the alternative, in the metric that was published."""

    by: str
    differs: str
    larger_is_better: bool
    published: dict[str, float]
    predicted: dict[str, float]
    why: str

    @property
    def pairs(self) -> tuple[int, int]:
        """(pairs that agree, pairs whose published values differ)."""
        compared = [_order(self.published, pair) for pair in combinations(self.published, 2)]
        predicted = [_order(self.predicted, pair) for pair in combinations(self.published, 2)]
        differ = [(told, said) for told, said in zip(compared, predicted, strict=True) if told]
        return sum(told == said for told, said in differ), len(differ)

    def in_order(self, values: Mapping[str, float]) -> str:
        """Alternatives with their values, the best first."""
        names = sorted(values, key=lambda name: values[name], reverse=self.larger_is_better)
        return " · ".join(
            f"{name} {values[name]:.3g}" if values[name] < 1000 else f"{name} {values[name]:,.0f}" for name in names
        )


def _order(values: Mapping[str, float], pair: tuple[str, str]) -> int:
    """-1, 0 (a tie) or 1."""
    ratio = values[pair[0]] / values[pair[1]]
    return 0 if max(ratio, 1 / ratio) <= TIE else int(np.sign(ratio - 1))


def load_rankings(calibration: Calibration) -> list[Ranking]:
    """Every declared comparison, predicted by the constants of `calibration`."""
    cases = {raw["id"]: raw for name in ("cases.yaml", "serving.yaml") for raw in _documents(name)}
    return [_ranking(group, cases, calibration) for group in _documents("rankings.yaml")]


def _documents(name: str) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    documents: list[dict[str, Any]] = yaml.load((FOLDER / name).read_text("utf-8"), Loader=loader)
    return documents


def _ranking(group: dict[str, Any], cases: dict[str, dict[str, Any]], calibration: Calibration) -> Ranking:
    facts = group.get("facts", {})
    prepared = [_prepared(cases[case], facts.get(name, {})) for name, case in group["cases"].items()]
    values, _ = predict_cases(calibration.constants, prepared)
    metrics = {p.case.published.metric or "" for p in prepared}
    if len(metrics) != 1:
        raise ValueError(f"{group['by']}: cases of one comparison have one metric, not {', '.join(sorted(metrics))}")
    gpus = [(p.case.cluster.gpus or 1.0) if group.get("per_gpu") else 1.0 for p in prepared]
    published = [p.case.published.value or 0.0 for p in prepared]
    names = list(group["cases"])
    return Ranking(
        by=group["by"],
        differs=group["differs"],
        larger_is_better=any(part in metric for metric in metrics for part in LARGER_IS_BETTER),
        published=dict(zip(names, (value / each for value, each in zip(published, gpus, strict=True)), strict=True)),
        predicted=dict(
            zip(names, (float(value) / each for value, each in zip(values, gpus, strict=True)), strict=True)
        ),
        why=group.get("why", ""),
    )


def _prepared(raw: dict[str, Any], facts: dict[str, dict[str, Any]]) -> Prepared:
    """A case with the facts that its source tells in prose."""
    case = read_case(raw | {section: (raw[section] or {}) | told for section, told in facts.items()}, 0)
    prepared = prepare(case, published_model, published_gpu) if isinstance(case, Case) else case
    if not isinstance(prepared, Prepared):
        raise ValueError(f"{raw['id']}: {prepared.reason}")
    return prepared


def rankings_table(calibration: Calibration) -> str:
    """The comparisons as a Markdown table, with the sum of pairs that agree."""
    rankings = load_rankings(calibration)
    lines = [
        "| publisher and work | differs | published, best first | predicted | pairs that agree |",
        "| --- " * 5 + "|",
    ]
    for ranking in rankings:
        agree, differ = ranking.pairs
        missing = f"; {ranking.why}" if ranking.why and agree < differ else ""
        told, said = ranking.in_order(ranking.published), ranking.in_order(ranking.predicted)
        lines.append(f"| {ranking.by} | {ranking.differs} | {told} | {said} | {agree} of {differ}{missing} |")
    agree, differ = np.sum([ranking.pairs for ranking in rankings], axis=0)
    return "\n".join([*lines, "", f"Together {agree} of {differ} pairs agree."])


if __name__ == "__main__":
    print(rankings_table(load_calibration()))
