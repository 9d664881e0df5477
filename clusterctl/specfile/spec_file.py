"""Read a run spec: YAML, overrides, referenced files, validation, known names.  Every mistake is a SpecError."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clusterctl.catalog import find_gpu, find_gpus, find_model
from clusterctl.catalog.price_book import PriceBook, load_book
from clusterctl.errors import SpecError
from clusterctl.specfile.market_names import unknown_names
from clusterctl.specfile.measured import MAX_BYTES as MAX_MEASURED_BYTES
from clusterctl.specfile.measured import measured_values
from clusterctl.specfile.override import Override, override
from clusterctl.specfile.spec_errors import all_problems, dotted, spec_error
from clusterctl.specfile.spec_folder import SpecFiles, SpecFolder
from clusterctl.specfile.yaml_file import MAX_BYTES, Document, read_yaml
from planners.spec.fields import value_at
from planners.spec.hf_config import inline_from_config
from planners.spec.models import InlineModel
from planners.spec.run_spec import RunSpec
from planners.spec.shapes import tensor_parallel_error

Steps = tuple[str | int, ...]


def read_spec(path: str | Path, overrides: Sequence[str] = ()) -> RunSpec:
    """The run spec in a YAML file (`-` reads standard input), with `key=value` overrides applied in order.

    Measured lengths ({file: ...}) are replaced by their mean, p95 and max, a model's config.json by its shape;
    afterwards every model and GPU is known by name or has a shape.  Raises SpecError.
    """
    document = read_yaml(path)
    return check_spec(document, overrides)


def check_spec(
    document: Document,
    overrides: Sequence[str] = (),
    *,
    open_book: Callable[[], PriceBook] = load_book,
    files: SpecFiles | None = None,
) -> RunSpec:
    """The run spec in a parsed document.

    open_book: gives the price book against which names are checked, where the spec has any.
    files: where the files are that it names; None = in the folder of the document.  Raises SpecError.
    """
    if not isinstance(document.data, dict):
        raise SpecError(
            f"{document.where()}: a run spec is a mapping, with name and stages", hint="see `clusterctl init`"
        )
    reader = _Reader(document, files or SpecFolder(document.folder))
    data = copy.deepcopy(document.data)
    for text in overrides:
        data, applied = override(data, text)
        reader.applied.append(applied)
    reader.resolve_files(data)
    try:
        spec = RunSpec.model_validate(data)
    except ValidationError as error:
        raise spec_error(error, data, reader.where) from error
    reader.check_names(spec, open_book)
    return _whole_families(spec)


class _Reader:
    """One spec being read: its document and the overrides applied to it."""

    def __init__(self, document: Document, files: SpecFiles) -> None:
        self._document = document
        self._files = files
        self.applied: list[Override] = []

    def where(self, path: Steps, is_key: bool = False) -> str:
        """`file:line:column`, or the override that set this value."""
        for change in reversed(self.applied):
            shared = min(len(path), len(change.path))
            if path[:shared] == change.path[:shared]:
                return f"--what-if {change.text}"
        return self._document.where(path, key=is_key)

    def resolve_files(self, data: dict[str, Any]) -> None:
        """Replace, in place, measured files and config.json paths inside the stages."""
        for parent, key, path in files_named(data):
            inner = parent[key]
            if isinstance(inner, dict):
                parent[key] = self._measured(inner, path)
            elif config := self._config_name(inner):
                parent[key] = self._config(config, path)

    @contextmanager
    def _at(self, path: Steps) -> Iterator[None]:
        """Puts the place and the field before what is wrong with a value."""
        try:
            yield
        except SpecError as error:
            raise SpecError(f"{self.where(path)}: {dotted(path)}: {error.message}", hint=error.hint) from error

    def _measured(self, reference: dict[str, Any], path: Steps) -> dict[str, Any]:
        column, name = reference.get("column"), reference["file"]
        with self._at(path):
            text = self._files.text(name, max_bytes=MAX_MEASURED_BYTES)
            return measured_values(text, name=self._files.shown(name), column=None if column is None else str(column))

    def _config_name(self, name: str) -> str | None:
        """The config.json that `model` means, if it means one."""
        config = config_name(name)
        is_path = name.endswith(".json") or name.startswith(("./", "../", "/", "~"))
        return config if is_path or self._files.is_file(config) else None

    def _config(self, name: str, path: Steps) -> dict[str, Any]:
        with self._at(path):
            config = Path(self._files.shown(name))
            text = self._files.text(name, max_bytes=MAX_BYTES)
            try:
                content = json.loads(text)
                if not isinstance(content, dict):
                    raise SpecError(f"{config}: is not a JSON object")
                inline = inline_from_config(content, name=config.parent.name or config.stem)
            except (ValidationError, ValueError, RecursionError) as error:
                reason = (
                    error.errors()[0]["msg"].removeprefix("Value error, ")
                    if isinstance(error, ValidationError)
                    else str(error)
                )
                raise SpecError(f"{config}: {reason}") from error
            return inline.model_dump(exclude_none=True)

    def check_names(self, spec: RunSpec, open_book: Callable[[], PriceBook]) -> None:
        """Every model, GPU, region and instance type named in the spec is known.  Raises SpecError with all that are
        not, at their positions."""
        problems: list[tuple[str, str | None]] = []
        for path, name, find in _facts_named(spec):
            try:
                find(name)
            except SpecError as error:
                problems.append((f"{self.where(path)}: {dotted(path)}: {error.message}", error.hint))
        for path, sentence, hint in unknown_names(spec, open_book):
            problems.append((f"{self.where(path)}: {dotted(path)}: {sentence}", hint))
        if problems:
            raise all_problems(problems)


def files_named(data: Any) -> Iterator[tuple[Any, Any, Steps]]:
    """Each place in a spec as written that names a file, or may: `{file: …}`, and `model:` with text.

    Yields what holds it, its key there, and its path.
    """
    for parent, key, path in _walk(data.get("stages"), ("stages",)):
        inner = parent[key]
        is_measured = (
            isinstance(inner, dict) and isinstance(inner.get("file"), str) and set(inner) <= {"file", "column"}
        )
        if is_measured or (key == "model" and isinstance(inner, str)):
            yield parent, key, path


def config_name(model: str) -> str:
    """The config.json of a model that is named by a path: the file itself, or that of its folder."""
    return model if model.endswith(".json") else f"{model.rstrip('/')}/config.json"


def _facts_named(spec: RunSpec) -> Iterator[tuple[Steps, Any, Callable[[Any], object]]]:
    """Path, name and look-up of each model and GPU in the spec."""
    stages = spec.model_dump(include={"stages"}, exclude_none=True)["stages"]
    for parent, key, path in _walk(stages, ("stages",)):
        if key == "model":
            model = parent[key]
            yield path, model if isinstance(model, str) else InlineModel.model_validate(model), find_model
            for options in ("rollout", "train") if len(path) == 3 else ("rollout",):
                degree = value_at(stages, (path[1], options, "tp"))
                yield (*path[:2], options, "tp"), (model, degree), _check_degree
    fleet = spec.fleet
    yield from ((("fleet", "gpus", i), gpu, find_gpus) for i, gpu in enumerate(fleet.gpus))
    yield from ((("fleet", "machines", i, "gpu"), m.gpu, find_gpu) for i, m in enumerate(fleet.machines) if m.gpu)
    yield from ((("fleet", "quota", key), key.rsplit(":", 1)[-1], find_gpus) for key in fleet.quota)
    discounts = spec.prices.discounts
    yield from ((("prices", "discounts", i, "gpu"), d.gpu, find_gpus) for i, d in enumerate(discounts) if d.gpu)


def _check_degree(stated: tuple[Any, int | None]) -> None:
    """A stated tensor-parallel degree divides the heads of the model; an unknown model is reported by itself."""
    model, degree = stated
    try:
        shape = find_model(model if isinstance(model, str) else InlineModel.model_validate(model))
    except SpecError:
        return
    if refusal := tensor_parallel_error(shape, degree):
        raise SpecError(refusal)


def _whole_families(spec: RunSpec) -> RunSpec:
    """`A100` under gpus, quota and discounts becomes each A100 that there is; other names stay as they are written."""

    def each(name: str) -> list[str]:
        cloud, colon, gpu = name.rpartition(":")
        found = find_gpus(gpu)
        return [name] if len(found) == 1 else [f"{cloud}{colon}{one.name}" for one in found]

    fleet, prices = spec.fleet, spec.prices
    gpus = tuple(name for gpu in fleet.gpus for name in each(gpu))
    quota = {name: limit for key, limit in fleet.quota.items() for name in each(key)}
    discounts = tuple(
        rule.model_copy(update={"gpu": name}) if name else rule
        for rule in prices.discounts
        for name in (each(rule.gpu) if rule.gpu else [None])
    )
    return spec.model_copy(
        update={
            "fleet": fleet.model_copy(update={"gpus": gpus, "quota": quota}),
            "prices": prices.model_copy(update={"discounts": discounts}),
        }
    )


def _walk(value: Any, path: Steps) -> Iterator[tuple[Any, Any, Steps]]:
    """Every place inside plain data, outer ones first: what holds it, its key there, and its path."""
    items = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list | tuple) else ()
    for key in list(items):
        yield value, key, (*path, key)
        yield from _walk(value[key], (*path, key))
