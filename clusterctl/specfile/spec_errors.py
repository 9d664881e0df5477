"""Turn pydantic's findings about a run spec into sentences: where, which field, what it holds, what is allowed.

How messages name fields and values of a run spec.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from clusterctl.errors import SpecError
from planners.spec.fields import fields_at
from planners.spec.run_spec import STAGE_KINDS
from planners.spec.stages_rl import Algorithm

Path = tuple[str | int, ...]
Where = Callable[[Path, bool], str]
"""Path, and whether the key (true) or the value is meant -> `file:line:column` for a message."""

MAX_SHOWN = 5
_PATTERNS = {
    "^[a-z0-9]": "lower-case letters, digits and hyphens",
    "^([a-z]": "a cloud, local, slurm:NAME or kubernetes:CONTEXT",
    "^[a-z][a-z0-9_-]": "lower-case letters, digits, _ and -, starting with a letter",
    "^[A-Za-z0-9_.-]": "letters, digits, _, . and -",
}
_EXPECTED = {
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "string_type": "text", "bool_type": "true or false",
    "bool_parsing": "true or false", "model_type": "a mapping", "model_attributes_type": "a mapping",
    "dict_type": "a mapping", "tuple_type": "a list", "list_type": "a list", "finite_number": "a finite number",
}  # fmt: skip

KIND_WORDS = {
    "finetune": "sft", "finetuning": "sft", "instructiontuning": "sft", "lora": "sft", "qlora": "sft",
    "continuedpretraining": "pretrain", "cpt": "pretrain", "rewardmodeling": "reward-model", "critic": "reward-model",
    "rm": "reward-model", "agent": "rollout", "inference": "rollout", "eval": "evaluate", "benchmark": "evaluate",
    "datagen": "synthesize", "distill": "synthesize", "rlhf": "rlcef", "reinforcementlearning": "rlcef",
    "preference": "dpo", "orpo": "dpo", "ipo": "dpo", "kto": "dpo",
}  # fmt: skip
"""What people call a kind of stage, in letters alone -> the kind that does it."""


def spec_error(error: ValidationError, data: Any, where: Where) -> SpecError:
    """One SpecError that lists up to five findings, in the order of the fields."""
    return all_problems(list(_problems(error, data, where)))


def all_problems(problems: Sequence[tuple[str, str | None]]) -> SpecError:
    """One SpecError of sentences with their hints: the first five."""
    if len(problems) == 1:
        return SpecError(problems[0][0], hint=problems[0][1])
    lines = [f"{len(problems)} problems in the run spec"]
    said: set[str] = set()
    for message, hint in problems[:MAX_SHOWN]:
        lines.append(f"  {message}")
        if hint and hint not in said:
            lines.append(f"    {hint}")
            said.add(hint)
    if len(problems) > MAX_SHOWN:
        lines.append(f"  and {len(problems) - MAX_SHOWN} more")
    return SpecError("\n".join(lines))


class _Found(NamedTuple):
    """One of pydantic's findings, with the path that the file has."""

    kind: str
    value: Any
    context: Mapping[str, Any]
    path: Path
    data: Any

    @property
    def field(self) -> str:
        return dotted(self.path)

    @property
    def parent(self) -> str:
        return dotted(self.path[:-1])


_Sentence = tuple[str, str | None]
"""What is wrong, and a hint: the allowed values or what the field means."""


def _problems(error: ValidationError, data: Any, where: Where) -> Iterable[_Sentence]:
    findings = error.errors(include_url=False)
    paths = [tuple(step for index, step in enumerate(f["loc"]) if not _is_branch(f["loc"], index)) for f in findings]
    for finding, path in zip(findings, paths, strict=True):
        has_inner = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if finding["type"] == "too_short" and has_inner:
            continue  # pydantic also counts the items that failed as missing
        found = _Found(finding["type"], finding["input"], finding.get("ctx", {}), path, data)
        sentence, hint = _SPECIAL.get(found.kind, _expected)(found)
        yield f"{where(path, found.kind == 'extra_forbidden')}: {sentence}", hint


def _is_branch(location: Path, index: int) -> bool:
    """Whether a step of pydantic's location names a branch of a union, which no file contains."""
    step = location[index]
    is_stage_kind = index == 2 and location[0] == "stages"
    return isinstance(step, str) and (step.startswith("<") or step == "[key]" or is_stage_kind)


def _expected(found: _Found) -> _Sentence:
    if found.kind in _EXPECTED:
        expected = _short_form(found) or _EXPECTED[found.kind]
        sentence = f"{found.field} must be {expected}, not {shown(found.value)}"
        if found.kind == "tuple_type" and isinstance(found.value, str):
            return sentence, f"write [{found.value[:60]}]"
    else:
        sentence = f"{found.field} {_limit(found)}"
    return sentence, _description(found)


def _short_form(found: _Found) -> str | None:
    """What fields that take more than a mapping expect."""
    if found.kind not in ("model_type", "model_attributes_type"):
        return None
    names = set(fields_at(found.data, found.path))
    if {"mean", "p95"} <= names:
        return "a number (the mean), {mean, p95, max} or {file}"
    if names == {"min", "max"}:
        return "a whole number or {min, max}"
    return "a name or a shape" if "layers" in names else None


def _unknown_field(found: _Found) -> _Sentence:
    known = sorted(fields_at(found.data, found.path[:-1]))
    close = nearest(found.path[-1], known)
    hint = f"fields: {', '.join(known)}" if known and not close else None
    return f"{found.parent} has no field {str(found.path[-1])[:60]!r}{close}", hint


def _not_allowed(found: _Found) -> _Sentence:
    expected = str(found.context.get("expected_tags") or found.context.get("expected", ""))
    allowed = re.findall(r"'([^']*)'", expected) or [expected]
    given = found.context.get("tag", found.value)
    word = re.sub(r"[^a-z]", "", str(given).lower())
    meant = word if word in STAGE_KINDS else KIND_WORDS.get(word)
    if found.path[-1] == "algorithm" and meant:
        return f"{found.field} {shown(given)} is not allowed", f"{given} is a kind of stage: write kind: {meant}"
    if "tag" not in found.context:
        return f"{found.field} {shown(given)} is not allowed{nearest(given, allowed)}", f"allowed: {', '.join(allowed)}"
    sentence = f"{found.field}.kind {shown(given)} is not allowed"
    if str(given).lower() in get_args(Algorithm):
        return sentence, f"{given} is an algorithm: write kind: rlcef and algorithm: {str(given).lower()}"
    return sentence + (
        f"; did you mean {meant}?" if meant else nearest(given, allowed)
    ), f"allowed: {', '.join(STAGE_KINDS)}"


def _pattern(found: _Found) -> _Sentence:
    pattern = found.context["pattern"]
    rule = next((said for start, said in _PATTERNS.items() if pattern.startswith(start)), pattern)
    close = nearest(found.value, rule.split(", "))
    return f"{found.field} {shown(found.value)} is not allowed{close}", f"allowed: {rule}"


_SPECIAL: dict[str, Callable[[_Found], _Sentence]] = {
    "missing": lambda found: (f"{found.parent} needs {found.path[-1]}", _description(found)),
    "extra_forbidden": _unknown_field,
    "union_tag_invalid": _not_allowed,
    "literal_error": _not_allowed,
    "enum": _not_allowed,
    "union_tag_not_found": lambda found: (f"{found.field} needs kind", f"allowed: {', '.join(STAGE_KINDS)}"),
    "string_pattern_mismatch": _pattern,
    "value_error": lambda found: (f"{found.field}: {found.context['error']}", None),
}


def _limit(found: _Found) -> str:
    """What a value breaks: a bound or a size."""
    kind, value, context = found.kind, found.value, found.context
    bounds = {
        "greater_than": ("more than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind in bounds:
        words, key = bounds[kind]
        return f"must be {words} {context[key]:,.10g}, not {shown(value)}"
    if kind in ("string_too_short", "string_too_long", "too_short", "too_long"):
        few = kind.endswith("short")
        size = context["min_length"] if few else context["max_length"]
        unit = "character" if kind.startswith("string") else "item"
        return f"must have {'at least' if few else 'at most'} {size:,} {unit}{'' if size == 1 else 's'}"
    return f"is not valid ({kind}): {shown(value)}"


def _description(found: _Found) -> str | None:
    """The field's description, to say what is meant."""
    if not found.path:
        return None
    field = fields_at(found.data, found.path[:-1]).get(str(found.path[-1]))
    return field.description if field else None


def dotted(path: Sequence[str | int]) -> str:
    """stages[0].train.tp"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the run spec"


def nearest(word: Any, known: Iterable[str]) -> str:
    """`; did you mean x?`, or nothing."""
    close = difflib.get_close_matches(str(word)[:100], list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def shown(value: Any) -> str:
    """A value in a message: short, in YAML's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a number of more than 15 digits"
    text = repr(value) if isinstance(value, str) else f"{value}"
    return text if len(text) <= 60 else text[:57] + "..."
