"""A review in each format that `clusterctl review` writes."""

from __future__ import annotations

from typing import Literal

from clusterctl.json_text import json_text
from clusterctl.review.value import Review
from clusterctl.ui.terminal import Terminal

Format = Literal["text", "markdown", "json", "sarif", "infracost-json"]


def written(review: Review, kind: Format, terminal: Terminal) -> str:
    """The review as text that ends with a line feed.  `terminal` counts for `text` alone."""
    if kind == "text":
        from clusterctl.review.terminal_text import text

        return text(review, terminal)
    if kind == "markdown":
        from clusterctl.review.comment import markdown

        return markdown(review)
    return json_text(_data(review, kind), indent=2, ensure_ascii=False) + "\n"


def _data(review: Review, kind: Format) -> object:
    if kind == "sarif":
        from clusterctl.review.sarif import sarif_data

        return sarif_data(review)
    if kind == "infracost-json":
        from clusterctl.review.infracost import infracost_data

        return infracost_data(review)
    from clusterctl.review.as_json import review_data

    return review_data(review)
