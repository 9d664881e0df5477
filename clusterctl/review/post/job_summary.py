"""The summary of a job: a file of Markdown that GitHub shows with the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from clusterctl.errors import ClusterctlError
from clusterctl.review.post.marker import without_marker

MOST_SUMMARY_BYTES = 1 << 20
"""Of one step: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands (job summaries)."""


def write_job_summary(body: Callable[[], str], environment: Mapping[str, str]) -> bool:
    """Add Markdown to the summary of the job.  Returns whether CI has one.  Raises ClusterctlError if it can't be
    written; larger than its limit, it would be refused as a whole, so then a sentence stands in its place."""
    name = environment.get("GITHUB_STEP_SUMMARY", "")
    if not name:
        return False
    text = f"{without_marker(body())}\n\n"
    path = Path(name)
    try:
        written = path.stat().st_size if path.exists() else 0
        if written + len(text.encode()) > MOST_SUMMARY_BYTES:
            text = "The review is too long for this summary: see the comment, or the file of `--out`.\n\n"
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ClusterctlError(f"the summary of the job can't be written: {error.strerror}", hint=name) from error
    return True
