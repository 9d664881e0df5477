"""Every figure, table, page and purpose has its words in labels.toml, and nothing else has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from planners.costs.cost_tables import Purpose

APP = Path(__file__).resolve().parents[2] / "app"
LABELS = tomllib.loads((APP / "labels.toml").read_text("utf-8"))


@pytest.mark.parametrize(("call", "section"), [("figure", "figures"), ("table", "tables")])
def test_labels_are_those_that_pages_use(call: str, section: str) -> None:
    named = set(LABELS[section])
    source = "\n".join(file.read_text("utf-8") for file in (*APP.glob("*.py"), *(APP / "views").glob("*.py")))
    used = set(re.findall(rf'ui\.{call}\(\s*"(\w+)"', source))
    assert used <= named
    assert all(f'"{name}"' in source for name in named)


def test_every_page_and_every_purpose_of_money_is_named() -> None:
    assert set(LABELS["pages"]) == {file.stem for file in (APP / "views").glob("*.py")}
    assert set(LABELS["purposes"]) == set(Purpose) - {Purpose.SHARED}, "shared cost is spread over the others"
