"""Foreign text in Markdown, read by GitHub's own parser: it shows as itself, and no element stems from it."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given
from hypothesis import strategies as st

from clusterctl.ui.markdown_text import code, escape, html_code, table
from clusterctl.ui.spans import clean

PIECES = st.sampled_from(
    [
        *"abAB01 |`*_[]()@#~!$%^&<>\\:./-+='\"{}\n\t\r\0\x1b\u202e\u200b\u0301",
        "@team ",
        "#123 ",
        "GH-12 ",
        "http://x.example/",
        "www.x.example",
        "a@x.example",
        "<img src=x onerror=a()>",
        "<!--",
        "-->",
        "</details>",
        "<script>",
        "![a](http://x.example/b.png)",
        "[a](javascript:b)",
        "[^1]",
        "```",
        "~~~",
        "$$",
        "| --- |",
        "\n\n# a\n",
        "\n- ",
        "- ",
        "1. ",
        ":tada:",
        "\x1b[31m",
        "&lt;",
        "&#60;",
        "&nbsp;",
        "&copy",
        "mailto:a@b.example",
        "xmpp:a@b.example",
        "ftp://b.example",
    ]
)
FOREIGN = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60)
LIVE = re.compile(r"@[\w{]|#\w|\bGH-\d|!\d|://|\bwww\.|:[\w+-]*[a-z+-][\w+-]*:", re.IGNORECASE)
"""What hosts look for in the text of a page, outside of code."""


class Page(HTMLParser):
    """Elements of a page and its text, inside and outside of `code`."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.prose, self.codes = "", ""
        self._in_code = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)
        self._in_code = self._in_code or tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._in_code = self._in_code and tag != "code"

    def handle_comment(self, data: str) -> None:
        self.elements.append("!--")

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.codes += data
        else:
            self.prose += data


def page(markdown: str) -> Page:
    return Page(
        cmarkgfm.github_flavored_markdown_to_html(
            markdown, options=Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
        )
    )


@given(FOREIGN)
@example("12. a")
@example("=\\|")
@example("- - a")
def test_prose_shows_as_itself(text: str) -> None:
    shown = page(f"- {escape(text)}\n")
    assert set(shown.elements) <= {"ul", "li", "p"}
    assert len(shown.elements) <= 2
    assert " ".join(shown.prose.replace("\u200b", "").split()) == " ".join(clean(text).split())
    assert not LIVE.search(shown.prose)


@given(FOREIGN)
def test_prose_stays_in_its_cell(text: str) -> None:
    shown = page(table(["a", "b"], [[escape(text), "next"]], right=set()))
    assert shown.elements == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]
    assert not LIVE.search(shown.prose)


@given(FOREIGN)
@example("\\|")
@example("`\\|` | x")
def test_a_name_is_one_code_span_in_its_cell(text: str) -> None:
    shown = page(table(["a", "b"], [[code(text, 1000), "next"]], right=set()))
    assert shown.elements == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "code", "td"]
    expected = clean(text).strip().replace("`", "ˋ").replace("|", "¦") or "(no name)"
    assert shown.codes == expected


@given(FOREIGN)
def test_a_name_in_a_summary_is_one_element(text: str) -> None:
    shown = page(f"<details><summary>{html_code(text)}</summary>\n\nbody\n\n</details>\n")
    assert shown.elements == ["details", "summary", "code", "p"]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("costs $12,000 of 53%, R&D", "costs $12,000 of 53%, R&amp;D"),
        ("by @team", "by &#64;&#8203;team"),
        ("a_b _c_", "a_b &#95;c&#95;"),
        ("at 12:30: yes", "at 12:30: yes"),
    ],
)
def test_plain_words_stay_readable(text: str, markdown: str) -> None:
    assert escape(text) == markdown
    assert html.unescape(markdown).replace("\u200b", "") == text


def test_long_names_keep_both_ends() -> None:
    assert code("a" * 100 + "/end.yaml", 20) == f"`{'a' * 9}…/end.yaml`"
    assert code("") == "`(no name)`"
