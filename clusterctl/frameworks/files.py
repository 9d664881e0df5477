"""Settings of YAML and TOML files with the line of each, and of the files that they build on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import Setting
from clusterctl.specfile.yaml_file import Document, parse_yaml, read_text
from clusterctl.specfile.yaml_values import PLAIN, scalar

MOST_PARENTS = 16
_TABLE = re.compile(r"\s*\[\[?\s*([\w.\"'-]+)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")


def yaml_settings(document: Document) -> dict[str, Setting]:
    """Every value of a YAML document by its dotted name; a list is one value, and its items are values too."""
    return {one.key: one for one in _flat(document.root, "", document.name)}


def _flat(node: yaml.Node, key: str, name: str) -> Iterator[Setting]:
    where = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        for child, inner in node.value:
            yield from _flat(inner, f"{key}.{child.value}" if key else child.value, name)
    elif isinstance(node, yaml.SequenceNode):
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            yield Setting(key, [_value(item) for item in node.value], where)
        else:
            for index, item in enumerate(node.value):
                yield from _flat(item, f"{key}.{index}", name)
    else:
        yield Setting(key, _value(node), where)


def _value(node: yaml.Node) -> Any:
    return scalar(node.value) if node.tag == PLAIN else node.value


def toml_settings(text: str, name: str) -> dict[str, Setting]:
    """Every value of a TOML file by its dotted name.  Raises SpecError."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SpecError(f"{name}: is not TOML: {error}") from error
    lines: dict[str, int] = {}
    table = ""
    for number, row in enumerate(text.splitlines(), 1):
        if opened := _TABLE.match(row):
            table = re.sub(r"[\"']", "", opened.group(1))
        elif key := _KEY.match(row):
            lines[f"{table}.{key.group(1)}".lstrip(".")] = number
    return {key: Setting(key, value, f"{name}:{lines.get(key, 1)}") for key, value in _leaves(data, "")}


def _leaves(data: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, dict):
            yield from _leaves(value, key)
        else:
            yield key, value


def with_parents(document: Document, missing: list[Setting]) -> dict[str, Setting]:
    """The settings of a YAML file over those of the files in its `defaults:`, as Hydra and NeMo RL read it.

    A parent is looked for beside the file; one that isn't there is added to `missing`.
    """
    return _chain(document, missing, depth=0)


def _chain(document: Document, missing: list[Setting], depth: int) -> dict[str, Setting]:
    own = yaml_settings(document)
    found: dict[str, Setting] = {}
    for setting, relative, package in _parents(own, document.data):
        parent = _near(document, relative, own)
        if parent is None or depth >= MOST_PARENTS:
            missing.append(setting)
            continue
        above = _chain(parse_yaml(read_text(parent), name=str(parent), folder=parent.parent), missing, depth + 1)
        found |= {f"{package}{key}": Setting(f"{package}{key}", one.value, one.where) for key, one in above.items()}
    kept = {key: one for key, one in own.items() if key.partition(".")[0] not in ("defaults", "hydra")}
    replaced = [key for key in found if any(key.startswith(f"{new}.") for new in _nulls(kept))]
    return {key: one for key, one in found.items() if key not in replaced} | kept


def _nulls(own: dict[str, Setting]) -> list[str]:
    """Names that a file sets to nothing, and with them all that its parent has below them."""
    return [key for key, one in own.items() if one.value is None]


def _parents(own: dict[str, Setting], data: Any) -> list[tuple[Setting, str, str]]:
    """(the setting, the parent's file without folder or suffix, prefix of its settings) of each parent."""
    stated = data.get("defaults") if isinstance(data, dict) else None
    found: list[tuple[Setting, str, str]] = []
    for index, item in enumerate(stated if isinstance(stated, list) else [stated]):
        keys = ["defaults", f"defaults.{index}"]
        if isinstance(item, dict) and len(item) == 1:
            (group, name), *_ = item.items()
            folder, _, package = str(group).partition("@")
            keys.insert(0, f"defaults.{index}.{group}")
            package = package or folder
            item = f"{folder}/{name}"  # noqa: PLW2901
        else:
            package = ""
        if not isinstance(item, str) or item == "_self_" or item.endswith("/None"):
            continue
        setting = next((own[key] for key in keys if key in own), Setting("defaults", item))
        prefix = "" if package in ("", "_global_") else f"{package}."
        found.append((Setting(setting.key, item, setting.where), item, prefix))
    return found


def _near(document: Document, relative: str, own: dict[str, Setting]) -> Path | None:
    """The parent's file: beside this one, or in a folder that `hydra.searchpath` names, from here upwards."""
    named = own.get("hydra.searchpath")
    stated = named.value if named and isinstance(named.value, list) else []
    places = [Path(), *(Path(str(place).removeprefix("file://").removeprefix("pkg://")) for place in stated)]
    folders = [document.folder, *document.folder.resolve().parents[:8]]
    for place in places:
        for folder in folders if place != Path() else folders[:1]:
            for suffix in ("", ".yaml", ".yml"):
                path = folder / place / f"{relative}{suffix}"
                if path.is_file():
                    return path
    return None


def find_config(named: str, folder: Path) -> Path | None:
    """A file that a command line names: relative to the script, or to a folder above it; None where it isn't there.

    A first part that only a run knows (`$(pwd)/…`, `$PWD/…`) stands for one of these folders.
    """
    named = re.sub("^(\0[^\1]*\1|[$]\\w+)/", "", named)
    if "\0" in named or "$" in named or len(named) > 500:
        return None
    return next((path for above in (folder, *folder.resolve().parents[:8]) if (path := above / named).is_file()), None)
