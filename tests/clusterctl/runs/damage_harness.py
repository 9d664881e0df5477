"""Damages one file of a live run, or its ledger, and asks what a person would: does `status` say so, does `down` end it?

`python damage_harness.py FOLDER` tries every file with every damage; the tests try some of them.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kill_harness import SPOILED_CODES, Bench, Place, Tally, ThisMachine, end_everything
from run_faults import DAMAGES, Damaged, Fault, damageable
from run_names import RUN_NAME, UP
from run_samples import Sampler, processes

NOTICED_SECONDS = 45.0
"""By then the run goes on, or `status` says that something is wrong."""
GOES_ON_STEPS = 3
DOWN_SECONDS = 90.0
"""`down` gives a job 30 seconds to save its work; the rest is a busy machine."""
STEPS = 400
"""Far more than are done meanwhile."""


@dataclass(frozen=True, slots=True)
class Case:
    """One damage of one file, named as below a store, with * for the run's id."""

    file: str
    how: str

    def fault(self) -> Damaged:
        """To be injected once."""
        return Damaged(self.how, self.file)


def files_of(place: Place, root: Path, sampler: Sampler) -> list[str]:
    """Every file that a live run of the place has, by listing a run that has done a few steps."""
    bench = started(Bench(place, root / "listed", sampler, steps=STEPS))
    (run_id,) = {str(row["run_id"]) for row in bench.runs()}
    names = {str(file.relative_to(bench.store)).replace(run_id, "*") for file in damageable(bench.store)}
    bench.down()
    return sorted(names)


def started(bench: Bench) -> Bench:
    """Its run, live, with some steps done."""
    bench.say(*UP, "--detach")
    if not bench.until(lambda: bench.steps() >= 2):
        bench.tally.wrong.append("no two steps within a minute")
    return bench


def disturbed(bench: Bench, fault: Fault, *, down_codes: Sequence[int] = (0,)) -> None:
    """A live run, a fault, what commands say, `down`, the end of the fault, and what is left."""
    started(bench)
    if not bench.until(lambda: bench.inject(fault)):  # some files come a moment after the steps
        bench.tally.wrong.append("there was nothing to damage")
    if not noticed(bench):
        bench.tally.wrong.append(f"does not go on, and `status` says nothing within {NOTICED_SECONDS:.0f} s")
    bench.say(bench.chance.choice(("logs", "events", "cost")), RUN_NAME, allowed=SPOILED_CODES)
    began = time.monotonic()
    bench.down(allowed=down_codes)
    if time.monotonic() - began > DOWN_SECONDS:
        bench.tally.wrong.append(f"down takes {time.monotonic() - began:.0f} s")
    bench.until(lambda: not list(processes(bench.store)), 10.0)
    if left := sorted({process.role for process in processes(bench.store)}):
        bench.tally.wrong.append(f"left by down: {', '.join(left)}")
    fault.undo()
    bench.say("status", "--all", allowed=SPOILED_CODES)
    bench.down()
    bench.check()


def noticed(bench: Bench) -> bool:
    """Whether in time the run does further steps or ends by itself, or else `status` says that something is wrong."""
    before = bench.steps()

    def on() -> bool:
        return bench.steps() >= before + GOES_ON_STEPS or any(row["state"] == "finished" for row in bench.runs())

    def said() -> bool:
        code, out, _ = bench.say("status", RUN_NAME, "--json", allowed=SPOILED_CODES)
        return code != 0 or any(row["problems"] or row["state"] in ("failed", "stopped") for row in json.loads(out))

    return bench.until(on, NOTICED_SECONDS / 5) or bench.until(
        lambda: on() or said(), NOTICED_SECONDS, pause_seconds=2.0
    )


def some_of(files: Sequence[str], *, most: int, seed: int) -> list[Case]:
    """Every file once and every damage as often as every other, then further ones by chance; at most so many."""
    chance, hows = random.Random(seed), list(DAMAGES)
    chance.shuffle(hows)
    order = chance.sample(list(files), len(files))
    cases = [Case(file, hows[number % len(hows)]) for number, file in enumerate(order)]
    rest = [case for case in all_of(files) if case not in cases]
    return (cases + chance.sample(rest, len(rest)))[:most]


def all_of(files: Sequence[str]) -> list[Case]:
    """Every damage of every file."""
    return [Case(file, how) for file in files for how in DAMAGES]


def damage_many(
    place: Place,
    root: Path,
    choose: Callable[[Sequence[str]], Sequence[Case]],
    *,
    side_by_side: int = 4,
    say: Callable[[str], object] = lambda _: None,
) -> Tally:
    """One run for each case, so many at once, each in a store of its own."""
    total = Tally()
    with Sampler(root) as sampler:
        cases = list(enumerate(choose(files_of(place, root, sampler))))

        def work(numbered: tuple[int, Case]) -> list[str]:
            number, case = numbered
            bench, fault = Bench(place, root / f"damaged-{number}", sampler, seed=number, steps=STEPS), case.fault()
            try:
                disturbed(bench, fault)
            finally:
                fault.undo()
                end_everything(bench.store)
            found = [f"[{place.name}, {case.file} {case.how}] {what}" for what in bench.tally.wrong]
            say("\n".join([f"{number} {case.file} {case.how}: {'wrong' if found else 'right'}", *found]))
            return found

        with ThreadPoolExecutor(side_by_side) as pool:
            for wrong in pool.map(work, cases):
                total.wrong += wrong
                total.faults["Damaged"] = total.faults.get("Damaged", 0) + 1
    return total


if __name__ == "__main__":
    done = damage_many(ThisMachine(), Path(sys.argv[1]), all_of, say=lambda text: print(text, flush=True))
    sys.exit(1 if done.wrong else 0)
