"""A parsed file whose every value knows its line and column.

Read YAML with the line and column of every value.

Refused, each with its position: duplicate keys, tags, several documents, aliases that expand too far, deep nesting.

Build positioned values from YAML events, refusing what would surprise a person or exhaust the machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_errors import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


@dataclass(slots=True, kw_only=True)
class Node:
    """One value of a document with its position; `num_values` counts it and all below, aliases expanded."""

    value: Any
    at: Position
    num_values: int = 1
    keys: dict[str, Position] = field(default_factory=dict)
    children: dict[str | int, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file: `data` is plain dicts, lists and scalars; keys are always text."""

    name: str
    folder: Path
    data: Any
    root: Node

    def position(self, path: Sequence[str | int]) -> Position:
        """Where the value at `path` stands, or its nearest ancestor that exists."""
        node = self.root
        for step in path:
            if step not in node.children:
                break
            node = node.children[step]
        return node.at

    def key_position(self, path: Sequence[str | int]) -> Position:
        """Where the key that ends `path` stands (the value's position where it is not a key)."""
        node = self.root
        for step in path[:-1]:
            if step not in node.children:
                return node.at
            node = node.children[step]
        last = path[-1] if path else ""
        return node.keys[last] if isinstance(last, str) and last in node.keys else self.position(path)

    def where(self, position: Position) -> str:
        """`file:line:column`."""
        return f"{self.name}:{position.line}:{position.column}"


MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
STDIN = "-"


def read_yaml(path: str | Path, *, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES) -> Document:
    """Read one YAML document from a file, or from standard input for `-`.  Raises SpecError."""
    name = "<stdin>" if str(path) == STDIN else str(path)
    text = read_text(path, max_bytes=max_bytes)
    folder = Path() if str(path) == STDIN else Path(path).parent
    return parse_yaml(text, name=name, folder=folder, max_values=max_values)


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> str:
    """The UTF-8 text of a file, or of standard input for `-`.  Raises SpecError."""
    name = "<stdin>" if str(path) == STDIN else str(path)
    return _decode(_read_bytes(path, name, max_bytes), name)


def parse_yaml(text: str, *, name: str, folder: Path | None = None, max_values: int = MAX_VALUES) -> Document:
    """Parse one YAML document.  `name` is what messages call it.  Raises SpecError."""
    try:
        root = NodeBuilder(text, name=name, max_values=max_values).document()
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, name) from error
    return Document(name=name, folder=folder or Path(), data=root.value, root=root)


def _read_bytes(path: str | Path, name: str, max_bytes: int) -> bytes:
    try:
        if str(path) == STDIN:
            content = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with Path(path).open("rb") as stream:
                content = stream.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise SpecError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise SpecError(f"{name}: is a folder, not a file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{name}: cannot be read: {reason}") from error
    if len(content) > max_bytes:
        raise SpecError(f"{name}: is larger than {max_bytes // 1024:,} KiB")
    return content


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise SpecError(
            f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8", hint="save the file as UTF-8"
        ) from error


def _syntax_error(error: yaml.YAMLError, text: str, name: str) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        return SpecError(f"{name}: is not YAML: {reason}")
    lines = text.splitlines() or [""]
    is_end = mark.line >= len(lines)
    line = lines[-1] if is_end else lines[mark.line]
    row, column = (len(lines), len(line) + 1) if is_end else (mark.line + 1, mark.column + 1)
    problem = getattr(error, "problem", None) or "syntax error"
    opened = getattr(error, "context_mark", None)
    if is_end and opened is not None:
        problem += f" (opened on line {opened.line + 1})"
    has_tab = "\t" in line[: len(line) - len(line.lstrip())]
    hint = "indent with spaces, not tabs" if has_tab else None
    return SpecError(f"{name}:{row}:{column}: is not YAML: {problem}", hint=hint)


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
