"""Questions to the planner and to what it knows, remembered."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path

import polars as pl
import streamlit as st

from clusterctl.catalog.lookup import load_calibration, load_gpus
from clusterctl.catalog.price_book import load_book
from clusterctl.json_text import json_text
from clusterctl.paths import bundle_root
from clusterctl.plan_service import Planner, Source, open_source
from clusterctl.specfile.yaml_file import parse_yaml
from planners.physics.calibration import NARROWEST_LOG, SCATTER_LOG_SD
from planners.plan.value import Plan


@st.cache_data(show_spinner="planning …", max_entries=200)
def what_if(plan: Plan, changes: tuple[str, ...], now: datetime) -> Plan:
    """The plan of the same spec with `key=value` changes.  Raises SpecError, Infeasible (names the nearest)."""
    document = parse_yaml(json_text(plan.spec), name="the run's spec", folder=Path())
    return Planner(now=now).plan(Source(label="this run", document=document, plan=None), changes)


@st.cache_data(show_spinner="planning …", max_entries=50)
def template(name: str, now: datetime) -> Plan:
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
def clouds() -> list[str]:
    """Clouds in which a GPU has a price."""
    return sorted(load_book().offers(kind="gpu")["cloud"].unique())


@st.cache_data(show_spinner=False)
def regions() -> list[str]:
    """Regions in which a GPU has a price."""
    return sorted(load_book().offers(kind="gpu")["region"].unique())


@st.cache_resource(ttl=600, show_spinner=False)
def price_ages(today: date) -> pl.DataFrame:
    """cloud, kind, prices, newest, oldest, age_days (of the newest): what the price book in use holds."""
    rows = load_book().prices().group_by("cloud", kind="capacity_type")
    found = rows.agg(prices=pl.len(), newest=pl.col("as_of").max(), oldest=pl.col("as_of").min())
    return found.with_columns(age_days=(pl.lit(today) - pl.col("newest")).dt.total_days()).sort("cloud", "kind")


@st.cache_resource(show_spinner=False)
def calibration_scores() -> tuple[str, pl.DataFrame]:
    """(id of the calibration, kind of work, its published cases, half of the narrowest 80% band in percent)."""
    found = load_calibration()
    rows = [
        (
            kind,
            sum(case.kind == kind for case in found.cases),
            100 * (math.exp(max(score * SCATTER_LOG_SD, NARROWEST_LOG)) - 1),
        )
        for kind, score in found.scores.items()
        if kind != "other"
    ]
    return found.identity, pl.DataFrame(rows, schema=["kind", "cases", "band_pct"], orient="row")


def _specs() -> Path:
    return bundle_root() / "templates" / "specs"
