"""Fuzz the command line: malformed inputs, in process.  `python tests/fuzzing/fuzz.py --inputs 10000 --seed 1`.

A find is: a traceback or "bug" exit, a warning, a hang, a message without `error:`, or a half-written output file.  Each find names its seed
and keeps its files; the exit code is 1 if there was any.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from targets import TARGETS, Attack

from clusterctl import cli

SECONDS_EACH = 60
MEMORY_BYTES = 6 * 2**30
ALLOWED_EXITS = {0, 1, 2, 3, 4, 5}


def run(args: list[str]) -> tuple[int, str]:
    """Run one command in this process.  Returns its exit code and stderr; a hang comes back as exit 70."""
    stderr = io.StringIO()
    code = 0
    signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
    try:
        with contextlib.redirect_stdout(_nowhere()), contextlib.redirect_stderr(stderr):
            cli.main(args)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return code, stderr.getvalue()


def _nowhere() -> io.TextIOWrapper:
    """A stdout with a buffer for bytes, as the real one has; strict, so that text which no terminal could take is a find."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")


def complaint(attack: Attack, code: int, stderr: str) -> str | None:
    """What is wrong with how the command answered, or None."""
    if code not in ALLOWED_EXITS:
        return f"exit {code}"
    if "Traceback" in stderr:
        return "traceback"
    if code and not stderr.startswith(("error: ", "Usage: ")):
        return "no error message"
    if code and attack.output is not None and attack.output.exists():
        return "half-written output"
    if code == 0 and "Warning" in stderr:
        return "warning"
    return None


def fuzz(name: str, seed: int, folder: Path) -> tuple[int, str | None]:
    """Make and run one attack.  Returns the exit code, and the find as text or None."""
    folder.mkdir(parents=True, exist_ok=True)
    attack = TARGETS[name](random.Random(f"{name}/{seed}"), folder)
    before = _our_environ()
    code, stderr = run(attack.args)
    wrong = complaint(attack, code, stderr) or (None if _our_environ() == before else "the environment was changed")
    return code, None if wrong is None else f"{name} seed {seed}: {wrong}: {attack.args}\n{stderr[:600]}"


def _our_environ() -> dict[str, str]:
    """What one run could leave behind for the next in this process."""
    return {name: value for name, value in os.environ.items() if "CLUSTERCTL" in name}


def _hung(*_: object) -> None:
    raise TimeoutError(f"still busy after {SECONDS_EACH} s")


def main() -> int:
    """Spread the inputs over the targets, show finds as they come, end with the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    options = parser.parse_args()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _hung)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    names = options.target or sorted(TARGETS)
    kept = Path(tempfile.mkdtemp(prefix="clusterctl-fuzz-"))
    counts: Counter[str] = Counter()
    finds = 0
    started = time.monotonic()
    for index in range(options.inputs):
        name = names[index % len(names)]
        seed = options.seed + index
        code, find = fuzz(name, seed, kept / f"{name}-{seed}")
        counts[f"{name} exit {code}"] += 1
        if find:
            finds += 1
            print(find, flush=True)
        else:
            _remove(kept / f"{name}-{seed}")
    print(", ".join(f"{key}: {count}" for key, count in sorted(counts.items())))
    print(f"{options.inputs} inputs, {finds} finds, {time.monotonic() - started:.0f} s; files of finds in {kept}")
    return 1 if finds else 0


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    sys.exit(main())
