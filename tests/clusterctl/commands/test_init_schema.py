"""`init` and `schema`: what they print, what they write, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clusterctl.commands.init import TEMPLATE_OF_KIND, init, template_paths
from clusterctl.commands.schema import schema
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.specfile.manual import run_spec_manual
from clusterctl.specfile.spec_file import read_spec
from planners.spec.run_spec import STAGE_KINDS


@pytest.mark.parametrize("kind", STAGE_KINDS)
def test_every_kind_gives_a_spec_that_has_it(kind: str, tmp_path: Path) -> None:
    init(kind, out=tmp_path / "run.yaml")
    assert kind in {stage.kind for stage in read_spec(tmp_path / "run.yaml").stages}


def test_kinds_and_templates_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    init(None)
    listed = capsys.readouterr().out
    assert all(word in listed for word in (*STAGE_KINDS, *template_paths()))
    init(None, as_json=True)
    assert json.loads(capsys.readouterr().out)["kinds"] == TEMPLATE_OF_KIND


def test_without_a_file_the_spec_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    init("swebench")
    assert capsys.readouterr().out == template_paths()["swebench"].read_text(encoding="utf-8")


def test_a_file_that_exists_stays_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("mine")
    with pytest.raises(ClusterctlError, match="exists") as caught:
        init("rlcef", out=path)
    assert (path.read_text(), caught.value.hint) == ("mine", "--force overwrites it")
    init("rlcef", out=path, force=True)
    assert path.read_text().startswith("# yaml-language-server")


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown kind or template 'rlcfe'; did you mean rlcef\?"):
        init("rlcfe")
    with pytest.raises(SpecError, match="unknown kind or template"):
        init("../../etc/passwd")


def test_the_schema_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema()
    printed = capsys.readouterr().out
    assert json.loads(printed)["$id"] == "urn:clusterctl:run-spec:1"
    schema(out=tmp_path / "run-spec.schema.json")
    assert (tmp_path / "run-spec.schema.json").read_text(encoding="utf-8") == printed
    capsys.readouterr()
    schema(markdown=True)
    assert capsys.readouterr().out == run_spec_manual()


def test_the_real_command_says_where_it_wrote(clusterctl: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    written = clusterctl("init", "rlcef", "--out", "run.yaml")
    assert (written.returncode, written.stdout, written.stderr) == (
        0,
        "",
        "wrote run.yaml; next: clusterctl plan run.yaml\n",
    )
    again = clusterctl("init", "rlcef", "--out", "run.yaml")
    assert (again.returncode, again.stderr) == (1, "error: run.yaml exists\n\nhint: --force overwrites it\n")


SCRIPT = """\
python3 -m verl.trainer.main_ppo data.train_batch_size=128 \\
  actor_rollout_ref.model.path=Qwen/Qwen3-8B actor_rollout_ref.rollout.n=8 \\
  actor_rollout_ref.actor.optim.lr=1e-6 trainer.n_gpus_per_node=8 trainer.total_training_steps=50
"""


def test_a_launch_script_becomes_a_spec_that_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, out = tmp_path / "run.sh", tmp_path / "run.yaml"
    script.write_text(SCRIPT)
    init(from_=str(script), out=out)
    said = capsys.readouterr().err
    assert "run.sh:1 data.train_batch_size → prompts_per_step" in said
    assert "run.sh:3 actor_rollout_ref.actor.optim.lr" in said
    assert "can't be planned" not in said
    stage = read_spec(out).stages[0]
    assert (stage.kind, getattr(stage, "steps", None)) == ("rlcef", 50)
    with pytest.raises(ClusterctlError, match="exists"):
        init(from_=str(script), out=out)
    init(from_=str(script), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["framework"], found["plan_error"]) == ("verl", None)
    expected = {
        "what": "taken",
        "where": f"{script}:1",
        "setting": "data.train_batch_size",
        "field": "prompts_per_step",
    }
    assert expected | {"why": ""} in found["taken"]


def test_what_no_fleet_can_run_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "run.sh"
    script.write_text(SCRIPT.replace("n_gpus_per_node=8", "n_gpus_per_node=7"))
    init(from_=str(script), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["plan_error"], [note["field"] for note in found["refused"]]) == (None, ["fleet.num_gpus"])
    assert "num_gpus" not in found["spec"]


def test_from_refuses_what_makes_no_sense() -> None:
    with pytest.raises(SpecError, match="--framework needs --from FILE"):
        init(framework="trl")
    with pytest.raises(SpecError, match="give either rlcef or --from, not both"):
        init("rlcef", from_="x.sh")
    with pytest.raises(SpecError, match="'slime' is not known"):
        init(from_="x.sh", framework="slime")
    with pytest.raises(SpecError, match="no such file"):
        init(from_="nothing.sh", framework="NeMo RL")
