"""The values of YAML nodes as PyYAML composes them, refusing what would surprise a person or exhaust the machine."""

from __future__ import annotations

import re
from typing import Any

import yaml

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_errors import shown

MAX_DEPTH = 64
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
PLAIN = "plain"
"""Tag of a scalar without quotes and without a tag of its own: only such text may be a number, true or null."""


class TooDeepError(Exception):
    """The text is nested deeper than MAX_DEPTH at `mark`."""

    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__(str(mark))
        self.mark = mark


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's is ten times faster
    """Composes nodes; their tag is PLAIN, "" or the one that the file states."""

    depth = 0

    def resolve(self, kind: type[yaml.Node], _value: Any, implicit: Any) -> str:
        """The tag of a node that states none; `Any` as PyYAML has it."""
        return PLAIN if kind is yaml.ScalarNode and implicit[0] else ""

    def descend_resolver(self, parent: yaml.Node | None, _index: Any) -> None:
        """Called before each node: libyaml has no limit of depth of its own and would exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH and parent is not None:
            raise TooDeepError(parent.start_mark)

    def ascend_resolver(self) -> None:
        """Called after each node."""
        self.depth -= 1


class Values:
    """The values of composed nodes.  Raises SpecError."""

    def __init__(self, name: str, max_values: int) -> None:
        self._name = name
        self._max_values = max_values
        self._built: dict[int, tuple[Any, int] | None] = {}
        """Node → its value and how many values that holds, aliases expanded; None = its content is being built."""

    def of(self, node: yaml.Node) -> Any:
        """The value of a node."""
        return self._value(node)[0]

    def _value(self, node: yaml.Node) -> tuple[Any, int]:
        if id(node) in self._built:
            known = self._built[id(node)]
            if known is None:
                raise self._error(node, "an alias refers to the value that it stands in")
            return known
        if node.tag not in (PLAIN, "", "tag:yaml.org,2002:str"):
            raise self._error(node, f"tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not supported")
        self._built[id(node)] = None
        found: tuple[Any, int]
        if isinstance(node, yaml.ScalarNode):
            found = (scalar(node.value) if node.tag == PLAIN else node.value, 1)
        elif isinstance(node, yaml.SequenceNode):
            found = self._sequence(node)
        elif isinstance(node, yaml.MappingNode):
            found = self._mapping(node)
        self._built[id(node)] = found
        return found

    def _sequence(self, node: yaml.SequenceNode) -> tuple[list[Any], int]:
        values, total = [], 1
        for child in node.value:
            value, size = self._value(child)
            values.append(value)
            total = self._counted(total + size, child)
        return values, total

    def _mapping(self, node: yaml.MappingNode) -> tuple[dict[str, Any], int]:
        """The values by key; `node.value` is left without `<<`, so that positions are found in it."""
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        total = 1
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be plain text")
            total = self._counted(total + self._value(child)[1], key)
            if key.value == "<<" and key.tag == PLAIN:
                merged += self._merge_sources(key, child)
            elif key.value in pairs:
                first = pairs[key.value][0].start_mark.line + 1
                raise self._error(key, f"{shown(key.value)} is given twice; first on line {first}")
            else:
                pairs[key.value] = (key, child)
        for source in merged:
            for key, child in source.value:
                pairs.setdefault(key.value, (key, child))
        node.value = list(pairs.values())
        return {text: self.of(child) for text, (_, child) in pairs.items()}, total

    def _merge_sources(self, key: yaml.Node, child: yaml.Node) -> list[yaml.Node]:
        sources = child.value if isinstance(child, yaml.SequenceNode) else [child]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            raise self._error(key, "<< merges mappings only")
        return list(sources)

    def _counted(self, total: int, node: yaml.Node) -> int:
        if total > self._max_values:
            raise self._error(node, f"holds more than {self._max_values:,} values once aliases are expanded")
        return total

    def _error(self, node: yaml.Node, problem: str) -> SpecError:
        return SpecError(f"{where_text(self._name, node.start_mark)}: {problem}")


def where_text(name: str, mark: yaml.Mark) -> str:
    """`file:line:column`, both counted from 1."""
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def scalar(text: str) -> Any:
    """The value of a plain scalar by YAML 1.2's core rules, so that `no` and `on` stay text and `1e9` is a number;
    underscores in numbers allowed."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text.lower() in _SPECIAL:
        return float(_SPECIAL[text.lower()])
    digits = text.replace("_", "")
    if _INT.fullmatch(text) and len(text) < 400:
        return int(digits)
    if _FLOAT.fullmatch(text) and not text.lstrip("-+").startswith("00"):
        number = float(digits)
        return int(number) if number.is_integer() and abs(number) < 2**63 else number
    return text
