"""From a foreign configuration to a run spec that validates, with a note for each setting and each field."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clusterctl.errors import SpecError
from clusterctl.frameworks import common, nemo_rl, openrlhf, skyrl, torchtitan, trl, verl
from clusterctl.frameworks.config_source import read_source
from clusterctl.frameworks.draft import Draft, Note
from clusterctl.frameworks.launch import LaunchCommand, Name
from clusterctl.frameworks.setting_table import Setting, Settings
from clusterctl.frameworks.spec_text import spec_text
from planners.spec.run_spec import RunSpec

MOST_REFUSED = 16
Mapper = tuple[str, Mapping[str, Any], Callable[[Draft], None]]
"""Kind of stage, the framework's defaults, and what maps its settings."""

_MAPPERS: Mapping[Name, Callable[[LaunchCommand], Mapper]] = {
    "verl": verl.mapper, "openrlhf": openrlhf.mapper, "trl": trl.mapper, "skyrl": skyrl.mapper,
    "nemo-rl": nemo_rl.mapper, "torchtitan": torchtitan.mapper,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The run spec as text, and what became of everything."""

    text: str
    framework: Name
    evidence: str
    """By what the framework was seen."""
    where: str
    notes: tuple[Note, ...]
    name: str
    draft: Draft

    def within_hours(self, hours: int, why: str) -> Converted:
        """The same with a limit of hours, which no framework's file states."""
        note = Note("assumed", "", "", "limits.hours", why)
        text = f"{self.text}\nlimits:\n  hours: {hours}{' ' * 25} # assumed: {why}\n"
        return replace(self, text=text, notes=(*self.notes, note))

    def without(self, fields: Iterable[str], why: str) -> Converted:
        """The same without some fields, each said by its line; itself where it has none of them."""
        stated = [field for field in fields if field in self.draft.origin]
        draft = copy.deepcopy(self.draft) if stated else self.draft
        for field in stated:
            draft.refuse(field, why)
        return _converted(self, draft) if stated else self


def _converted(about: Converted, draft: Draft) -> Converted:
    head = f"From {about.name}: {about.framework}, by {about.evidence}."
    notes = (*draft.origin.values(), *draft.notes)
    return replace(about, text=spec_text(_slug(about.name), draft, head), notes=notes, draft=draft)


def convert(path: str | Path, framework: Name | None = None) -> Converted:
    """The run spec of a foreign configuration.  Raises SpecError where it is none, or not one that plans know."""
    source = read_source(path, framework)
    launch = source.launch
    kind, defaults, fill = _MAPPERS[launch.framework](launch)
    draft = Draft(kind, launch.framework, Settings(launch.settings, defaults))
    if kind == "rlcef":
        draft.put("framework", launch.framework, Setting(launch.evidence, launch.framework, launch.where))
    try:
        fill(draft)
    except (TypeError, OverflowError) as error:
        raise SpecError(f"{source.name}: a setting holds what {launch.framework} would refuse: {error}") from error
    for missing in source.missing:
        why = "isn't there: what it states is unknown, and the framework's defaults were taken"
        draft.notes.append(Note("ignored", missing.where, missing.key, "", f"{missing.value} {why}"))
    for other in source.others:
        draft.notes.append(
            Note("ignored", other.where, other.program or other.framework, "", "another training of this script")
        )
    draft.check_degree("rollout.tp", "model")
    draft.check_degree("train.tp", "model")
    common.cap_micro_batch(draft)
    _drop_what_contradicts(draft, source.name)
    draft.finish()
    found = Converted(
        text="",
        framework=launch.framework,
        evidence=launch.evidence,
        where=launch.where,
        notes=(),
        name=source.name,
        draft=draft,
    )
    return _converted(found, draft)


def _slug(path: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", Path(path).stem.lower()).strip("-")[:63].strip("-")
    return slug or "run"


def spec_data(draft: Draft, name: str = "run") -> dict[str, Any]:
    """The spec as plain data."""
    data: dict[str, Any] = {"name": name, "stages": [{"kind": draft.kind, **draft.stage}]}
    return data | ({"fleet": draft.fleet} if draft.fleet else {})


def _drop_what_contradicts(draft: Draft, name: str) -> None:
    """Leave out, one after the other, the fields that the spec's rules refuse."""
    for _ in range(MOST_REFUSED):
        try:
            RunSpec.model_validate(spec_data(draft))
        except ValidationError as error:
            finding = error.errors(include_url=False)[0]
            field = _refused_field(draft, finding["loc"], finding["msg"])
            if field is None:
                reason = finding["msg"].removeprefix("Value error, ")
                raise SpecError(f"{name}: makes no spec: {reason}", hint="`clusterctl init KIND` shows one") from error
            draft.refuse(field, finding["msg"].removeprefix("Value error, "))
        else:
            return


def _refused_field(draft: Draft, location: tuple[int | str, ...], message: str) -> str | None:
    """The field that a finding is about: the one at its place, or of those below it the last that its words name."""
    steps = [step for step in location if isinstance(step, str) and step != "stages" and not step.startswith("<")]
    if steps and steps[0] == draft.kind:
        steps = steps[1:]
    place = ".".join(steps)
    stated = [name for name in draft.origin if name == place or place.startswith(f"{name}.")]
    if stated:
        return max(stated, key=len)
    below = [name for name in draft.origin if name.startswith(f"{place}.") or not place]
    words = re.findall(r"\w+", message)
    named = [(words.index(last), name) for name in below if (last := name.rsplit(".", 1)[-1]) in words]
    return max(named)[1] if named else None
