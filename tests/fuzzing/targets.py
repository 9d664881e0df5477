"""What is fuzzed: for each kind of file, a good one, the command that reads it, and where its result would be written."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from mutations import broken, broken_bytes

REPO = Path(__file__).resolve().parents[2]
SPECS = sorted((REPO / "templates" / "specs").glob("*.yaml"))
CASES = REPO / "benchmarks" / "cases" / "cases.yaml"
CASES_EACH = 3
"""Cases in one malformed file: few, because each is also predicted."""
BOOK = REPO / "clusterctl" / "facts" / "prices"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One malformed input: the arguments to run, and the file that must not exist if they fail."""

    args: list[str]
    output: Path | None = None


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
    words = ("prices", "list", "check", "doctor", "--json", "--gpu", "H100", "--limit", "-1", "1e9", "nan", "", "--", "--sort", "\x00"[:0] or "ü",
             "completion", "bash", "-v", "--book", str(folder), "/dev/null", "--help", "--region", "*", "--min-gpus", "inf")  # fmt: skip
    return Attack(args=[rng.choice(words) for _ in range(rng.randrange(1, 7))])


TARGETS = {"arguments": arguments, "book": book, "cases": cases}
"""Name → how to make one attack in an empty folder."""
