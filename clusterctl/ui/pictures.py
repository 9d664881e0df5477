"""`--plot FOLDER`: pictures of a plan as SVG files.  matplotlib is imported here only, when a picture is asked for.

The same plan gives the same bytes: fixed salt, no date, text as text.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.specfile.write import write_atomic
from planners.plan.value import Plan

SETTINGS: Any = {
    "svg.hashsalt": "clusterctl",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "hatch.linewidth": 0.8,
}
"""`Any`: matplotlib's type for them lists every setting there is, and matplotlib is optional."""
METADATA = {"Date": None, "Creator": "clusterctl"}


def write_pictures(plan: Plan, folder: Path, *, source: str) -> list[Path]:
    """Write frontier.svg and, for each stage, step-STAGE.svg; returns their paths.  Raises ClusterctlError."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # that it can't keep its cache concerns nobody here
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ClusterctlError(
            "--plot needs matplotlib, which is not installed", hint="pip install 'clusterctl[plot]'"
        ) from error
    from clusterctl.ui.frontier import draw_frontier
    from clusterctl.ui.timeline import draw_timeline

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterctlError(f"{folder}: cannot be made: {error.strerror}") from error
    with mpl.rc_context(SETTINGS):
        pictures = {"frontier.svg": _svg(draw_frontier(plan, source))}
        for stage in plan.stages:
            name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stage.name)
            pictures[f"step-{name}.svg"] = _svg(draw_timeline(plan, stage))
    for name, content in pictures.items():
        write_atomic(folder / name, content)
    return [folder / name for name in pictures]


def _svg(figure: Any) -> bytes:
    """The figure as bytes.  `Any`: matplotlib is optional, so its types are too."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata=METADATA, bbox_inches="tight")
    return buffer.getvalue()
