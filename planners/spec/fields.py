"""Which fields a run spec has at a path: for messages, for overrides and for the manual."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from planners.spec.run_spec import RunSpec
from planners.spec.spec_model import SpecModel

Path = tuple[str | int, ...]


def value_at(data: Any, path: Sequence[str | int]) -> Any:
    """What stands at `path` in plain data; None where it leads nowhere."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list | tuple) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return None
    return data


def fields_at(data: Any, path: Sequence[str | int]) -> dict[str, FieldInfo]:
    """Fields of the mapping at `path` in `data`; empty where the mapping has free keys or `path` leads nowhere."""
    models: list[type[SpecModel]] = [RunSpec]
    for depth, step in enumerate(path, 1):
        if isinstance(step, str):
            annotations = [field.annotation for model in models if (field := model.model_fields.get(step))]
            models = [found for annotation in annotations for found in _models_in(annotation)]
        models = _of_kind(models, value_at(data, path[:depth]))
    return {name: field for model in models for name, field in model.model_fields.items()}


def all_paths(data: Any) -> Iterator[Path]:
    """Every field that this spec may state, also those it leaves out; list items only where the spec has them."""
    yield from _paths_below(RunSpec, data, ())


def _paths_below(model: type[SpecModel], data: Any, path: Path) -> Iterator[Path]:
    for name, field in model.model_fields.items():
        here = (*path, name)
        yield here
        value = data.get(name) if isinstance(data, dict) else None
        inner = _models_in(field.annotation)
        if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield (*here, index)
                for found in _of_kind(inner, item)[:1]:
                    yield from _paths_below(found, item, (*here, index))
        elif inner and not _is_list(field.annotation):
            yield from _paths_below(inner[0], value, here)


def _of_kind(models: list[type[SpecModel]], data: Any) -> list[type[SpecModel]]:
    """Of several stage classes the one that `data` says it is."""
    kinds = {model: get_args(model.model_fields["kind"].annotation) for model in models if "kind" in model.model_fields}
    kind = data.get("kind") if isinstance(data, dict) else None
    return [model for model in models if kind is None or model not in kinds or kind in kinds[model]]


def _models_in(annotation: Any) -> list[type[SpecModel]]:
    """Spec models that a value of this annotation may be: through optional, union, tuple and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return [annotation]
    if get_origin(annotation) is Annotated:
        return _models_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return get_origin(annotation) is tuple
