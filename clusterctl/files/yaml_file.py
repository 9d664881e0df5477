"""Read YAML with the line and column of every value.

Refused, each with its position: duplicate keys, tags, several documents, aliases that expand too far, deep nesting.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from clusterctl.errors import SpecError
from clusterctl.files.document import Document
from clusterctl.files.yaml_build import NodeBuilder

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
