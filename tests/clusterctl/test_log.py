"""Logs go to stderr and never mix with data on stdout."""

from __future__ import annotations

import json
import logging

import pytest

from clusterctl import log


def test_verbose_shows_our_steps_but_not_other_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(verbose=True, as_json=False)
    logging.getLogger("clusterctl.prices").info("reading %d pages", 3)
    logging.getLogger("httpx").info("GET")
    assert capsys.readouterr() == ("", "INFO clusterctl.prices: reading 3 pages\n")


def test_quiet_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(verbose=False, as_json=False)
    logging.getLogger("clusterctl.prices").info("reading")
    assert capsys.readouterr().err == ""


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(verbose=True, as_json=True)
    logging.getLogger("clusterctl.prices").warning("a page is broken")
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "clusterctl.prices", "a page is broken")
