"""What is fuzzed: for each kind of file, a good one, the command that reads it, and where its result would be written."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from mutations import broken, broken_bytes

REPO = Path(__file__).resolve().parents[2]
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


def arguments(rng: random.Random, folder: Path) -> Attack:
    """A command line that nobody would type on purpose."""
    words = ("prices", "list", "check", "doctor", "--json", "--gpu", "H100", "--limit", "-1", "1e9", "nan", "", "--", "--sort", "\x00"[:0] or "ü",
             "completion", "bash", "-v", "--book", str(folder), "/dev/null", "--help", "--region", "*", "--min-gpus", "inf")  # fmt: skip
    return Attack(args=[rng.choice(words) for _ in range(rng.randrange(1, 7))])


TARGETS = {"book": book, "arguments": arguments}
"""Name → how to make one attack in an empty folder."""
