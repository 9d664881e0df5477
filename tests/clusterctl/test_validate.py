"""`clusterctl validate`: odd files, the JSON contract, the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clusterctl.commands.validate import validate
from clusterctl.errors import SpecError

CASES = Path(__file__).resolve().parents[2] / "tools" / "fit" / "cases" / "cases.yaml"
ANSWER_FIELDS = ["id", "predicted", "published", "p10", "p90", "unit", "reason"]
SCORE_FIELDS = ["kind", "quality", "n", "median_abs_error", "p90_abs_error", "median_ratio", "band80_coverage"]

GOOD = """\
- id: one
  kind: pretrain
  quality: full
  model: meta-llama/Llama-3.1-8B
  cluster: {gpu: H100, gpus: 64}
  published: {metric: mfu, value: 0.42, unit: fraction}
"""


def run(capsys: pytest.CaptureFixture[str], path: Path, **options: Any) -> str:
    validate(str(path), **options)
    return capsys.readouterr().out


def answers(capsys: pytest.CaptureFixture[str], folder: Path, text: str) -> dict[str, Any]:
    (folder / "cases.yaml").write_text(text, "utf-8")
    loaded: dict[str, Any] = json.loads(run(capsys, folder / "cases.yaml", as_json=True))
    return loaded


def test_the_calibration_cases(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, CASES, as_json=True))
    assert list(document) == ["summary", "cases"]
    assert len(document["cases"]) == 278
    assert all(list(case) == ANSWER_FIELDS for case in document["cases"])
    assert all(list(score) == SCORE_FIELDS for score in document["summary"])
    for case in document["cases"]:
        if case["predicted"] is None:
            assert case["reason"]
            assert case["p10"] is None
        else:
            assert 0 < case["p10"] < case["predicted"] < case["p90"]


def test_kind_picks_cases(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, CASES, kind=["generate", "sandbox"], as_json=True))
    assert {score["kind"] for score in document["summary"]} == {"generate", "sandbox"}
    with pytest.raises(SpecError, match="not a kind of case"):
        validate(str(CASES), kind=["dance"])


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("- 7", "a mapping is needed"),
        ("- null", "a mapping is needed"),
        ("- {}", "kind"),
        ("- {id: a, kind: dance}", "is not one of"),
        ("- {id: a, kind: sft}", "model: not stated"),
        ("- {id: a, kind: sft, model: Gizmo}", "no size such as 7B"),
        ("- {id: a, kind: sft, model: Gizmo-7B, cluster: {gpu: TPUv4}}", "'TPUv4' is unknown"),
        ("- {id: a, kind: sft, model: Gizmo-7B}", "published.metric: not stated"),
        ("- {id: a, kind: sft, model: Gizmo-7B, published: {metric: smiles}}", "'smiles' is not predicted"),
        ("- {id: a, kind: sft, model: Gizmo-7B, published: {metric: mfu, value: .nan}}", "published.value"),
        ("- {id: a, kind: sft, model: Gizmo-7B, cluster: {gpus: lots}}", "cluster.gpus"),
        ("- {id: a, kind: evaluate, published: {metric: minutes, value: 3}}", "measured seconds"),
    ],
)
def test_what_cannot_be_predicted_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, entry: str, reason: str
) -> None:
    document = answers(capsys, tmp_path, GOOD + entry + "\n")
    assert document["cases"][0]["predicted"] is not None
    assert document["cases"][1]["predicted"] is None
    assert reason in document["cases"][1]["reason"]


def test_nulls_everywhere_are_answered(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    nulls = "".join(f"  {key}: null\n" for key in ("cluster", "train", "rollout", "sandbox", "steps", "year", "gaps"))
    document = answers(capsys, tmp_path, GOOD.replace("  cluster: {gpu: H100, gpus: 64}\n", nulls))
    assert document["cases"][0]["predicted"] is not None


def test_duplicate_ids_are_two_answers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = answers(capsys, tmp_path, GOOD + GOOD)
    assert [case["id"] for case in document["cases"]] == ["one", "one"]
    assert document["summary"][0]["n"] == 2


def test_a_mapping_with_cases_and_json_are_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    case = {"id": "x", "kind": "sandbox", "published": {"metric": "seconds", "value": 1, "unit": "s"}}
    document = answers(capsys, tmp_path, json.dumps({"cases": [case]}))
    assert document["cases"][0]["predicted"] == pytest.approx(0.55)


def test_no_cases_are_no_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert answers(capsys, tmp_path, "[]") == {"summary": [], "cases": []}


@pytest.mark.parametrize("text", ["", "just words", "{a: 1}", "- {id: a, id: b}", "- [", "\x00"])
def test_a_file_that_holds_no_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "cases.yaml").write_text(text, "utf-8")
    with pytest.raises(SpecError):
        validate(str(tmp_path / "cases.yaml"))


def test_extreme_numbers_do_not_break_the_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    entry = (
        "- {id: a, kind: rl_step, model: Gizmo-7B, cluster: {gpu: H100, gpus: 1e18}, train: {tp: 1e18, dp: 1e-9},"
        " rollout: {prompts_per_step: 1e18, response_tokens: 1e18}, published: {metric: step_seconds, value: 1}}\n"
    )
    document = answers(capsys, tmp_path, GOOD + entry)
    assert len(document["cases"]) == 2


def test_the_table_shows_ratio_verdict_and_reasons(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "cases.yaml").write_text(GOOD + "- {id: odd, kind: dance}\n", "utf-8")
    out = run(capsys, tmp_path / "cases.yaml")
    assert "inside" in out
    assert "median |error|" in out
    assert "no prediction for odd: kind 'dance' is not one of" in out
    assert "2 cases, 1 without a prediction" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("no prediction")) <= 120
