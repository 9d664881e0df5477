"""What other programs read of a review: our JSON, SARIF and Infracost's JSON; and the page for the terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import validator_for
from sample_reviews import AT, REVIEWS, RUN, finding, hostile_review, large_review, review

from clusterctl.json_text import json_text
from clusterctl.plan_service import Planner, compare_all, open_source
from clusterctl.review.as_json import SCHEMA, review_data
from clusterctl.review.comment import markdown
from clusterctl.review.infracost import infracost_data
from clusterctl.review.sarif import sarif_data
from clusterctl.review.terminal_text import text
from clusterctl.review.totals import resource_moves
from clusterctl.review.value import Finding, SpecChange
from clusterctl.ui.formats import usd
from clusterctl.ui.terminal import Terminal

Golden = Callable[[str, str], None]
SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"
WIDE = Terminal(columns=140, colour=False, interactive=False)
ALL = pytest.mark.parametrize("name", REVIEWS)


def written(data: Any) -> Any:
    """As another program reads it."""
    return json.loads(json_text(data))


def assert_valid(data: Any, schema_file: str) -> None:
    schema = json.loads((SCHEMAS / schema_file).read_text("utf-8"))
    validator = validator_for(schema)
    validator(schema).validate(written(data))


@ALL
def test_sarif_is_valid(name: str) -> None:
    assert_valid(sarif_data(REVIEWS[name]), "sarif-2.1.0.schema.json")


def test_sarif_marks_lines_and_suppresses_what_is_silenced() -> None:
    run = written(sarif_data(REVIEWS["findings"]))["runs"][0]
    results = {result["ruleId"]: result for result in run["results"]}
    burn = results["burn-rate"]
    assert burn["level"] == "error"
    assert burn["baselineState"] == "new"
    place = burn["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "templates/specs/rlcef.yaml", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 7},
    }
    assert results["open-cidr"]["suppressions"][0]["justification"] == "a load test until Friday (until 2026-12-04)"
    assert "physicalLocation" not in results["unencrypted-disk"]["locations"][0]
    assert results["unencrypted-disk"]["baselineState"] == "unchanged"
    assert "suppressions" not in burn
    assert run["tool"]["driver"]["rules"][burn["ruleIndex"]]["id"] == "burn-rate"


def test_a_finding_keeps_its_fingerprint_where_its_line_moves() -> None:
    def fingerprint(found: Finding) -> str:
        return str(sarif_data(review(findings=(found,)))["runs"][0]["results"][0]["partialFingerprints"])

    assert fingerprint(finding("a", line=1)) == fingerprint(finding("a", line=90))
    assert fingerprint(finding("a", line=1)) != fingerprint(finding("b", line=1))


def test_sarif_makes_no_link_of_a_name() -> None:
    sarif = written(sarif_data(hostile_review()))
    texts = [result["message"]["text"] for result in sarif["runs"][0]["results"]]
    assert all(re.search(r"(?<!\\)\[[^\]]*\]\(", found) is None for found in texts)
    assert any(r"\[l](javascript:a)" in found for found in texts)


@ALL
def test_infracost_json_is_valid(name: str) -> None:
    assert_valid(infracost_data(REVIEWS[name]), "infracost-0.2.schema.json")


@ALL
def test_infracost_sums_add_up(name: str) -> None:
    data = written(infracost_data(REVIEWS[name]))
    for project in data["projects"]:
        for end in ("pastBreakdown", "breakdown"):
            parts = [resource["monthlyCost"] for resource in project[end]["resources"]]
            known = sum((Decimal(part) for part in parts if part is not None), Decimal())
            assert math.isclose(float(project[end]["totalMonthlyCost"] or 0), float(known), abs_tol=1e-6)
        before, after, change = (project[end]["totalMonthlyCost"] for end in ("pastBreakdown", "breakdown", "diff"))
        if change is not None:
            assert math.isclose(float(change), float(after) - float(before), abs_tol=1e-6)
    known = [project["breakdown"]["totalMonthlyCost"] for project in data["projects"]]
    assert math.isclose(float(data["totalMonthlyCost"] or 0), sum(float(part or 0) for part in known), abs_tol=1e-6)


def test_infracost_money_is_text_and_unknown_is_null() -> None:
    data = written(infracost_data(REVIEWS["infrastructure"]))
    [project] = data["projects"]
    assert project["name"] == "fleet/prod"
    by_name = {resource["name"]: resource for resource in project["breakdown"]["resources"]}
    storage, backups = by_name["scratch"]["costComponents"]
    assert (storage["price"], storage["monthlyCost"], storage["priceNotFound"]) == (None, None, True)
    assert (backups["price"], backups["usageBased"], backups["monthlyCost"]) == ("0.05", True, None)
    assert by_name["bastion"]["costComponents"][0]["monthlyCost"] == "60.736"
    assert by_name["bastion"]["costComponents"][0]["hourlyCost"] == "0.0832"
    assert [resource["name"] for resource in project["breakdown"]["freeResources"]] == ["role"]
    assert project["summary"]["noPriceResourceCounts"] == {"aws:fsx/lustreFileSystem:LustreFileSystem": 1}
    difference = {resource["name"]: resource["monthlyCost"] for resource in project["diff"]["resources"]}
    assert difference["old-address"] == "-3.65"
    assert difference["gpu"] == "40179.2"
    assert "cluster" not in difference


def test_a_run_without_a_plan_is_unknown_and_not_free() -> None:
    projects = written(infracost_data(REVIEWS["infeasible_and_invalid"]))["projects"]
    by_name = {project["name"]: project for project in projects}
    for name in ("specs/too-big.yaml", "specs/broken.yaml"):
        assert by_name[name]["pastBreakdown"]["totalMonthlyCost"] is not None
        assert by_name[name]["breakdown"]["totalMonthlyCost"] is None
        assert by_name[name]["diff"]["totalMonthlyCost"] is None
        assert by_name[name]["diff"]["resources"] == []


@ALL
def test_json_holds_all_and_the_same_sums(name: str) -> None:
    found = REVIEWS[name]
    data = written(review_data(found))
    assert data["schema_name"] == SCHEMA
    assert len(data["specs"]) == len(found.specs)
    assert len(data["findings"]) == len(found.findings)
    assert data["exit_code"] == found.exit_code
    if found.infrastructure is not None:
        assert len(data["infrastructure"]["resources"]) == len(found.infrastructure.changes)
        assert data["infrastructure"]["month"]["usd_change"] == resource_moves(found.infrastructure).total.known_usd


def test_json_looks_as_agreed(golden: Golden) -> None:
    golden("review/findings.json", json_text(review_data(REVIEWS["findings"]), indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("name", ["several", "findings", "infeasible_and_invalid"])
def test_pages_look_as_agreed(golden: Golden, name: str, columns: int) -> None:
    page = text(REVIEWS[name], Terminal(columns=columns, colour=False, interactive=False))
    assert all(len(line) <= columns for line in page.splitlines())
    golden(f"review/{name}_{columns}.txt", page)


def test_a_page_of_a_hostile_review_is_printable() -> None:
    page = text(hostile_review(), Terminal(columns=100, colour=False, interactive=False))
    assert all(line.isprintable() for line in page.split("\n"))


def test_a_large_review_is_written_in_full() -> None:
    large = large_review(runs=3, resources=400)
    assert len(written(review_data(large))["infrastructure"]["resources"]) == 400
    assert len(written(infracost_data(large))["projects"][-1]["breakdown"]["resources"]) == 400
    assert_valid(sarif_data(large), "sarif-2.1.0.schema.json")


@given(st.text(max_size=30))
def test_any_file_name_makes_valid_sarif(name: str) -> None:
    data = sarif_data(review(findings=(finding(name, file=name, message=name, subject=name),)))
    assert_valid(data, "sarif-2.1.0.schema.json")


def test_real_plans_give_the_same_dollars_in_every_format(repo: Path) -> None:
    source = open_source(str(repo / "templates" / "specs" / "rlcef.yaml"))
    [found] = compare_all(Planner(now=AT), source, changes=["steps=200"], against=None)
    spec = SpecChange(path=RUN, status="changed", before=found.base, after=found.other, difference=found)
    made = review(specs=(spec,))
    before, after = found.base.usd.p50, found.other.usd.p50
    assert after < before
    for page in (text(made, WIDE), markdown(made)):
        assert usd(before) in page
        assert usd(after) in page
        assert "lowers the cost of a run by" in page
    infracost = written(infracost_data(made))
    assert math.isclose(float(infracost["pastTotalMonthlyCost"]), before, rel_tol=1e-6)
    assert math.isclose(float(infracost["diffTotalMonthlyCost"]), after - before, rel_tol=1e-6)
    assert math.isclose(written(review_data(made))["runs"]["usd_change"], after - before, rel_tol=1e-9)


def test_the_example_in_the_docs_is_what_a_review_says(repo: Path) -> None:
    page = (repo / "docs" / "review-output.md").read_text("utf-8")
    example = markdown(REVIEWS["findings"]).partition("\n\n")[2].partition("<details>")[0].strip()
    assert example in page


def test_every_field_of_the_json_is_in_the_docs(repo: Path) -> None:
    page = (repo / "docs" / "review-output.md").read_text("utf-8")

    def names(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    data = written(review_data(REVIEWS["findings"]))
    for spec in data["specs"]:  # parts that docs/plan-json.md describes
        for end in ("before", "after"):
            spec[end] |= {"pools": [], "bill": [], "unpriced": [], "prices": {}}
    assert {name for name in names(data) if f"`{name}`" not in page} == set()
