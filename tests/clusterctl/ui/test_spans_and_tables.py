"""Wrapping, clipping and columns: nothing is lost, nothing is too wide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clusterctl.ui.spans import Span, Style, clip, line_width, paint, wrap
from clusterctl.ui.table import Column, bar, cell, draw, range_bar

WORDS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40), max_size=12
)
STYLES = st.sampled_from(list(Style))


@given(
    words=WORDS, styles=st.lists(STYLES, min_size=12, max_size=12), cells=st.integers(24, 90), indent=st.integers(0, 8)
)
def test_wrapping_loses_no_character_and_fits(words: list[str], styles: list[Style], cells: int, indent: int) -> None:
    spans = [Span(f"{word} ", style) for word, style in zip(words, styles, strict=False)]
    lines = wrap(spans, cells, indent)
    text = "".join(span.text for line in lines for span in line)
    assert text.replace(" ", "") == "".join(words).replace(" ", "")
    assert all(line_width(line) <= cells for line in lines)


@given(st.text(max_size=80), st.integers(1, 60))
def test_clipping_fits_and_keeps_the_beginning(text: str, cells: int) -> None:
    clipped = clip([Span(text)], cells)
    assert line_width(clipped) <= cells
    said = "".join(span.text for span in clipped)
    assert said == text or text.startswith(said[:-1])


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=50), min_size=3, max_size=3),
        max_size=6,
    )
)
def test_a_table_with_prose_fits(rows: list[list[str]]) -> None:
    columns = (
        Column(title="name", prose=True),
        Column(title="n", align="right", drop=1),
        Column(title="why", prose=True),
    )
    lines = draw(columns, [[cell(text) for text in row] for row in rows], 80)
    assert all(line_width(line) <= 80 for line in lines)


def test_optional_columns_go_first() -> None:
    columns = (Column(title="a"), Column(title="b", drop=1), Column(title="c", drop=2))
    rows = [[cell("x" * 20), cell("y" * 20), cell("z" * 20)]]
    titles = [paint(draw(columns, rows, cells), colour=False).split("\n")[0].split() for cells in (80, 60, 30)]
    assert titles == [["a", "b", "c"], ["a", "b"], ["a"]]


def test_bars_are_as_long_as_their_share() -> None:
    assert [bar(share, 10) for share in (0, 0.001, 0.5, 1, 2)] == ["", "▏", "█████", "██████████", "██████████"]


def test_a_range_shows_where_the_middle_is() -> None:
    assert range_bar(10, 15, 20, (0, 20), 21) == "          ━━━━━┃━━━━━"
    assert range_bar(1, 1, 1, (1, 1), 5)[0] == "┃"
