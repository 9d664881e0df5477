"""Big files are the worst to read: source files stay within 400 lines, functions (less their signature) within 60."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    file for folder in ("clusterctl", "planners", "infra", "app", "examples") for file in (REPO / folder).rglob("*.py")
)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(REPO)))
def test_file_and_its_functions_fit(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.body[0].lineno < 60, f"{node.name} is too long"
