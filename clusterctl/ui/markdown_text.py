"""Markdown from foreign text: names, tags, messages and file names show as themselves, and nothing else.

A comment is shown by GitHub, GitLab, Bitbucket or Azure DevOps.  After Markdown is read, all of them look once more
for mentions, references to issues, emoji and addresses in the text of the page, where an entity is the character that
it stands for.  So a name is a code span, in which none of them looks, and in prose a character without width stands
after each sign that begins one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from clusterctl.ui.spans import clean

MAX_CELL = 200
"""Longer text is cut in the middle: both ends of a name tell most."""
MAX_NAME = 80
_MARKS = {mark: f"&#{ord(mark)};" for mark in "|`*[]@#~\\"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TABLE = str.maketrans(_MARKS)
_MATHS = re.compile(r"\$(?!\d)")
"""Dollars of money only begin a formula, which needs another one to end."""
_UNDERSCORE = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Inside a word it is no mark-up."""
_BEGINS = re.compile(
    r"""(?<=[@#])(?=\S)            # people, issues, addresses of mail
    |(?<=[!&])(?=\d)               # merge requests and epics of GitLab
    |(?<=[~^%])(?=["\w])           # its labels and milestones
    |(?<=\[)(?=[a-z_]+:)           # its references in brackets
    |(?<=:)(?=//)|(?<=:)(?=[\w+-]*[a-z+-][\w+-]*:)  # addresses, emoji
    |(?<=\bGH-)(?=\d)|(?<=\bwww)(?=\.)""",
    re.VERBOSE | re.IGNORECASE,
)
_APART = "\u200b"
_BLOCK_START = re.compile(r"^(?:[-+=](?=\s|$|[-=])|\d+(?=[.)](?:\s|$)))")
"""What makes a list, a rule or a heading at the begin of a line."""
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=[a-zA-Z])")
_STAND_INS = str.maketrans({"`": "ˋ", "|": "¦"})
"""The two marks that could end a code span or a cell."""


def escape(text: str, most: int = MAX_CELL) -> str:
    """Prose that shows as itself: no mark-up, no mention of people, no reference, no line break."""
    text = _BEGINS.sub(_APART, shortened(clean(text).strip(), most))
    text = _MATHS.sub("&#36;", _UNDERSCORE.sub("&#95;", text.translate(_TABLE))).replace(_APART, "&#8203;")
    return _BLOCK_START.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", text)


def code(text: str, most: int = MAX_NAME) -> str:
    """A name as a code span, also in a table; a backtick and a bar in it are replaced by signs that look like them."""
    return f"`{shortened(clean(text).strip() or '(no name)', most).translate(_STAND_INS)}`"


def code_end(text: str, most: int) -> str:
    """The end of a path as a code span, with as many of its folders as there is room for: `…/main/rlcef.yaml`."""
    if len(text) <= most:
        return code(text)
    end = text[2 - most :]
    return code(f"…/{end.partition('/')[2]}" if "/" in end else text, most)


def html_code(text: str, most: int = MAX_NAME) -> str:
    """A name inside a block of HTML, where no Markdown is read."""
    return f"<code>{html.escape(shortened(clean(text).strip() or '(no name)', most))}</code>"


def shortened(text: str, most: int) -> str:
    """The text, or both ends of it with `…` between them."""
    half = most // 2 - 1
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    """A table of ready Markdown cells; `right` are the columns of numbers."""
    rule = ["---:" if index in right else "---" for index in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def unbroken(amount: str) -> str:
    """An amount for a narrow column: no line ends after its sign, before its unit, or after an arrow."""
    return _BEFORE_UNIT.sub("&nbsp;", amount.replace("−$", "−&#8288;$").replace("→ ", "→&nbsp;"))


def folded(summary: str, body: str) -> str:
    """A block that opens on a click; `summary` is ready HTML."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"
