"""A finding of pydantic about a file other than a run spec as one sentence: where, which field, what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_errors import dotted, nearest, shown
from clusterctl.specfile.yaml_file import Document

_SENTENCES: dict[str, str] = {
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_pattern_mismatch": "has what is not allowed there",
}


def model_error(
    error: ValidationError, document: Document, model: type[BaseModel], *, hidden: Collection[str] = ()
) -> SpecError:
    """The first of pydantic's findings, with the fields that there are, or what the field means, as hint.

    hidden: names of fields whose values are never shown: people write secrets where their name is asked for.
    """
    found = error.errors(include_url=False)[0]
    steps = tuple(step for step in found["loc"] if step != "[key]")
    steps = _as_in_the_file(steps, document.data)
    place, name = document.where(steps, key=found["type"] == "extra_forbidden"), dotted(steps)
    parent = model_at(model, steps[:-1], document.data)
    if found["type"] == "extra_forbidden":
        known = sorted(parent.model_fields) if parent else []
        hint = f"fields: {', '.join(known)}" if known else None
        return SpecError(f"{place}: there is no field {name}{nearest(steps[-1], known)}", hint=hint)
    if found["type"] in ("literal_error", "union_tag_invalid"):
        context = found.get("ctx", {})
        given = context.get("tag", found["input"])
        name = f"{name}.{str(context['discriminator']).strip(chr(39))}" if "tag" in context else name
        return SpecError(f"{place}: {name} is {shown(given)}", hint=f"allowed: {_allowed(context)}")
    if found["type"] in ("missing", "union_tag_not_found"):
        missing = "kind" if found["type"] == "union_tag_not_found" else str(steps[-1])
        owner = dotted(steps if missing == "kind" else steps[:-1]) if steps[:-1] else "the file"
        return SpecError(f"{place}: {owner} needs {missing}", hint=_meaning(parent, steps))
    words = _SENTENCES.get(found["type"]) or found["msg"].removeprefix("Input ").removeprefix("Value ")
    said = f"{words[:1].lower()}{words[1:]}".replace("should ", "must ")
    said += "" if hidden and str(steps[-1]) in hidden else f", not {shown(found['input'])}"
    pattern = found.get("ctx", {}).get("pattern")
    return SpecError(f"{place}: {name} {said}", hint=_meaning(parent, steps) or (pattern and f"pattern: {pattern}"))


def _allowed(context: Mapping[str, Any]) -> str:
    text = str(context.get("expected") or context.get("expected_tags", ""))
    return text.replace("'", "").replace(" or ", ", ")


def _meaning(parent: type[BaseModel] | None, steps: Sequence[str | int]) -> str | None:
    field = parent.model_fields.get(str(steps[-1])) if parent is not None and steps else None
    return field.description if field else None


def _as_in_the_file(steps: Sequence[str | int], data: Any) -> tuple[str | int, ...]:
    """Without the branches of unions, which no file contains, but for a last step that is missing."""
    path: list[str | int] = []
    for index, step in enumerate(steps):
        known = (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int))
        if known:
            data = data[step]
        elif index < len(steps) - 1:
            continue
        path.append(step)
    return tuple(path)


def model_at(model: type[BaseModel], path: Sequence[str | int], data: Any) -> type[BaseModel] | None:
    """The model of the value at a path; None where there is none, or where nobody knows which."""
    annotation: Any = model
    for step in path:
        current = _model(annotation, data)
        data = data.get(step) if isinstance(data, dict) else None
        fields = current.model_fields if current is not None else {}
        annotation = fields[str(step)].annotation if str(step) in fields else annotation
    return _model(annotation, data)


def _model(annotation: Any, data: Any) -> type[BaseModel] | None:
    """The model in an annotation; of several, the one of the `kind` that the data states."""
    models = _models(annotation)
    if len(models) == 1:
        return models[0]
    kind = data.get("kind") if isinstance(data, dict) else None
    return next((m for m in models if kind is not None and kind in get_args(m.model_fields["kind"].annotation)), None)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
