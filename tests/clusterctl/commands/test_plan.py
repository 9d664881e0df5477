"""`clusterctl plan` as a person runs it, on the price book that ships."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clusterctl import cli, plan_service
from clusterctl.commands.plan import with_bare_explain
from clusterctl.specfile.plan_file import parse_plan
from clusterctl.ui.spans import width
from planners.inputs import PlanInputs
from planners.plan import value
from planners.plan.build import build_plan
from planners.spec.run_spec import RunSpec

Run = Callable[..., subprocess.CompletedProcess[str]]
DAY = ("--now", "2026-11-23")


class Done(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


Plan = Callable[..., Done]
MADE: dict[str, value.Plan] = {}


def made_once(spec: RunSpec, inputs: PlanInputs, **asked: Any) -> value.Plan:
    """`build_plan`: what is tested here is the command around it, mostly on the same plan."""
    same = repr((spec, spec.model_fields_set, inputs.gpu_offers.height, asked))
    if same not in MADE:
        MADE[same] = build_plan(spec, inputs, **asked)
    return MADE[same]


@pytest.fixture
def plan(work_folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Plan:
    """`plan("rlcef", "--json")` in a folder with templates/, in this process: starting one takes half a second."""
    monkeypatch.chdir(work_folder)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CLUSTERCTL_HOME", str(work_folder / "home"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(plan_service, "build_plan", made_once)

    def run(spec: str, *args: str) -> Done:
        file = f"templates/specs/{spec}.yaml" if re.fullmatch(r"[a-z0-9-]+", spec) else spec
        with pytest.raises(SystemExit) as stopped:
            cli.main(["plan", file, *args])
        out, err = capfdbinary.readouterr()
        return Done(int(stopped.value.code or 0), out.decode(), err.decode())

    return run


def test_the_page_goes_to_stdout_and_fits(plan: Plan) -> None:
    done = plan("rlcef", *DAY)
    assert done.code == 0
    assert done.err == ""
    assert done.out.startswith("templates/specs/rlcef.yaml · GRPO on Qwen2.5-Coder-32B-Instruct, 400 steps")
    assert "\x1b" not in done.out
    assert max(width(line) for line in done.out.splitlines()) <= 100
    for section in ("\n  pool ", "\n  phase ", "\n  bill ", "\n      alternatives ", "\n  sensitivity ", "\n  next "):
        assert section in done.out


@pytest.mark.parametrize("template", ["swe-agent-api", "synthetic-triples", "fleet-10000", "humaneval", "openrlhf-ppo"])
@pytest.mark.parametrize("columns", ["80", "200"])
def test_other_kinds_fit_too(plan: Plan, template: str, columns: str) -> None:
    done = plan(template, "--verbose", "--width", columns, *DAY)
    assert done.code == 0
    assert max(width(line) for line in done.out.splitlines()) <= int(columns)


def test_colour_is_asked_for(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in plan("rlcef", "--color", "always", *DAY).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in plan("rlcef", *DAY).out
    assert "\x1b[" not in plan("rlcef", "--color", "never", *DAY).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in plan("rlcef", *DAY).out


def test_json_out_and_the_plan_file_are_one_plan(plan: Plan, tmp_path: Path) -> None:
    done = plan("rlcef", "--json", "--out", "plan.json", *DAY)
    assert done.err == "wrote plan.json\n"
    assert (tmp_path / "plan.json").read_text(encoding="utf-8") == done.out
    assert parse_plan(done.out, name="stdout").name == "rlcef-32b"


def test_a_plan_file_is_shown_as_it_is(plan: Plan) -> None:
    page = plan("rlcef", "--out", "plan.json", *DAY).out
    shown = plan("plan.json").out
    below_the_name = slice(page.index("\n\n"), page.index("\n  based on"))
    assert page[below_the_name] in shown
    again = plan("plan.json", "--what-if", "steps=200", *DAY)
    assert again.code == 0
    assert re.search(r"stages\.rlcef\.steps +400 +200", again.out)


def test_the_comment_begins_with_its_marker(plan: Plan) -> None:
    text = plan("rlcef", "--markdown", *DAY).out
    assert re.match(
        r"<!-- clusterctl:plan v=1 id=rlcef-32b plan=[0-9a-f]{16} valid-at=2026-11-23T00:00:00Z -->\n", text
    )
    assert "valid-at" in plan("rlcef", "--markdown", "--what-if", "steps=200", *DAY).out


def test_the_same_day_gives_the_same_plan(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_service, "build_plan", build_plan)
    assert plan("rlcef", "--json", *DAY).out == plan("rlcef", "--json", *DAY).out


def test_a_number_is_explained_down_to_its_source(plan: Plan) -> None:
    done = plan("rlcef", "--explain", "usd", "--verbose", *DAY)
    assert done.out.startswith("dollars of the run  $")
    for wanted in ("price of GPU nodes", "from the spec: stage rlcef", "datasheet", "docs/ACCURACY.md"):
        assert wanted in done.out
    overview = plan("rlcef", "--explain", *DAY).out
    for wanted in ("rejected", "assumptions, for what the spec leaves open", "--explain ID"):
        assert wanted in overview


def test_every_id_of_a_real_plan_can_be_explained(plan: Plan, tmp_path: Path) -> None:
    plan("synthetic-triples", "--out", "plan.json", *DAY)
    made = parse_plan((tmp_path / "plan.json").read_text("utf-8"), name="plan.json")
    assert not [inner for term in made.terms.values() for inner in term.inputs if inner not in made.terms]
    for stage in made.stages:
        assert plan("plan.json", "--explain", f"hours.{stage.name}").code == 0
    overview = plan("plan.json", "--explain", "--verbose").out
    assert all(identity in overview for identity in made.terms)
    assert not re.search(r"phase\.\S+\.phase\.", overview), "each phase has one term"


def test_an_unknown_id_names_the_nearest(plan: Plan) -> None:
    done = plan("rlcef", "--explain", "phase.rlcef.generat", *DAY)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "error: no number of this plan has the id `phase.rlcef.generat`\n\nhint: nearest: `phase.rlcef.gen"
    )


def test_several_changes_alone_and_together(plan: Plan) -> None:
    done = plan("rlcef", "--what-if", "steps=200", "--what-if", "samples_per_prompt=8", *DAY)
    assert done.code == 0
    assert "what if steps=200 alone" in done.out
    assert "all together" in done.out
    document = json.loads(plan("rlcef", "--what-if", "steps=200", "--json", *DAY).out)
    dollars = next(row for row in document["rows"] if row["name"] == "dollars")
    assert dollars["other"] < dollars["base"]
    assert document["spec"] == [{"field": "stages.rlcef.steps", "base": "400", "other": "200"}]


def test_comparing_has_the_other_file_as_baseline(plan: Plan) -> None:
    plan("rlcef", "--out", "old.json", "--what-if", "steps=800", *DAY)
    done = plan("rlcef", "--compare", "old.json", *DAY)
    assert done.out.startswith("templates/specs/rlcef.yaml against old.json: −$")
    assert re.search(r"stages\.rlcef\.steps +800 +400", done.out)


def test_an_alternative_can_be_picked(plan: Plan) -> None:
    first = parse_plan(plan("rlcef", "--json", *DAY).out, name="first")
    picked = parse_plan(plan("rlcef", "--json", "--pick", "2", *DAY).out, name="picked")
    assert picked.hours == first.alternatives[1].hours
    done = plan("rlcef", "--pick", "99", *DAY)
    assert done.code == 2
    assert "--pick 99: there is no alternative 99" in done.err


def test_the_objective_can_be_another(plan: Plan) -> None:
    cheap = parse_plan(plan("rlcef", "--json", "--objective", "cost", *DAY).out, name="cost")
    fast = parse_plan(plan("rlcef", "--json", "--objective", "time", *DAY).out, name="time")
    assert fast.hours.p50 < cheap.hours.p50
    assert fast.usd.p50 > cheap.usd.p50


def test_pictures_are_written(plan: Plan, tmp_path: Path) -> None:
    done = plan("rlcef", "--plot", "pictures", *DAY)
    assert done.err == "wrote pictures/frontier.svg\nwrote pictures/step-rlcef.svg\n"
    assert (tmp_path / "pictures" / "frontier.svg").is_file()


def test_pictures_from_a_home_that_cannot_be_written_warn_of_nothing(clusterctl: Run, tmp_path: Path) -> None:
    assert clusterctl("init", "quickstart", "--out", "run.yaml").returncode == 0
    done = clusterctl("plan", "run.yaml", "--plot", "pictures", HOME="/proc/nowhere", CLUSTERCTL_HOME=str(tmp_path))
    assert done.stderr == "wrote pictures/frontier.svg\nwrote pictures/step-rlcef.svg\n"


def test_what_cannot_be_had_exits_3_and_names_the_nearest(plan: Plan, tmp_path: Path) -> None:
    done = plan("rlcef", "--what-if", "limits.hours=0.5", "--out", "plan.json", *DAY)
    assert (done.code, done.out) == (3, "")
    assert re.match(r"error: templates/specs/rlcef\.yaml with limits\.hours=0\.5: .*\n\nhint: the nearest: ", done.err)
    assert not (tmp_path / "plan.json").exists()


def test_old_prices_are_refused_when_asked(plan: Plan) -> None:
    done = plan("rlcef", "--max-price-age", "1", *DAY)
    assert (done.code, done.out) == (4, "")
    assert re.match(r"error: the price of .+ is \d+ days old; --max-price-age allows 1\n", done.err)
    assert plan("rlcef", "--max-price-age", "100000", *DAY).code == 0
    machines = plan("rlcef", "--max-price-age", "400", *DAY)
    assert (machines.code, "boot disks" in machines.err) == (4, True), "disks of 2024 count as machines do"


def test_an_edited_plan_exits_5(plan: Plan, tmp_path: Path) -> None:
    plan("rlcef", "--out", "plan.json", *DAY)
    file = tmp_path / "plan.json"
    file.write_text(
        file.read_text(encoding="utf-8").replace('"name": "rlcef-32b"', '"name": "mine"', 1), encoding="utf-8"
    )
    done = plan("plan.json")
    assert (done.code, done.out) == (5, "")
    assert "was edited" in done.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--json", "--markdown"), "--json, --markdown and --explain exclude each other"),
        (("--explain", "usd", "--what-if", "steps=1"), "--explain works on one plan, not with --what-if or --compare"),
        (("--now", "yesterday"), "--now 'yesterday' is not a date"),
        (("--what-if", "steps=many"), "--what-if steps=many"),
        (("--compare", "none.yaml"), "none.yaml: no such file"),
        (("--width", "20"), "--width"),
    ],
)
def test_wrong_arguments_exit_2(plan: Plan, args: tuple[str, ...], message: str) -> None:
    done = plan("rlcef", *args)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_terminal_without_utf8_gets_ascii(clusterctl: Run, repo: Path) -> None:
    done = clusterctl("plan", str(repo / "templates" / "specs" / "rlcef.yaml"), PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert "\n  bill " in done.stdout


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["run.yaml", "--explain"], ["run.yaml", "--explain", "?"]),
        (["run.yaml", "--explain", "usd"], ["run.yaml", "--explain", "usd"]),
        (["--explain", "run.yaml"], ["--explain", "?", "run.yaml"]),
        (["--explain", "--verbose", "x"], ["--explain", "?", "--verbose", "x"]),
        (["--", "--explain"], ["--", "--explain"]),
    ],
)
def test_explain_may_stand_alone(args: list[str], wanted: list[str]) -> None:
    assert with_bare_explain(args) == wanted
