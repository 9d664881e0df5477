"""A parsed file whose every value knows its line and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


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
