"""docs/plan-json.md is what the plan's own classes say: fields, types, and the strings below the fields."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from planners.plan import value
from planners.plan.identity import ID_DIGITS, UNHASHED

_UNHASHED = " and ".join(f"`{name}`" for name in UNHASHED)
_HEAD = f"""# The plan file

`clusterctl plan SPEC --json` prints it and `--out plan.json` writes it: one JSON object, UTF-8. This page is written by
`pytest --update-golden tests/clusterctl/ui/test_json_docs.py` from the classes themselves, which compares the two.

**Version.** `schema_name` is `{value.SCHEMA}`. A reader refuses any other. Within a version fields are only
added, and an older clusterctl refuses a file with a field that it doesn't know; a field that goes or changes makes a
new version.

**Identity.** `id` is the first {ID_DIGITS} hex digits of the SHA-256 of the content without
{_UNHASHED}, as JSON with sorted keys and no spaces. A file whose content has another id
was edited and is refused: change the spec and plan again.

**Numbers.** Dollars are US dollars; names carry the unit. `null` means unknown and is never zero: a bill line without a
price is left out of every sum, and `at_least` is then true. There are no infinities and no NaN.

**Other documents.** `--compare FILE --json` and `--what-if KEY=VALUE --json` print the difference of two plans:
`schema_name` `clusterctl.difference/1`, `base` and `other` (`label`, `name`, `id`), `rows` (`group`, `name`, `unit`,
`base`, `other`, `absent`; `null` is unknown unless `absent` says that this side has no such phase or line) and `spec`
(`field`, `base`, `other`: what the two specs say differently).
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for model in _models(value.Plan):
        notes = _field_notes(model)
        rows = [
            f"| `{name}` | {_type_name(field.annotation)} | {notes.get(name, '')} |"
            for name, field in model.model_fields.items()
        ]
        parts.append(f"## {model.__name__}\n\n{_text(model.__doc__ or '')}\n")
        parts.append("| field | type | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The plan's class and those it is made of, each once, in order of first use."""
    seen: list[type[BaseModel]] = []
    queue = [root]
    while queue:
        model = queue.pop(0)
        if model not in seen:
            seen.append(model)
            queue += [inner for field in model.model_fields.values() for inner in _classes(field.annotation)]
    yield from seen


def _classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in typing.get_args(annotation) for inner in _classes(part)]


def _field_notes(model: type[BaseModel]) -> dict[str, str]:
    """The strings below the fields in the source: pydantic doesn't keep them."""
    body = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(body, ast.ClassDef)
    notes: dict[str, str] = {}
    for field, note in zip(body.body, body.body[1:], strict=False):
        is_note = isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_note:
            notes[field.target.id] = _text(ast.literal_eval(note.value)).replace("|", "\\|")  # type: ignore[attr-defined]  # is_note says so
    return notes


def _text(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).split())


_NAMES = {
    str: "text",
    float: "number",
    int: "whole number",
    bool: "true or false",
    type(None): "null",
    date: "date",
    datetime: "date and time",
    Any: "anything",
}


def _type_name(annotation: Any) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is types.UnionType or origin is typing.Union:
        return " or ".join(_type_name(part) for part in parts)
    if origin is tuple:
        return f"list of {_type_name(parts[0])}"
    if origin is dict:
        return f"object: name → {_type_name(parts[1])}"
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    raise TypeError(f"no words for {annotation!r}")


def test_the_page_is_up_to_date(repo: Path, pytestconfig: pytest.Config) -> None:
    file = repo / "docs" / "plan-json.md"
    if pytestconfig.getoption("--update-golden"):
        file.write_text(page(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == page(), "pytest --update-golden tests/clusterctl/ui/test_json_docs.py"


def test_every_field_is_listed() -> None:
    text = page()
    assert all(f"| `{name}` |" in text for name in value.Plan.model_fields)
