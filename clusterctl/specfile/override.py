"""Change one value of a spec by `path=value`, as `plan --what-if` does: `stages.rlcef.steps=500`, `gpus=[H200]`."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from pydantic import ValidationError

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_errors import dotted, nearest
from clusterctl.specfile.yaml_file import parse_yaml
from planners.spec.fields import Path, all_paths, value_at
from planners.spec.run_spec import RunSpec


class Override(NamedTuple):
    """One applied change: where, and the text that asked for it."""

    path: Path
    text: str


def override(data: Any, text: str) -> tuple[Any, Override]:
    """A copy of `data` with the change `key=value`, and where it went.  Raises SpecError.

    The key is a whole path (stages by name or index) or its unambiguous end; among several, one that the spec already
    states wins, then the one nearest the top, then the only one for which the value is valid.  `null` unsets.
    """
    key, equals, value_text = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"{text[:80]!r} is not key=value", hint="for example --what-if steps=500")
    try:
        value = parse_yaml(value_text.strip() or "''", name="").data
    except SpecError as error:
        raise SpecError(f"--what-if {text[:80]}: {value_text[:60]!r} is not YAML") from error
    path = _path(data, key, value, f"--what-if {text[:80]}")
    return _with(data, path, value), Override(path=path, text=text)


def _path(data: Any, key: str, value: Any, asked: str) -> Path:
    steps = _steps(key)
    ends = [path for path in _paths(data) if _ends_with(data, path, steps)] if steps else []
    if not ends:
        known = sorted({str(path[-1]) for path in all_paths(data) if isinstance(path[-1], str)})
        raise SpecError(f"{asked}: no field {key.strip()[:60]!r}{nearest(steps[-1] if steps else '', known)}")
    best = _best(data, ends, steps)
    valid = [path for path in best if _is_valid(_with(data, path, value))]
    if len(best) == 1 and not valid:
        valid = [path for path in _least_deep(ends) if _is_valid(_with(data, path, value))]
    if len(valid) == 1 or len(best) == 1:
        return valid[0] if len(valid) == 1 else best[0]
    names = ", ".join(dotted(path) for path in valid or best)
    raise SpecError(f"{asked}: the key fits several fields: {names}", hint="give more of the path")


def _steps(key: str) -> list[str]:
    return [step for step in key.strip().replace("[", ".").replace("]", "").split(".") if step]


def _best(data: Any, ends: list[Path], steps: list[str]) -> list[Path]:
    """Of the paths that end in `steps`: the one that starts at the root, else stated ones, else the least deep."""
    whole = [path for path in ends if len(path) == len(steps)]
    if whole:
        return whole[:1]
    return _least_deep([path for path in ends if _is_stated(data, path)] or ends)


def _least_deep(paths: list[Path]) -> list[Path]:
    least = min(len(path) for path in paths)
    return [path for path in paths if len(path) == least]


def _paths(data: Any) -> list[Path]:
    paths = list(all_paths(data))
    free = [(*path, key) for path in paths if isinstance(found := value_at(data, path), dict) for key in found]
    return list(dict.fromkeys([*paths, *free]))


def _ends_with(data: Any, path: Path, steps: list[str]) -> bool:
    if len(path) < len(steps):
        return False
    start = len(path) - len(steps)
    return all(_is_step(data, path[: start + index + 1], step) for index, step in enumerate(steps))


def _is_step(data: Any, path: Path, step: str) -> bool:
    """A step is a key, an index, or the name of the stage at that index."""
    if str(path[-1]) == step:
        return True
    stage = value_at(data, path) if isinstance(path[-1], int) else None
    return isinstance(stage, dict) and stage.get("name", stage.get("kind")) == step


def _is_stated(data: Any, path: Path) -> bool:
    parent = value_at(data, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent


def _is_valid(data: Any) -> bool:
    try:
        RunSpec.model_validate(data)
    except ValidationError:
        return False
    return True


def _with(data: Any, path: Path, value: Any) -> Any:
    """A copy of `data` with `value` at `path`; a plain number on the way becomes {mean: number}."""
    changed = copy.deepcopy(data)
    here = changed
    for step in path[:-1]:
        inner = here.get(step) if isinstance(here, dict) else here[step]
        if not isinstance(inner, dict | list):
            is_mean = isinstance(inner, int | float) and not isinstance(inner, bool)
            inner = {"mean": inner} if is_mean else {}
            here[step] = inner
        here = inner
    if value is None and isinstance(here, dict):
        here.pop(path[-1], None)
    else:
        here[path[-1]] = value
    return changed
