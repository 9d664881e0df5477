"""Synthetic triples: `python clusterctl_synthesize.py --config synthesize.json`.

A teacher writes problem, solution and tests; the sandbox verifies; a student tries; filters keep a share; what is kept
is written as JSON lines that `trl sft` takes.  Each candidate that is through is a line of `candidates.jsonl`, and a
program that was ended goes on with the next one.

Filters, in order: parses, tests_pass (with the solution), fails_without (its body), not_trivial (by the student's
attempts), not_duplicate (of an accepted one, or of the texts in `keep_away`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import clusterctl_reports
from clusterctl_chat import model_of, read_settings
from clusterctl_duplicates import Duplicates
from clusterctl_execution import Ran, run, wait_for_sandboxes
from clusterctl_triples import Triple, Writer, parses, seeds_in, training_row, without_bodies

FILTERS = ("parses", "tests_pass", "fails_without", "not_trivial", "not_duplicate")


@dataclass(frozen=True)
class Settings:
    """What `synthesize.json` says."""

    seeds: str
    """File with a text per line, plain or JSON with `text`; they are taken in turn."""
    output: str
    """Folder for candidates.jsonl and sft.jsonl."""
    candidates: int
    items: int | None = None
    """Enough accepted ones; None: all candidates."""
    batch: int = 64
    tries: int = 10
    """Solution and tests are written again until they agree; KodCode: 10."""
    attempts: int = 4
    """Of the student, per problem; 0 = there is none."""
    least_solved_share: float = 0.0
    most_solved_share: float = 0.99
    """Problems that the student solves more often are trivial; less often: too hard, or wrong."""
    keep_away: tuple[str, ...] = ()
    """Files of texts, such as a benchmark's problems, near which nothing may be."""
    seed: int = 0


@dataclass(frozen=True)
class Chain:
    """What makes a candidate and puts it through the filters."""

    settings: Settings
    teacher: Writer
    student: Writer | None
    execute: Callable[[str, Sequence[str]], Ran | None] = run

    def candidate(self, index: int, text: str) -> Triple:
        """Written, verified and tried; duplicates are told apart later, in order.  Raises ServerAway."""
        first = self.settings.seed + index * 1000
        triple = Triple(index=index, seed=text, problem=self.teacher.problem(text, first))
        for number in range(self.settings.tries):
            seed = first + number + 1
            solution, reasoning = self.teacher.solution(triple.problem, seed)
            tests = self.teacher.tests(triple.problem, solution, seed)
            triple = replace(triple, solution=solution, reasoning=reasoning, tests=tests, tries=number + 1)
            why = self._verified(triple)
            if not why:
                return self._tried(triple, first)
        return triple.stopped(why)

    def _verified(self, triple: Triple) -> str:
        """The filter that it does not pass, or an empty word."""
        if not parses(triple):
            return "parses"
        result = self.execute(triple.solution, triple.tests)
        if result is None or not result.all_passed:
            return "tests_pass"
        result = self.execute(without_bodies(triple.solution), triple.tests)
        return "fails_without" if result is None or result.all_passed else ""

    def _tried(self, triple: Triple, first: int) -> Triple:
        if self.student is None or not self.settings.attempts:
            return triple
        results = []
        for number in range(self.settings.attempts):
            code, _ = self.student.solution(triple.problem, first + 500 + number)
            results.append(self.execute(code, triple.tests))
        share = sum(result is not None and result.all_passed for result in results) / len(results)
        triple = replace(triple, solved_share=share)
        within = self.settings.least_solved_share <= share <= self.settings.most_solved_share
        return triple if within else triple.stopped("not_trivial")


def run_chain(chain: Chain, seeds: Sequence[str], keep_away: Iterable[str] = ()) -> dict[str, float]:
    """Make what is missing of the candidates, batch by batch; what was accepted is written after each.

    Returns the yield of each filter.  Raises ServerAway; a later call goes on.
    """
    settings, folder = chain.settings, Path(chain.settings.output)
    folder.mkdir(parents=True, exist_ok=True)
    log, duplicates = folder / "candidates.jsonl", Duplicates(keep_away)
    done = read_log(log)
    for triple in done:
        if not triple.stopped_by:
            duplicates.is_new(text_of(triple))
    steps = -(-settings.candidates // settings.batch)
    while len(done) < settings.candidates and accepted(done) < (settings.items or settings.candidates):
        began, tokens = time.monotonic(), _tokens(chain)
        batch = range(len(done), min(len(done) + settings.batch, settings.candidates))
        with ThreadPoolExecutor(settings.batch) as pool:
            triples = list(pool.map(lambda index: chain.candidate(index, seeds[index % len(seeds)]), batch))
        for triple in triples:
            new = triple.stopped_by or duplicates.is_new(text_of(triple))
            done.append(triple if new else triple.stopped("not_duplicate"))
        append_lines(log, [asdict(triple) for triple in done[-len(triples) :]])
        write_accepted(folder / "sft.jsonl", done)
        metrics = yields(done) | {"accepted": accepted(done), "output_tokens": _tokens(chain) - tokens}
        step = -(-len(done) // settings.batch)
        clusterctl_reports.report(step, steps, {"generate": time.monotonic() - began}, metrics)
        sys.stdout.write(f"step {step}/{steps}: {accepted(done)} of {len(done)} accepted; {_shown(metrics)}\n")
        sys.stdout.flush()
    write_accepted(folder / "sft.jsonl", done)
    return yields(done)


def text_of(triple: Triple) -> str:
    """What makes a triple like another: the words of its problem and its code."""
    return f"{triple.problem}\n{triple.solution}"


def accepted(done: Iterable[Triple]) -> int:
    """How many passed all filters."""
    return sum(not triple.stopped_by for triple in done)


def yields(done: Sequence[Triple]) -> dict[str, float]:
    """By filter, the share of those that came to it and passed; without those to which none came."""
    left, shares = len(done), {}
    for name in FILTERS:
        stopped = sum(triple.stopped_by == name for triple in done)
        if left:
            shares[f"yield_{name}"] = (left - stopped) / left
        left -= stopped
    return shares


def read_log(file: Path) -> list[Triple]:
    """The candidates of an earlier start, up to the first line that is not whole; the file is cut there."""
    names = {field.name for field in fields(Triple)}

    def triple_of(line: bytes, number: int) -> Triple:
        row = json.loads(line)
        triple = Triple(**{name: row[name] for name in names} | {"tests": tuple(row["tests"])})
        if triple.index != number:
            raise ValueError(f"candidate {triple.index} stands where {number} belongs")
        return triple

    return clusterctl_reports.whole_rows(file, triple_of)


def append_lines(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Append JSON lines, and wait until they are on the disk."""
    with file.open("ab") as stream:
        stream.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        stream.flush()
        os.fsync(stream.fileno())


def write_accepted(file: Path, done: Iterable[Triple]) -> None:
    """The rows for SFT, all at once: a reader never sees half a file."""
    rows = [json.dumps(training_row(triple)) + "\n" for triple in done if not triple.stopped_by]
    new = file.with_name(file.name + ".new")
    new.write_text("".join(rows), encoding="utf-8")
    new.replace(file)


def _tokens(chain: Chain) -> int:
    models = [chain.teacher.model] + ([chain.student.model] if chain.student else [])
    return sum(model.tokens.output for model in models)


def _shown(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name[6:]} {share:.0%}" for name, share in metrics.items() if name.startswith("yield_"))


def writer(said: dict[str, Any]) -> Writer:
    """A model as the settings name it: `urls` is the variable that holds its addresses."""
    options = {name: said[name] for name in ("max_tokens", "temperature", "examples") if name in said}
    return Writer(model=model_of(said), **options)


def main() -> None:
    """Raises SystemExit for settings that say nothing, ServerAway for servers that don't come back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    said = read_settings(parser.parse_args().config)
    settings = Settings(**said["settings"])
    student = writer(said["student"]) if said.get("student") else None
    seeds = seeds_in(Path(settings.seeds).read_text(encoding="utf-8").splitlines())
    if not seeds:
        raise SystemExit(f"{settings.seeds} holds no text")
    away = [text for file in settings.keep_away for text in seeds_in(Path(file).read_text("utf-8").splitlines())]
    wait_for_sandboxes()
    shares = run_chain(Chain(settings=settings, teacher=writer(said["teacher"]), student=student), seeds, away)
    done = read_log(Path(settings.output) / "candidates.jsonl")
    clusterctl_reports.done(candidates=len(done), accepted=accepted(done), **shares)


if __name__ == "__main__":
    main()
