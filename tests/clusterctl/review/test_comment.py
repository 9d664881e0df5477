"""The comment of a review: verdict first, details folded, never too long, foreign text harmless."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_plan import band, rlcef_plan
from sample_reviews import DOUBLED, HOSTILE, REVIEWS, compared, cost, finding, large_review, moved, part, review

from clusterctl.review.comment import MOST_CHARACTERS, markdown
from clusterctl.review.post.marker import marker_line, parse_marker
from clusterctl.review.totals import runs_usd, spec_usd
from clusterctl.review.value import Driver, InfrastructureChange, Review, SpecChange

Golden = Callable[[str, str], None]
OWN = {
    "h3",
    "h4",
    "p",
    "strong",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "ul",
    "li",
    "details",
    "summary",
    "sub",
    "!--",
}


def shown(text: str) -> str:
    return str(
        cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES)
    )


def elements(page: str) -> list[str]:
    return re.findall(r"<(!--|[a-zA-Z][\w-]*)", page)


@pytest.mark.parametrize("name", REVIEWS)
def test_comments_look_as_agreed(golden: Golden, name: str) -> None:
    golden(f"review/{name}.md", markdown(REVIEWS[name]))


def test_bitbucket_gets_no_html(golden: Golden) -> None:
    text = markdown(REVIEWS["findings"], html=False)
    assert parse_marker(text) == parse_marker(markdown(REVIEWS["findings"]))
    assert set(elements(shown(text.partition("\n")[2]))) <= OWN - {"details", "summary", "sub", "!--"} | {"h5", "em"}
    golden("review/findings_without_html.md", text)


@pytest.mark.parametrize("name", REVIEWS)
def test_the_hidden_marker_is_the_first_line(name: str) -> None:
    assert markdown(REVIEWS[name]).splitlines()[0] == marker_line(REVIEWS[name])


@pytest.mark.parametrize("limit", [MOST_CHARACTERS, 20_000, 6_000, 2_500, 900])
def test_details_are_cut_first_and_the_verdict_never(limit: int) -> None:
    text = markdown(large_review(runs=50, resources=500), limit=limit)
    whole = markdown(large_review(runs=50, resources=500), limit=10**9)
    assert len(text) <= limit
    assert text.split("\n\n")[:3] == whole.split("\n\n")[:3]
    assert text.count("<details>") == text.count("</details>")
    assert ("_Left out for length" in text) == (limit < MOST_CHARACTERS)
    assert ("#### Rules" in text) == (limit > 2_500)


def test_fifty_runs_and_5000_resources_take_a_moment() -> None:
    large = large_review()
    started = time.process_time()
    text = markdown(large)
    seconds = time.process_time() - started
    assert len(text) <= MOST_CHARACTERS
    assert seconds < 2.0, "a third of a second on an idle processor"
    assert text.count("| `specs/team-") >= 40


def test_what_is_hostile_stays_text() -> None:
    page = shown(markdown(REVIEWS["hostile"]))
    assert set(elements(page)) <= OWN
    assert page.count("<details>") == page.count("</details>") == page.count("<summary>")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", page)


def with_text(text: str) -> Review:
    """The same review, whatever the text: only its words differ."""
    odd = cost(
        "aws:ec2/instance:Instance",
        text,
        part(text, text, 1.0, 2.0, assumed=(text,)),
        part("b", "h", None, None, why_unknown=text),
    )
    changed = compared(
        text,
        rlcef_plan(),
        rlcef_plan(spec={"a": text}),
        drivers=(Driver(field=text, before=text, after="x", usd_change=1.0),),
    )
    invalid = SpecChange(path=text, status="affected", before=None, after=None, problem=f"x{text}", reached_by=(text,))
    return review(
        id=text,
        head="a" + text,
        book="b" + text,
        specs=(changed, invalid),
        infrastructure=InfrastructureChange(stacks=(text,), changes=(moved("create", None, odd),), notes=("c" + text,)),
        findings=(finding(text, message=text, why="d" + text, file=text),),
        notes=("e" + text,),
    )


PIECES = [
    *"`|<>&@#[]()!*_~\\\n\r\t\"'$:-+=.1 ab",
    "-->",
    "</details>",
    "<b>",
    "```",
    "@a ",
    "#1 ",
    "http://a.example ",
    "\n\n",
    "\n# ",
    "\u202e",
    "\x1b",
]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=10).map("".join))
def test_no_element_stems_from_input(text: str) -> None:
    plain = elements(shown(markdown(with_text("x"))))
    assert elements(shown(markdown(with_text(f"x{text}")))) == plain


def test_unknown_is_a_word_and_never_zero() -> None:
    text = markdown(REVIEWS["infrastructure"])
    assert "| `scratch` (fsx LustreFileSystem) | new |  | unknown | unknown |" in text
    assert "PERSISTENT&#95;2" not in text, "inside a word an underscore is no mark-up"
    assert "Not known: `scratch` (fsx LustreFileSystem): storage: PERSISTENT_2 at 500 MB/s/TiB" in text
    assert re.search(r"\*\*All resources\*\* \|  \| [^|]+ \| \*\*at least \$", text)
    assert "$0" not in text.replace("$0.", "")


def test_a_change_of_nothing_is_one_line() -> None:
    assert len(markdown(REVIEWS["nothing"]).strip().splitlines()) == 3, "the marker, an empty line and the line"


def test_the_hostile_text_reaches_every_place() -> None:
    """So that the test of it tests something."""
    assert markdown(REVIEWS["hostile"]).count("onerror") >= 25
    assert HOSTILE.count("\n") == 3
    assert DOUBLED.difference is not None


def test_several_stacks_have_a_sum_each() -> None:
    machine = part("m5.large, on demand", "hour", 730.0, 0.1)
    one = cost("aws:ec2/instance:Instance", "a", machine)
    resource = replace(one.resource, urn=one.resource.urn.replace("prod::fleet", "dev::site"))
    two = replace(one, resource=resource, parts=(machine, machine))
    changes = (moved("create", None, one), moved("create", None, two))
    text = markdown(review(infrastructure=InfrastructureChange(stacks=("fleet/prod", "site/dev"), changes=changes)))
    assert "This change adds infrastructure that costs $219 a month" in text
    assert "- `fleet/prod`: $0 → $73.00 (+$73.00)" in text
    assert "- `site/dev`: $0 → $146 (+$146)" in text


def bounded(before: float, after: float, *, open_before: bool = False, open_after: bool = False) -> SpecChange:
    """A run whose bill has a part without a price at an end."""
    plans = [
        rlcef_plan(usd=band(usd, usd, usd), at_least=at_least)
        for usd, at_least in ((before, open_before), (after, open_after))
    ]
    return compared("a.yaml", *plans)


def test_what_has_no_price_bounds_a_change_from_one_side_at_most() -> None:
    more = spec_usd(bounded(10.0, 20.0, open_after=True))
    assert (more.known_usd, more.change_at_least) == (10.0, True)
    assert spec_usd(bounded(20.0, 10.0, open_after=True)).known_usd is None, "what has no price may cost more than 10"
    assert spec_usd(bounded(20.0, 10.0, open_before=True)).known_usd is None
    assert spec_usd(bounded(10.0, 20.0, open_before=True)).known_usd is None
    total = runs_usd([bounded(10.0, 20.0, open_after=True), bounded(90.0, 50.0)])
    assert (total.known_usd, total.change_at_least, total.unknown) == (-40.0, False, 1)
    total = runs_usd([bounded(10.0, 20.0, open_after=True), bounded(10.0, 50.0)])
    assert (total.known_usd, total.change_at_least, total.unknown) == (50.0, True, 0)


def test_several_problems_of_a_file_are_one_line_without_their_hints() -> None:
    problem = "2 problems in the run spec\n  a.yaml:1:1: it needs a name\n    Name of the run.\n\n  a.yaml:1:9: no model\n    Pick\n      one."
    spec = SpecChange(path="a.yaml", status="added", before=None, after=None, problem=problem, problem_line=1)
    text = markdown(review(specs=(spec,)))
    assert (
        "- `a.yaml`, line 1: 2 problems in the run spec · a.yaml:1:1: it needs a name · a.yaml:1:9: no model\n" in text
    )
    assert "### ❌ The cost of this change is unknown: its runs can't be planned" in text
