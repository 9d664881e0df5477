"""Rules on what a run or a program takes from outside by a name that may mean something else tomorrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from planners.rules.rule import (
    Properties,
    ResourceRule,
    Rule,
    RuleSetting,
    RunFacts,
    RunRule,
    StackFacts,
    Violation,
    leaves,
)

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")
_OF_A_HUB = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
"""`org/name` without `@revision`; a path starts otherwise."""

_IMAGE = Rule(
    id="image-without-digest",
    group="reproducibility",
    summary="A container image is named without its digest.",
    why="A tag may point at another image tomorrow: the same spec then runs other code.",
)


def _jobs(facts: RunFacts) -> Iterator[tuple[int, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Number, name, content and `job` of each stage that says how it is started."""
    for number, stage in enumerate(facts.after.spec.get("stages", ())):
        job = stage.get("job")
        if isinstance(job, Mapping):
            yield number, str(stage.get("name", stage.get("kind"))), stage, job


def _spec_image(facts: RunFacts, _setting: RuleSetting) -> Iterator[Violation]:
    for number, name, _, job in _jobs(facts):
        image = job.get("image")
        if image and not _DIGEST.search(image):
            yield Violation(
                message=f"stage {name}: image {image} has no digest (@sha256:…)",
                key=f"{name} {image}",
                field=("stages", number, "job", "image"),
            )


def _model(facts: RunFacts, _setting: RuleSetting) -> Iterator[Violation]:
    for number, name, stage, job in _jobs(facts):
        weights = job.get("weights")
        model = weights or stage.get("model")
        if isinstance(model, str) and _OF_A_HUB.match(model) and not job.get("command"):
            yield Violation(
                message=f"stage {name} loads {model} at the revision that is newest then: keep one in a folder of the "
                "place, and name that in job.weights",
                key=f"{name} {model}",
                field=("stages", number, *(("job", "weights") if weights else ("model",))),
            )


def _dataset(facts: RunFacts, _setting: RuleSetting) -> Iterator[Violation]:
    for number, name, _, job in _jobs(facts):
        data = job.get("data")
        if (
            isinstance(data, str)
            and _OF_A_HUB.match(data)
            and not data.endswith((".jsonl", ".json", ".parquet", ".csv"))
        ):
            yield Violation(
                message=f"stage {name} reads {data} at the revision that is newest then: keep one in a file",
                key=f"{name} {data}",
                field=("stages", number, "job", "data"),
            )


def _container_image(kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    if not kind.startswith("kubernetes:") or kind.startswith(
        ("kubernetes:helm", "kubernetes:yaml", "kubernetes:kustomize")
    ):
        return
    for path, value in leaves(properties):
        is_image = re.search(r"\.(containers|initContainers)\.image$", path) is not None
        if is_image and isinstance(value, str) and not _DIGEST.search(value):
            yield f"image {value} has no digest (@sha256:…)"


CONTAINER_IMAGE = ResourceRule(rule=_IMAGE, problems=_container_image)
RUN_REPRODUCIBILITY: tuple[RunRule, ...] = (
    RunRule(rule=_IMAGE, problems=_spec_image),
    RunRule(
        rule=Rule(
            id="unpinned-model",
            group="reproducibility",
            summary="A stage with a job loads a model by its name on a hub, without a revision.",
            why="Whoever owns the name may put other weights, or other code, under it.",
        ),
        problems=_model,
    ),
    RunRule(
        rule=Rule(
            id="unpinned-dataset",
            group="reproducibility",
            summary="A stage with a job reads a data set by its name on a hub, without a revision.",
            why="Other rows tomorrow give another model.",
        ),
        problems=_dataset,
    ),
)
