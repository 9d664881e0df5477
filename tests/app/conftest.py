"""The dashboard as Streamlit runs it, without a browser: `open_page("gpus", data="simulated")`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("streamlit")

import streamlit as st
from dashboard_pages import OpenPage
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from clusterctl.dashboard.sample import ensure_sample

REPO = Path(__file__).resolve().parents[2]
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)
"""A server looks through all installed packages once; `AppTest` does at each run, which takes half its time."""


@pytest.fixture(scope="session")
def made_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the simulated day, made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "home-with-sample"
    ensure_sample(home)
    return home


@pytest.fixture
def home(made_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder of its own, but for the simulated day."""
    folder = tmp_path / "home"
    shutil.copytree(made_sample / "sample", folder / "sample")
    monkeypatch.setenv("CLUSTERCTL_HOME", str(folder))
    # AppTest puts its script there and leaves it, and processes that later tests start would run it
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.delenv("CLUSTERCTL_LEDGER", raising=False)
    monkeypatch.delenv("CLUSTERCTL_TELEMETRY", raising=False)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield folder
    st.cache_resource.clear()


@pytest.fixture
def open_page(home: Path, monkeypatch: pytest.MonkeyPatch) -> OpenPage:
    """Open a page by the name of its file, with these words in its address."""
    monkeypatch.syspath_prepend(str(REPO))

    def opened(name: str = "overview", *, address: str = "127.0.0.1", **query: str) -> AppTest:
        config.set_option("server.address", address)
        app = AppTest.from_file(str(REPO / "app" / "main.py"), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        return (app if name == "runs" else app.switch_page(f"views/{name}.py")).run()

    return opened
