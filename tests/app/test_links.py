"""What an address says, and what a link or a drag leaves in it."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from dashboard_pages import OpenPage, figures, words
from streamlit import config, logger
from streamlit.elements.lib import policies

from app import time_links
from tools.simulated_day.story import RLCEF

CONFIG = Path(__file__).resolve().parents[2] / "app" / ".streamlit" / "config.toml"
OPTION = "global.disableWidgetStateDuplicationWarning"


def test_all_runs_may_be_written_as_the_header_has_it(open_page: OpenPage) -> None:
    named = open_page("overview", data="simulated", run="all runs")
    assert [warning.value for warning in named.warning] == []
    assert figures(named) == figures(open_page("overview", data="simulated", run="all"))
    assert "all runs" in words(named)


def test_each_word_of_a_link_is_once_in_the_address(open_page: OpenPage) -> None:
    """The browser sends the words of the page that one comes from, and after them those of the link."""
    app = open_page("overview", data="simulated", window="1h")
    words_sent = {"data": ["simulated", "simulated"], "run": RLCEF, "window": ["1h", "6h"], time_links.LINKED: "1"}
    for name, word in words_sent.items():
        app.query_params[name] = word
    app.run()
    assert app.query_params == {"data": "simulated", "run": RLCEF, "window": "6h"}
    assert "6.0 h up to" in words(app).replace("\\", "")


@pytest.mark.parametrize("words_of_link", [{"data": "other"}, {"window": "year"}], ids=str)
def test_a_link_with_a_word_that_is_not_known_shows_the_usual(
    words_of_link: dict[str, str], open_page: OpenPage
) -> None:
    app = open_page("overview", **{"data": "simulated", **words_of_link, "linked": "1"})
    assert [error.message for error in app.exception] == []


@pytest.mark.parametrize("page", ["overview", "run"])
def test_every_link_of_a_page_says_what_is_looked_at(page: str, open_page: OpenPage) -> None:
    links = [link.proto for link in open_page(page, data="simulated", run=RLCEF).get("page_link")]
    assert links
    for link in links:
        sent = parse_qs(link.query_string)
        assert (sent["data"], sent[time_links.LINKED]) == (["simulated"], ["1"]), link.label


@pytest.fixture
def streamlit_warnings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What Streamlit warns of a widget whose value is set beside its default: once in a process, so it forgets that."""
    heard: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    monkeypatch.setattr(policies, "_shown_default_value_warning", False)
    handler, said = Heard(), logger.get_logger(policies.__name__)
    said.addHandler(handler)
    was = config.get_option(OPTION)
    yield heard
    config.set_option(OPTION, was)
    said.removeHandler(handler)


@pytest.mark.parametrize("ours", [True, False], ids=["with our settings", "without them"])
def test_a_range_that_is_set_is_no_warning(ours: bool, open_page: OpenPage, streamlit_warnings: list[str]) -> None:
    settings = tomllib.loads(CONFIG.read_text("utf-8"))["global"]
    config.set_option(OPTION, ours and settings["disableWidgetStateDuplicationWarning"])
    app = open_page("overview", data="simulated", window="6h", **{time_links.LINKED: "1"})
    assert [error.message for error in app.exception] == []
    assert bool(streamlit_warnings) is not ours
