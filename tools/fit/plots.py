"""Predicted against published, one small SVG per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

mpl.use("svg")
import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from tools.fit.report import Results

KINDS = ("rl_step", "pretrain", "sft", "generate")
UNITS = {"rl_step": "s per step", "pretrain": "metric of the case", "sft": "metric of the case", "generate": "tokens/s"}


def plot_predictions(results: Results, folder: Path) -> None:
    """Writes KIND.svg: left-out predictions (by publisher) with 80% bands against published values."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "clusterctl", "font.size": 9, "svg.fonttype": "none"})
    for kind in KINDS:
        figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
        _draw(axes, results, kind)
        figure.savefig(folder / f"{kind}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _draw(axes: plt.Axes, results: Results, kind: str) -> None:
    low, high = np.inf, 0.0
    for quality, colour, marker in (("partial", "#b8b8b8", "o"), ("full", "#1f5fa8", "s")):
        rows = results.rows(kind, quality)
        if not np.any(rows):
            continue
        published = np.exp(results.problem.published[rows])
        predicted = np.exp(results.by_publisher[rows])
        half = results.half_widths[rows]
        errors = [predicted * (1 - np.exp(-half)), predicted * (np.exp(half) - 1)]
        axes.errorbar(published, predicted, yerr=errors, fmt=marker, ms=3, lw=0.6, color=colour, label=quality)
        low, high = min(low, published.min(), predicted.min()), max(high, published.max(), predicted.max())
    ends = [low / 1.5, high * 1.5]
    axes.plot(ends, ends, color="black", lw=0.8)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(xlabel=f"published, {UNITS[kind]}", ylabel="predicted, publisher left out", title=kind)
    axes.legend(frameon=False)
