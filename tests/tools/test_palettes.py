"""The dashboard's colours: told apart with any colour vision and in grey; the script notices a palette that is not."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from app import charts
from tools import palettes


def test_the_palette_is_told_apart_and_words_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert palettes.main() == 0, capsys.readouterr().out
    assert capsys.readouterr().out.endswith("all colours are told apart\n")


def test_every_category_has_a_colour_of_the_palette(repo: Path) -> None:
    states = [colour for _, colour in charts.STATES.values()]
    assert len(set(states)) == len(states)
    theme = tomllib.loads((repo / "app" / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for name in ("light", "dark"):
        assert theme[name]["backgroundColor"] == charts.BACKGROUNDS[name]
        assert theme[name]["textColor"] == charts.WORDS[name]
    for shown in (states, charts.LINES, theme["chartCategoricalColors"]):
        assert set(shown) <= set(charts.PALETTE)
    named = [file for file in (repo / "app").rglob("*.py") if re.search(r"#[0-9A-Fa-f]{6}\b", file.read_text("utf-8"))]
    assert [file.name for file in named] == ["charts.py"], "pages take their colours from there"


def test_lines_differ_by_more_than_colour() -> None:
    assert len(charts.DASHES) >= len(charts.LINES)
    assert len({tuple(dash) for dash in charts.DASHES}) == len(charts.DASHES)


def test_known_values() -> None:
    """Of WCAG's own formula, and what everybody knows of red and green."""
    assert palettes.contrast("#FFFFFF", "#000000") == pytest.approx(21.0)
    assert palettes.contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.01)
    assert palettes.lightness("#FFFFFF") == pytest.approx(100.0)
    assert palettes.lightness("#777777") == pytest.approx(50.0, abs=0.2)
    red, green = "#B05A00", "#6E7F00"
    assert palettes.distance(red, green, "deuteranopia") < palettes.distance(red, green, "normal") / 2


def test_a_bad_palette_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "PALETTE", ("#999999", "#CC79A7"))
    monkeypatch.setattr(charts, "WORDS", {"light": "#999999", "dark": "#FAFAFA"})
    monkeypatch.setattr(charts, "HEAT_ENDS", {"light": ("#440154", "#FDE725"), "dark": ("#440154", "#FDE725")})
    wrong = "\n".join(palettes.failures())
    assert "#999999 and #CC79A7 are 1.9 apart (deuteranopia)" in wrong
    assert "in grey" in wrong
    assert "light: #999999 on #FFFFFF has a contrast of 2.8" in wrong
    assert "dark: #440154 of heat maps is" in wrong
