"""A review of real changes in git: both ends planned with the same prices, what moved the dollars, hostile input."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from git_repository import Repository, git, new_repository, spec

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.price_files import write_book
from clusterctl.plan_service import Planner, open_source
from clusterctl.review import compare, two_processes
from clusterctl.review.review import ReviewRequest, make_review
from clusterctl.review.value import Review, SpecChange
from clusterctl.specfile.plan_file import plan_text

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def reviewed(made: Repository, *paths: str, drift: bool = False) -> Review:
    return make_review(
        ReviewRequest(now=NOW, folder=made.root, base="main", paths=paths, with_price_drift=drift)
    )  # fmt: skip


def by_path(review: Review) -> dict[str, SpecChange]:
    return {change.path: change for change in review.specs}


def branched(root: Path) -> Repository:
    made = new_repository(root)
    made.write(
        one=spec("one"), two=spec("two"), comment=spec("comment"), gone=spec("gone") + "".join(f"# {i}\n" for i in range(40)), poor=spec("poor"),
        runs__measured=spec("measured").replace("{mean: 120}", "{file: lengths.csv}"),
    )  # fmt: skip
    made.put("runs/lengths.csv", "100\n140\n")
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    return made


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Review:
    made = branched(tmp_path_factory.mktemp("review") / "r")
    made.write(
        one=spec("one", samples=80_000),
        two=spec("two", samples=80_000).replace("seq_len: 256", "seq_len: 512"),
        comment=spec("comment") + "# nothing that counts\n",
        poor=spec("poor", samples=80_000_000, more="limits: {usd: 0.01}\n"),
        new=spec("new"),
        wrong=spec("wrong", samples="many"),
    )
    made.put("runs/lengths.csv", "100\n240\n")
    (made.root / "gone.yaml").unlink()
    git(made.root, "add", "-A")
    return reviewed(made)


def test_each_end_is_planned_and_what_says_the_same_is_left_out(review: Review) -> None:
    changes = by_path(review)
    assert {path: change.status for path, change in changes.items()} == {
        "one.yaml": "changed", "two.yaml": "changed", "poor.yaml": "changed", "new.yaml": "added", "wrong.yaml": "added",
        "gone.yaml": "removed", "runs/measured.yaml": "affected",
    }  # fmt: skip
    one = changes["one.yaml"]
    assert one.before is not None
    assert one.after is not None
    assert one.difference is not None
    assert one.difference.usd_change == pytest.approx(one.after.usd.p50 - one.before.usd.p50)
    assert one.after.usd.p50 > one.before.usd.p50
    assert changes["gone.yaml"].after is None
    assert changes["new.yaml"].before is None
    assert changes["runs/measured.yaml"].reached_by == ("runs/lengths.csv",)
    assert changes["runs/measured.yaml"].difference is not None


def test_a_plan_of_a_review_has_the_numbers_of_plan(review: Review, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(spec("one", samples=80_000))
    alone = Planner(now=NOW).plan(open_source(str(tmp_path / "one.yaml")))
    after = by_path(review)["one.yaml"].after
    assert after is not None
    left_out = {"id", "sensitivity", "terms", "elsewhere", "decided_by"}
    assert after.model_dump(exclude=left_out) == alone.model_dump(exclude=left_out)


def test_a_wrong_spec_is_said_with_line_and_reason(review: Review) -> None:
    wrong = by_path(review)["wrong.yaml"]
    assert wrong.problem_line == 5
    assert wrong.problem.startswith("stages[0].samples must be")
    assert review.exit_code == 1


def test_a_run_that_is_not_feasible_is_said_with_the_nearest(review: Review) -> None:
    poor = by_path(review)["poor.yaml"]
    assert poor.is_infeasible
    assert "no fleet" in poor.problem
    assert poor.before is not None


def test_the_inputs_that_moved_it_are_planned_alone(review: Review) -> None:
    one, two = by_path(review)["one.yaml"], by_path(review)["two.yaml"]
    assert one.difference is not None
    assert [(d.field, d.before, d.after) for d in one.drivers] == [("stages.sft.samples", "8", "80000")]
    assert one.drivers[0].usd_change == one.difference.usd_change
    assert [d.field for d in two.drivers] == ["stages.sft.samples", "stages.sft.seq_len"]
    changes = [abs(d.usd_change or 0) for d in two.drivers]
    assert changes == sorted(changes, reverse=True)
    assert two.drivers[0].usd_change == pytest.approx(one.drivers[0].usd_change)


def test_beyond_so_many_plans_no_further_drivers_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MOST_DRIVER_PLANS", 3)
    made = branched(tmp_path / "r")
    for name, samples in (("one", 80_000), ("two", 40_000)):
        made.put(f"{name}.yaml", spec(name, samples=samples).replace("seq_len: 256", "seq_len: 512"))
    review = reviewed(made)
    assert [bool(change.drivers) for change in review.specs] == [True, False]
    assert "not for two.yaml" in review.notes[0]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("/etc/passwd", "names a file outside of the checkout"),
        ("~/.ssh/id_rsa", "names a file outside of the checkout"),
        ("../../../etc/passwd", "leads out of the checkout"),
        ("link.csv", "link.csv is a symbolic link: a review follows none"),
        ("folder/lengths.csv", "folder is a symbolic link: a review follows none"),
        ("missing.csv", "missing.csv: no such file in the checkout"),
    ],
)
@pytest.mark.parametrize("field", ["sample_tokens", "model"])
def test_a_spec_reads_nothing_outside_of_the_checkout(tmp_path: Path, what: str, said: str, field: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "lengths.csv").write_text("SECRET\n")
    made = branched(tmp_path / "r")
    (made.root / "link.csv").symlink_to(tmp_path / "secret" / "lengths.csv")
    (made.root / "link.json").symlink_to(tmp_path / "secret" / "lengths.csv")
    (made.root / "folder").symlink_to(tmp_path / "secret")
    if field == "model":
        name = what.removesuffix(".csv") + ".json"
        text, said = spec("one", model=name), said.replace(".csv", ".json")
    else:
        text = spec("one").replace("{mean: 120}", f"{{file: {what}}}")
    made.put("one.yaml", text)
    git(made.root, "add", "-A")
    change = by_path(reviewed(made, "one.yaml"))["one.yaml"]
    assert said in change.problem
    assert "SECRET" not in change.problem
    assert change.problem_line == (4 if field == "model" else 6)


def test_a_plan_file_is_planned_from_the_spec_inside(tmp_path: Path) -> None:
    made = branched(tmp_path / "r")
    for name, samples in (("old.yaml", 8), ("new.yaml", 80_000)):
        (tmp_path / name).write_text(spec("p", samples=samples))
    old, new = (Planner(now=NOW).plan(open_source(str(tmp_path / name))) for name in ("old.yaml", "new.yaml"))
    made.put("plan.json", plan_text(old))
    made.commit()
    git(made.root, "branch", "-f", "main")
    made.put("plan.json", plan_text(new))
    change = by_path(reviewed(made, drift=True))["plan.json"]
    assert change.difference is not None
    assert change.difference.usd_change == pytest.approx(new.usd.p50 - old.usd.p50)
    assert change.usd_price_drift == 0, "a user's own prices do not drift"
    made.put("plan.json", plan_text(new).replace('"nodes": 1', '"nodes": 2'))
    edited = by_path(reviewed(made))["plan.json"]
    assert "was edited" in edited.problem


def test_a_further_process_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = branched(tmp_path / "r")
    for name in ("one", "two", "gone"):
        made.put(f"{name}.yaml", spec(name, samples=80_000))
    alone = reviewed(made)
    monkeypatch.setattr(two_processes, "ENOUGH", 1)
    monkeypatch.setattr(two_processes.os, "sched_getaffinity", lambda _: {0, 1})
    assert reviewed(made) == alone


def test_the_command_has_codes_of_its_own(tmp_path: Path, in_process: object, monkeypatch: pytest.MonkeyPatch) -> None:
    run = in_process
    assert callable(run)
    made = branched(tmp_path)
    made.write(two=spec("two", samples=16))
    done = run("review", "--base", "main", "--json", "--out", "review.json", "--sarif", "review.sarif")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert json.loads((tmp_path / "review.json").read_text())["specs"][0]["path"] == "two.yaml"
    assert json.loads((tmp_path / "review.sarif").read_text())["version"] == "2.1.0"
    made.write(two=spec("two", samples="many"))
    assert run("review", "--base", "main").returncode == 1, "a file that can't be read, elsewhere 2"
    made.write(two=spec("two", samples=80_000_000, more="limits: {usd: 0.01}\n"))
    assert run("review", "--base", "main").returncode == 3
    for wrong in (["--basse", "main"], [], ["--base", "nothing"], ["--json", "--format", "text", "--base", "main"]):
        done = run("review", *wrong)
        assert done.returncode == 1, "a wrong command line, elsewhere 2"
        assert done.stderr.startswith("error: ")
        assert "hint: " in done.stderr


def test_names_of_files_control_neither_terminal_nor_comment(tmp_path: Path, in_process: object) -> None:
    assert callable(in_process)
    made = branched(tmp_path)
    hostile = "<img src=x>\x1b[31m|`@everyone`\n# big.yaml"
    made.put(hostile, spec("n"))
    made.put(b"caf\xe9.yaml", spec("n"))
    git(made.root, "add", "-A")
    for form in ("markdown", "text", "json", "sarif", "infracost-json"):
        done = in_process("review", "--base", "main", "--format", form)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert "\n# big" not in done.stdout
        assert "caf" in done.stdout or form == "sarif"


def test_a_changed_price_book_of_the_checkout_reaches_every_spec(tmp_path: Path) -> None:
    on_a_machine = spec("cloud", model="Qwen/Qwen2.5-Coder-1.5B")
    made = new_repository(tmp_path / "r")
    made.write(cloud=on_a_machine.partition("fleet:")[0] + "fleet: {targets: [aws], gpus: [H100]}\n")
    frames = load_book(embedded_dir()).frames()
    write_book(frames, made.root / "prices")
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    request = ReviewRequest(now=NOW, folder=made.root, base="main", book=Path("prices"))
    assert make_review(request).specs == ()
    dearer = frames.prices.with_columns(pl.col("usd_per_hour") * 2)
    write_book(replace(frames, prices=dearer), made.root / "prices")
    git(made.root, "add", "-A")
    change = by_path(make_review(request))["cloud.yaml"]
    assert change.status == "affected"
    assert "prices/gpu.parquet" in change.reached_by
    assert change.difference is not None
    assert change.before is not None
    machines = sum(pool.usd or 0.0 for pool in change.before.pools)  # the nodes of the cluster itself come on top
    assert change.difference.usd_change == pytest.approx(machines, rel=0.05)
    assert make_review(replace(request, book=None)).specs == (), "another book than the one in use"


@pytest.mark.slow
def test_fifty_changed_specs_take_seconds(tmp_path: Path, repo: Path) -> None:
    """The templates, twice, each with one number doubled or tripled: 75 plans, as the base of both is the same.  On two
    idle cores 9 s of CPU are 5 s; a busy machine counts up to three times as many for the same work."""
    import re

    made = new_repository(tmp_path / "r")
    texts = {path.name: path.read_text() for path in (repo / "templates" / "specs").glob("*.yaml")}
    assert len(texts) >= 25
    for name, text in texts.items():
        made.put(f"a/{name}", text)
        made.put(f"b/{name}", text)
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    number = re.compile(r"(?m)^(    (?:samples|steps|tokens|tasks): )(\d+)")
    for name, text in texts.items():
        made.put(f"a/{name}", number.sub(lambda m: f"{m[1]}{int(m[2]) * 2}", text, count=1) + "\n")
        made.put(f"b/{name}", number.sub(lambda m: f"{m[1]}{int(m[2]) * 3}", text, count=1) + "\n")
    made.commit()
    before = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    review = reviewed(made)
    after = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    assert len(review.specs) >= 40
    assert after - before < 20
