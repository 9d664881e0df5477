"""The page about infrastructure lists each default that is assumed, with its source."""

from __future__ import annotations

from pathlib import Path

from planners.infrastructure import defaults

PAGE = Path(__file__).parents[3] / "docs" / "infrastructure.md"


def test_the_page_lists_every_default_with_its_source() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "http" in line]
    known = [each for each in vars(defaults).values() if isinstance(each, defaults.Default)]
    assert sorted(rows) == sorted(f"| {each.words} | {each.source} |" for each in known)
