"""What is fuzzed: for each kind of file, a good one, the command that reads it, and where its result would be written."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

import answered
import stored
import yaml
from attack import Attack
from mutations import VALUES, broken, broken_bytes

REPO = Path(__file__).resolve().parents[2]
SPECS = sorted((REPO / "templates" / "specs").glob("*.yaml"))
CASES = REPO / "tools" / "fit" / "cases" / "cases.yaml"
CASES_EACH = 3
"""Cases in one malformed file: few, because each is also predicted."""
BOOK = REPO / "clusterctl" / "catalog" / "data" / "prices"


def book(rng: random.Random, folder: Path) -> Attack:
    """A price book with one file damaged, missing, or not a file."""
    copy = folder / "book"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(BOOK, copy)
    victim = rng.choice(sorted(copy.iterdir()))
    kind = rng.random()
    if kind < 0.1:
        victim.unlink()
    elif kind < 0.15:
        victim.unlink()
        victim.mkdir()
    elif victim.suffix == ".json":
        victim.write_bytes(broken(victim.read_bytes(), rng))
    else:
        victim.write_bytes(broken_bytes(victim.read_bytes(), rng))
    command = rng.choice((["list", "--gpu", "H100"], ["check"], ["compare", "H100"], ["history", "p5.48xlarge"]))
    return Attack(args=["prices", *command, "--book", str(copy)])


def spec(rng: random.Random, folder: Path) -> Attack:
    """A run spec with something wrong, or a wrong override of a good one."""
    original = rng.choice(SPECS)
    output = folder / "plan.json"
    file = folder / "run.yaml"
    if rng.random() < 0.2:
        key = rng.choice(
            (
                "steps",
                "stages[0].steps",
                "fleet.gpus",
                "limits.usd",
                "stages.0.response_tokens.mean",
                "x",
                "",
                "=",
                "a" * 999,
            )
        )
        return Attack(
            args=["plan", str(original), "--what-if", f"{key}={rng.choice(VALUES)!s:.300}", "--out", str(output)],
            output=output,
        )
    file.write_bytes(broken(original.read_bytes(), rng))
    return Attack(
        args=["plan", str(file), "--out", str(output), *rng.choice(([], ["--json"], ["--markdown"]))], output=output
    )


def plan(rng: random.Random, folder: Path) -> Attack:
    """A plan file that was edited, cut off, or is of another version."""
    file = folder / "given.json"
    output = folder / "plan.json"
    file.write_bytes(broken(_good_plan(), rng))
    more = rng.choice(([], ["--explain"], ["--json"], ["--what-if", "objective=time"], ["--pick", "2"]))
    return Attack(args=["plan", str(file), *more, "--out", str(output)], output=output)


@cache
def _good_plan() -> bytes:
    """A real plan, made once."""
    from clusterctl import cli

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        quiet = io.StringIO()
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            cli.main(["plan", str(REPO / "templates" / "specs" / "rlcef.yaml"), "--out", str(file)])
        return file.read_bytes()


def cases(rng: random.Random, folder: Path) -> Attack:
    """A few published cases, something in them wrong."""
    chosen = rng.sample(_published_cases(), CASES_EACH)
    file = folder / "cases.yaml"
    file.write_bytes(broken(yaml.safe_dump(chosen, sort_keys=False).encode(), rng))
    return Attack(args=["validate", str(file), *rng.choice(([], ["--json"]))])


@cache
def _published_cases() -> list[object]:
    loaded = yaml.load(CASES.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded if isinstance(loaded, list) else loaded["cases"]


def arguments(rng: random.Random, folder: Path) -> Attack:
    """A command line that nobody would type on purpose."""
    words = (
        "prices",
        "list",
        "check",
        "doctor",
        "--json",
        "--gpu",
        "H100",
        "--limit",
        "-1",
        "1e9",
        "nan",
        "",
        "--",
        "--sort",
        "\x00"[:0] or "ü",
        "completion",
        "bash",
        "-v",
        "--book",
        str(folder),
        "/dev/null",
        "--help",
        "--region",
        "*",
        "--min-gpus",
        "inf",
    )
    return Attack(args=[rng.choice(words) for _ in range(rng.randrange(1, 7))])


TARGETS = (
    {"arguments": arguments, "book": book, "cases": cases, "plan": plan, "spec": spec}
    | stored.TARGETS
    | answered.TARGETS
)
"""Name → how to make one attack in an empty folder."""
