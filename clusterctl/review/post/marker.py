"""The first line of a comment: hidden from readers, it says which review wrote the comment, when and of which commit.

    <!-- clusterctl:review v=1 id=review valid-at=2026-11-30T21:15:31.123456Z head=0123abcd -->

Bitbucket shows HTML comments as text.  There the line is a Markdown link definition that no link uses (the trick that
Infracost uses elsewhere, https://github.com/infracost/infracost/blob/master/internal/comment/tag.go):

    [//]: # (clusterctl:review v=1 id=review valid-at=2026-11-30T21:15:31.123456Z head=0123abcd)

Values are percent-encoded, so that none ends the line, the comment or the definition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

from clusterctl.review.value import Review

MarkerForm = Literal["html", "link"]
"""`html`: an HTML comment.  `link`: a Markdown link definition, for places without HTML."""
MOST_LINE_CHARACTERS = 2_000
"""A longer first line is no marker: ids and commits are short."""
_FORMS: dict[MarkerForm, str] = {"html": "<!-- {} -->", "link": "[//]: # ({})"}
_LINE = re.compile(r"(?:<!-- |\[//\]: # \()clusterctl:review ((?:[a-z-]+=[A-Za-z0-9%._~:-]*(?: |(?=\))))+)(?:-->|\))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Which review wrote a comment."""

    id: str
    """Two reviews of one pull request with different ids have a comment each."""
    valid_at: datetime
    """When the review was made, UTC."""
    head: str
    """The commit that was reviewed; empty where only previews were compared."""

    def line(self, form: MarkerForm = "html") -> str:
        """The hidden line, without a line break."""
        valid_at = self.valid_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        values = f"v=1 id={_encoded(self.id)} valid-at={valid_at} head={_encoded(self.head)}"
        return _FORMS[form].format(f"clusterctl:review {values}")


def marker_of(review: Review) -> Marker:
    """The marker of a review's comment."""
    return Marker(id=review.id, valid_at=review.valid_at, head=review.head)


def marker_line(review: Review) -> str:
    """First line of the Markdown of a review, as an HTML comment; `post_review` changes its form where HTML is shown
    as text."""
    return marker_of(review).line()


def parse_marker(body: str) -> Marker | None:
    """The marker that a comment begins with, in either form; None where its first line is none of ours."""
    first = body.lstrip("\ufeff \t\r\n").partition("\n")[0].rstrip()
    found = _LINE.fullmatch(first) if len(first) <= MOST_LINE_CHARACTERS else None
    if found is None:
        return None
    values = dict(pair.split("=", 1) for pair in found[1].split())
    try:
        valid_at = datetime.fromisoformat(unquote(values["valid-at"]))
        return Marker(id=unquote(values["id"]), valid_at=valid_at.astimezone(UTC), head=unquote(values["head"]))
    except (KeyError, ValueError, OverflowError):
        return None


def without_marker(body: str) -> str:
    """A body without the marker that it begins with: what people read of it, with the line ends of Unix."""
    text = body.replace("\r\n", "\n").lstrip("\ufeff \t\n")
    return text.partition("\n")[2].strip() if parse_marker(text) else text.strip()


def _encoded(value: str) -> str:
    """Of `--`, which older Markdown readers take for the end of a comment, the second hyphen is encoded too."""
    return quote(value, safe="").replace("--", "-%2D")
