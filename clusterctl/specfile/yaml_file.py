"""Read one YAML document with the line and column of every value.

PyYAML composes the nodes, which know where they stand.  What would surprise a person or exhaust the machine is refused
with its position: duplicate keys, tags, several documents, deep nesting, aliases that expand too far.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterctl.errors import SpecError
from clusterctl.foreign_files import read_limited, too_large
from clusterctl.specfile.yaml_values import MAX_DEPTH, Loader, TooDeepError, Values, where_text

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
STDIN = "-"


def read_yaml(path: str | Path, *, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES) -> Document:
    """Read one YAML document from a file, or from standard input for `-`.  Raises SpecError."""
    folder = Path() if str(path) == STDIN else Path(path).parent
    text = read_text(path, max_bytes=max_bytes)
    return parse_yaml(text, name=shown_name(path), folder=folder, max_values=max_values)


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> str:
    """The UTF-8 text of a file, or of standard input for `-`.  Raises SpecError."""
    return decoded(read_bytes(path, max_bytes=max_bytes), name=shown_name(path))


def decoded(content: bytes, *, name: str) -> str:
    """UTF-8 text of a file that messages call `name`.  Raises SpecError with line and column of what isn't."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        byte = f"byte 0x{content[error.start]:02x} is not UTF-8"
        raise SpecError(f"{name}:{line}:{column}: {byte}", hint="save the file as UTF-8") from error


def read_bytes(path: str | Path, *, max_bytes: int) -> bytes:
    """A file or a pipe that a person named, or standard input for `-`.  Raises SpecError."""
    name = shown_name(path)
    try:
        if str(path) != STDIN:
            return read_limited(path, max_bytes, pipe=True)
        content = sys.stdin.buffer.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise too_large(max_bytes)
    except FileNotFoundError as error:
        raise SpecError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise SpecError(f"{name}: is a folder, not a file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{name}: cannot be read: {reason}") from error
    return content


def shown_name(path: str | Path) -> str:
    """What messages call a file."""
    return "<stdin>" if str(path) == STDIN else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file: `data` is plain dicts, lists and scalars; keys are always text."""

    name: str
    folder: Path
    data: Any
    root: yaml.Node

    def where(self, path: Sequence[str | int] = (), *, key: bool = False) -> str:
        """`file:line:column` of the value at `path`, or of its nearest ancestor that exists; both count from 1.

        key: of the key that ends `path`, if it is one.
        """
        return where_text(self.name, self._node(path, key=key).start_mark)

    def line(self, path: Sequence[str | int] = ()) -> int:
        """The line of the value at `path`, or of its nearest ancestor that exists, counted from 1."""
        return int(self._node(path, key=True).start_mark.line) + 1

    def _node(self, path: Sequence[str | int], *, key: bool) -> yaml.Node:
        node = self.root
        for index, step in enumerate(path):
            key_node, child = _child(node, step)
            if child is None:
                break
            node = key_node if key and key_node is not None and index == len(path) - 1 else child
        return node


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The key's node and the value's node at a step down; None where there is none."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None, None


def parse_yaml(text: str, *, name: str, folder: Path | None = None, max_values: int = MAX_VALUES) -> Document:
    """Parse one YAML document.  `name` is what messages call it.  Raises SpecError."""
    try:
        root = yaml.compose(text, Loader=Loader)
    except TooDeepError as error:
        raise SpecError(f"{where_text(name, error.mark)}: nested deeper than {MAX_DEPTH} levels") from error
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, name) from error
    if root is None:
        raise SpecError(f"{name}: is empty", hint="`clusterctl init KIND` writes a commented spec")
    data = Values(name, max_values).of(root)
    return Document(name=name, folder=folder or Path(), data=data, root=root)


def _syntax_error(error: yaml.YAMLError, text: str, name: str) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        reason = getattr(error, "reason", None) or str(error).splitlines()[0]
        return SpecError(f"{name}: is not YAML: {reason}")
    lines = text.splitlines() or [""]
    is_end = mark.line >= len(lines)
    line = lines[-1] if is_end else lines[mark.line]
    problem = getattr(error, "problem", None) or "syntax error"
    if isinstance(error, yaml.composer.ComposerError):
        return SpecError(f"{where_text(name, mark)}: {_refused_by_composer(problem, line[mark.column :])}")
    row, column = (len(lines), len(line) + 1) if is_end else (mark.line + 1, mark.column + 1)
    opened = getattr(error, "context_mark", None)
    if is_end and opened is not None:
        problem += f" (opened on line {opened.line + 1})"
    has_tab = "\t" in line[: len(line) - len(line.lstrip())]
    hint = "indent with spaces, not tabs" if has_tab else None
    return SpecError(f"{name}:{row}:{column}: is not YAML: {problem}", hint=hint)


def _refused_by_composer(problem: str, there: str) -> str:
    """What PyYAML's composer refuses, in our words; `there` is the text from its mark on."""
    word = re.split(r"[\s,\]}]", there, maxsplit=1)[0]
    if "alias" in problem:
        return f"alias {word} has no anchor before it"
    if "another document" in problem:
        return "a second document starts here: one file holds one"
    return f"anchor {word} is given twice"
