"""What tests read from a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamlit.testing.v1 import AppTest

PAGES = (
    "runs",
    "run",
    "overview",
    "plan",
    "gpus",
    "where",
    "pipeline",
    "sandboxes",
    "allocation",
    "what_if",
    "orphans",
    "outcomes",
    "quality",
)
OpenPage = Callable[..., AppTest]


def figures(app: AppTest) -> dict[str, Any]:
    """Label → value of every figure on a page."""
    return {metric.label: metric.value for metric in app.metric}


def words(app: AppTest) -> str:
    """All the prose on a page."""
    kinds = (app.markdown, app.caption, app.warning, app.error, app.info, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def dollars(text: str) -> float:
    """`$1,234` → 1234.0"""
    return float(text.removeprefix("at least ").removesuffix("/h").replace("$", "").replace(",", ""))
