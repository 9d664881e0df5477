"""The hidden first line of a comment: what is written is read again, and nothing breaks out of it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.review.post.marker import Marker, MarkerForm, marker_line, parse_marker, without_marker
from clusterctl.review.value import Review

NOON = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
FORMS: tuple[MarkerForm, ...] = ("html", "link")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(TEXT, TEXT, st.datetimes(min_value=datetime(1970, 1, 2)), st.sampled_from(FORMS))
def test_every_marker_is_read_as_it_was_written(name: str, head: str, naive: datetime, form: MarkerForm) -> None:
    marker = Marker(id=name, valid_at=naive.replace(tzinfo=UTC), head=head)
    assert parse_marker(f"{marker.line(form)}\n# Review\n") == marker
    assert parse_marker(f"\ufeff{marker.line(form)}\r\n# Review\r\n") == marker
    assert without_marker(f"{marker.line(form)}\r\n\r\n# Review\r\n") == "# Review"


@given(TEXT, TEXT, st.sampled_from(FORMS))
def test_no_value_ends_the_comment_the_definition_or_the_line(name: str, head: str, form: MarkerForm) -> None:
    line = Marker(id=name, valid_at=NOON, head=head).line(form)
    inside = line[4:-3] if form == "html" else line[9:-1]
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert not {"--", "<", ">", "(", ")", '"', "'", "\\", "`", "@"} & {
        *inside,
        *map("".join, itertools.pairwise(inside)),
    }


def test_the_line_of_a_review() -> None:
    review = Review(id="fleet prod", base="b" * 40, head="a" * 40, valid_at=NOON, specs=(), infrastructure=None)
    said = f"v=1 id=fleet%20prod valid-at=2026-11-30T12:00:00.123456Z head={'a' * 40}"
    assert marker_line(review) == f"<!-- clusterctl:review {said} -->"
    assert Marker(id="fleet prod", valid_at=NOON, head="a" * 40).line("link") == f"[//]: # (clusterctl:review {said})"


def test_a_moment_of_another_zone_is_written_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=9)))
    assert "valid-at=2026-11-30T12:00:00.123456Z" in Marker(id="x", valid_at=there, head="").line()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "# Review\n",
        "> <!-- clusterctl:review v=1 id=x valid-at=2026-11-30T12:00:00Z head=a -->\n",
        "text\n<!-- clusterctl:review v=1 id=x valid-at=2026-11-30T12:00:00Z head=a -->\n",
        "<!-- clusterctl:review v=1 id=x valid-at=yesterday head=a -->\n",
        "<!-- clusterctl:review v=1 id=x head=a -->\n",
        "<!-- clusterctl:review v=1 id=x valid-at=2026-11-30T12:00:00Z head=a --> and more\n",
        "<!-- clusterctl:plan v=1 id=x valid-at=2026-11-30T12:00:00Z head=a -->\n",
        "<!-- clusterctl:review v=1 id=x valid-at=2026-11-30T12:00:00Z head=" + "a" * 5_000 + " -->\n",
    ],
)
def test_what_is_no_marker_of_ours(body: str) -> None:
    assert parse_marker(body) is None
    assert without_marker(body) == body.strip()


def test_a_later_version_with_more_values_is_still_found() -> None:
    line = "<!-- clusterctl:review v=2 id=x more=1 valid-at=2026-11-30T12:00:00Z head=a -->"
    assert parse_marker(line) == Marker(id="x", valid_at=NOON.replace(microsecond=0), head="a")
