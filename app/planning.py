"""Questions to the planner, remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from clusterctl.catalog.lookup import load_gpus
from clusterctl.catalog.price_book import load_book
from clusterctl.paths import bundle_root
from clusterctl.plan_service import Planner, Source, open_source
from clusterctl.specfile.yaml_file import parse_yaml

if TYPE_CHECKING:
    from datetime import datetime

    from planners.plan.value import Plan


@st.cache_data(show_spinner="planning …", max_entries=200)
def what_if(plan: Plan, changes: tuple[str, ...], now: datetime) -> Plan:
    """The plan of the same spec with `key=value` changes.  Raises SpecError, Infeasible (names the nearest)."""
    document = parse_yaml(json.dumps(plan.spec), name="the run's spec", folder=Path())
    return Planner(now=now).plan(Source(label="this run", document=document, plan=None), changes)


@st.cache_data(show_spinner="planning …", max_entries=50)
def template(name: str, now: datetime) -> Plan:
    """The plan of a bundled run spec."""
    return Planner(now=now).plan(open_source(str(_specs() / f"{name}.yaml")))


def templates() -> list[str]:
    """Names of the bundled run specs, the RL loop first."""
    return sorted((file.stem for file in _specs().glob("*.yaml")), key=lambda name: (name != "rlcef", name))


@st.cache_data(show_spinner=False)
def gpus() -> list[str]:
    """GPUs that have a price somewhere."""
    priced = set(load_book().offers(kind="gpu")["gpu"].drop_nulls().unique())
    return sorted(name for name in load_gpus() if name in priced)


@st.cache_data(show_spinner=False)
def regions() -> list[str]:
    """Regions in which a GPU has a price."""
    return sorted(load_book().offers(kind="gpu")["region"].unique())


def _specs() -> Path:
    return bundle_root() / "templates" / "specs"
