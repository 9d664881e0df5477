"""Every figure and table of the pages has its words in labels.toml, and nothing else has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"


@pytest.mark.parametrize(("call", "section"), [("figure", "figures"), ("table", "tables")])
def test_labels_are_those_that_pages_use(call: str, section: str) -> None:
    named = set(tomllib.loads((APP / "labels.toml").read_text("utf-8"))[section])
    source = "\n".join(file.read_text("utf-8") for file in (APP / "views").glob("*.py"))
    used = set(re.findall(rf'ui\.{call}\(\s*"(\w+)"', source))
    assert used <= named
    assert all(f'"{name}"' in source for name in named)
