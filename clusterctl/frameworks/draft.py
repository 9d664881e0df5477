"""A run spec being drawn up from foreign settings: what was taken, assumed, ignored and refused, each with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from clusterctl.catalog import find_model
from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import UNKNOWN, Setting, Settings
from planners.spec.shapes import tensor_parallel_error

What = Literal["taken", "assumed", "ignored", "refused"]
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:[.p]\d+)?)\s?([bm])(?:il)?(?![A-Za-z0-9])", re.IGNORECASE)
_ACTIVE = re.compile(r"[-_]A(\d+(?:\.\d+)?)B", re.IGNORECASE)
DEFAULT_PARAMS = 7e9
"""Of a model whose size no name tells.  Assumption."""
DEFAULT_STEPS = 100
RECOMPUTE = {True: "full", False: "none"}
FP8 = {"fp8": "fp8"}
"""Values of settings and what a spec calls them: see `Draft.choose`."""
DEFAULT_SAMPLES = 100_000


class Note(NamedTuple):
    """What became of a setting, or why a field of the spec holds what it holds."""

    what: What
    where: str
    """`file:line`, or empty."""
    setting: str
    field: str
    """Field of the spec, or empty."""
    why: str


@dataclass(slots=True)
class Draft:
    """The stage, the fleet, and the notes."""

    kind: str
    framework: str
    settings: Settings
    stage: dict[str, Any] = field(default_factory=dict)
    fleet: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Note] = field(default_factory=dict)
    """Note of each field."""
    notes: list[Note] = field(default_factory=list)
    """Of settings that became no field."""

    def put(self, name: str, value: Any, found: Setting | None = None, why: str = "") -> None:
        """Set a field of the stage (or `fleet.x`).  found: the setting that says it; without one it is assumed.

        Nothing is done where the value is unknown.
        """
        if value is None:
            return
        inner, parts = (self.fleet, name.split(".")[1:]) if name.startswith("fleet.") else (self.stage, name.split("."))
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
        inner[parts[-1]] = value
        if found is None or not found.where:
            default = f"{self.framework}'s default {found.key}" if found is not None else ""
            why = "; ".join(text for text in (default, why) if text)
            self.origin[name] = Note("assumed", "", found.key if found else "", name, why or "assumption")
            return
        maybe = f"only if {found.only_if}" if found.only_if else ""
        self.origin[name] = Note("taken", found.where, found.key, name, "; ".join(t for t in (why, maybe) if t))

    def take(self, name: str, *keys: str, least: float = 1, why: str = "") -> int | None:
        """A whole number of at least `least` from the first of these settings into a field."""
        found = self.settings.number(*keys, least=least)
        value = None if found is None or found.value != int(found.value) else int(found.value)
        self.put(name, value, found, why)
        return value

    def switch(self, name: str, *keys: str) -> bool | None:
        """A stated switch into a field."""
        found = self.settings.get(*keys, default=False)
        if found is None or not isinstance(found.value, bool):
            return None
        self.put(name, found.value, found)
        return found.value

    def choose(self, name: str, words: Mapping[Any, str], *keys: str, why: str = "") -> bool:
        """What `words` has for the stated value of the first of these settings into a field; whether it has that."""
        found = self.settings.get(*keys, default=False)
        chosen = words.get(found.value) if found is not None and isinstance(found.value, str | int) else None
        self.put(name, chosen, found, why)
        return chosen is not None

    def ignore(self, why: str, *keys: str) -> None:
        """Say why settings that are stated become no field."""
        for key in keys:
            found = self.settings.get(key, default=False)
            if found is not None:
                self.notes.append(Note("ignored", found.where, found.key, "", why))

    def refuse(self, name: str, why: str) -> None:
        """Leave a field out that contradicts the spec's rules."""
        inner: Any = self.fleet if name.startswith("fleet.") else self.stage
        parts = name.split(".")[1:] if name.startswith("fleet.") else name.split(".")
        for part in parts[:-1]:
            outer, inner = inner, inner.get(part, {})
            if set(inner) == {parts[-1]}:
                del outer[part]
        inner.pop(parts[-1], None)
        old = self.origin.pop(name, Note("assumed", "", "", name, ""))
        self.notes.append(Note("refused", old.where, old.setting, name, f"left out: {why}"))

    def model(self, name: str, found: Setting | None) -> None:
        """A model by its name, or by the parameters that its name says."""
        if found is None or not isinstance(found.value, str):
            unnamed = {"name": "unnamed", "params_total": DEFAULT_PARAMS}
            self.put(name, unnamed, None, "the file names no model, a size of 7e9 is assumed: put yours here")
            return
        value, why = model_of(found.value)
        if why.startswith("unknown"):
            self.put(name, value, None, f"{found.where} {found.key}: {why}: put yours here")
        else:
            self.put(name, value, found, why)

    def check_degree(self, name: str, model: str) -> None:
        """Refuse a stated tensor-parallel degree that the model's heads don't allow."""
        options, _, key = name.partition(".")
        degree, stated = self.stage.get(options, {}).get(key), self.stage.get(model)
        if degree is None or not isinstance(stated, str):
            return
        if refusal := tensor_parallel_error(find_model(stated), degree):
            self.refuse(name, refusal)

    def finish(self) -> None:
        """Note what only a run knows, and what no field was made of."""
        for found in self.settings.unknowns():
            self.notes.append(Note("ignored", found.where, found.key, "", f"known only to a run: {found.unknown}"))
        for found in self.settings.rest():
            if found.key.startswith("launcher."):
                continue
            self.notes.append(Note("ignored", found.where, found.key, "", ""))


def model_of(text: str) -> tuple[Any, str]:
    """(a spec's `model`, what was done to the name) for a name or a path; `unknown …` where nothing fits."""
    name = text.strip().rstrip("/")
    last = name.rsplit("/", 1)[-1]
    for candidate in dict.fromkeys((name, last, *_nearby(last))):
        try:
            shape = find_model(candidate)
        except SpecError:
            continue
        if candidate == name and not name.startswith(("/", "~", "$", ".")):
            return name, ""
        return (
            (candidate, "by the last part of its path")
            if candidate == last
            else (shape.name, f"by the family of {last}")
        )
    size = _SIZE.search(last)
    if size is None or "\0" in text:
        shown = UNKNOWN.sub(r"\1", last)[:200] or "unnamed"
        return {"name": shown, "params_total": DEFAULT_PARAMS}, "unknown model, a size of 7e9 is assumed"
    total = float(size.group(2).replace("p", ".")) * (1e9 if size.group(3).lower() == "b" else 1e6)
    total *= int(size.group(1) or 1)
    shape_of: dict[str, Any] = {"name": last[:200], "params_total": max(total, 1e3)}
    why = "not in the catalogue: parameters by its name; a path of its config.json is better"
    if active := _ACTIVE.search(last):
        shape_of["params_active"] = min(float(active.group(1)) * 1e9, total)
    return shape_of, why


def _nearby(last: str) -> list[str]:
    """Names that fine-tuned models of a known shape are made of."""
    found = []
    for pattern, name in _FAMILIES:
        if match := re.search(pattern, last, re.IGNORECASE):
            found.append(match.expand(name))
    return found


_FAMILIES = (
    (r"llama-?3(?:[.-]1)?(?![.-][23])(?:-[a-z0-9-]*?)?-(8|70|405)b", r"Llama-3.1-\1B"),
    (r"llama-?3[.-]3-?70b", "Llama-3.3-70B"),
    (r"llama-?3[.-]2-?(1|3)b", r"Llama-3.2-\1B"),
    (r"llama-?2-?(7|13|70)b", r"Llama-2-\1b"),
    (r"qwen-?2(?:[.p_]5)?(?:-(?:math|coder|vl))?-?(0[.p_]5|1[.p_]5|3|7|14|32|72)b", r"Qwen2.5-\1B"),
    (r"qwen-?3-?(0[.p_]6|1[.p_]7|4|8|14|32)b", r"Qwen3-\1B"),
    (r"qwen3-?(?:coder-)?30b-?a3b", "Qwen3-30B-A3B"),
    (r"qwen3-?235b", "Qwen3-235B-A22B"),
    (r"mixtral-8x7b", "Mixtral-8x7B"),
    (r"mistral-7b", "Mistral-7B"),
    (r"deepseek-?llm-?7b|deepseek-?7b", "deepseek-llm-7b"),
    (r"deepseek-math-7b", "deepseek-llm-7b"),
    (r"deepseek-?v3|dsv3", "DeepSeek-V3"),
    (r"moonlight-16b", "DeepSeek-V2-Lite"),
)
"""How names of fine-tuned models tell the shape that they share: published configurations of these families."""


def rl_steps(draft: Draft, total: Setting | None, epochs: Setting | None, prompts: int | None, per_step: int) -> None:
    """`steps`: as stated, or by epochs over as many prompts as the file says; the size of a data set is in no file.

    epochs: a number, of the file or by the framework's default.
    """
    if total is not None:
        draft.put("steps", int(total.value), total)
        return
    passes = epochs.value if epochs is not None else 1
    said = f"{epochs.where} {epochs.key}: " if epochs is not None and epochs.where else ""
    if prompts:
        steps = max(round(passes * prompts / per_step), 1)
        why = f"{said}{passes:g} × {prompts:,} prompts ÷ {per_step:,}, if the data has as many"
    else:
        steps, why = DEFAULT_STEPS, f"{said}{passes:g} × the prompts of your data ÷ {per_step:,}: write that number"
    draft.put("steps", steps, None, why)
