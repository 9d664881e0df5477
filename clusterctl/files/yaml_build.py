"""Build positioned values from YAML events, refusing what would surprise a person or exhaust the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from clusterctl.errors import SpecError
from clusterctl.files.document import Node, Position
from clusterctl.files.spec_words import shown

MAX_DEPTH = 64
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: ten times faster."""
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


class NodeBuilder:
    """Builds nodes from the parser's events; holds the anchors of one document.  Raises SpecError, yaml.YAMLError."""

    def __init__(self, text: str, *, name: str, max_values: int) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._name = name
        self._max_values = max_values
        self._anchors: dict[str, Node | None] = {}

    def document(self) -> Node:
        """The root of the only document in the text."""
        next(self._events)
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            raise SpecError(f"{self._name}: is empty", hint="`clusterctl init KIND` writes a commented spec")
        root = self._node(next(self._events), depth=1)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._error(following, "a second document starts here: one file holds one")
        return root

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            raise self._error(event, f"tag {tag} is not supported")
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0] and event.tag is None
            node = Node(value=_scalar(event.value) if is_plain else event.value, at=_at(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        if node.num_values > self._max_values:
            raise self._error(event, f"holds more than {self._max_values:,} values")
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise self._error(event, f"alias *{event.anchor} has no anchor before it")
        node = self._anchors[event.anchor]
        if node is None:
            raise self._error(event, f"alias *{event.anchor} refers to the value that it stands in")
        return node

    def _sequence(self, start: Any, depth: int) -> Node:
        node = Node(value=[], at=_at(start))
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            child = self._node(event, depth + 1)
            node.children[len(node.value)] = child
            node.value.append(child.value)
            self._count(node, child, event)
        return node

    def _mapping(self, start: Any, depth: int) -> Node:
        node = Node(value={}, at=_at(start))
        merged: list[Node] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, node)
            child = self._node(next(self._events), depth + 1)
            self._count(node, child, event)
            if key == "<<" and event.implicit[0]:
                merged += self._merge_sources(event, child)
                continue
            node.keys[key] = _at(event)
            node.children[key] = child
            node.value[key] = child.value
        for source in merged:
            for name, at in source.keys.items():
                if name not in node.keys:
                    node.keys[name] = at
                    node.children[name] = source.children[name]
                    node.value[name] = source.value[name]
        return node

    def _key(self, event: Any, node: Node) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event, "a key must be plain text")
        key = str(event.value)
        if key in node.keys:
            raise self._error(event, f"{shown(key)} is given twice; first on line {node.keys[key].line}")
        return key

    def _merge_sources(self, event: Any, child: Node) -> list[Node]:
        sources = list(child.children.values()) if isinstance(child.value, list) else [child]
        if not all(isinstance(source.value, dict) for source in sources):
            raise self._error(event, "<< merges mappings only")
        return sources

    def _count(self, node: Node, child: Node, event: Any) -> None:
        node.num_values += child.num_values
        if node.num_values > self._max_values:
            raise self._error(event, f"holds more than {self._max_values:,} values once aliases are expanded")

    def _error(self, event: Any, problem: str) -> SpecError:
        at = _at(event)
        return SpecError(f"{self._name}:{at.line}:{at.column}: {problem}")


def _at(event: Any) -> Position:
    return Position(line=event.start_mark.line + 1, column=event.start_mark.column + 1)


def _scalar(text: str) -> Any:
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
