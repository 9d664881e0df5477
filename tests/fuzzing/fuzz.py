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
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from unittest import mock

from attack import Attack
from targets import TARGETS

from clusterctl import cli, failure

SECONDS_EACH = 60
"""Of a clock, until an input counts as one that hangs: other work on this machine may slow it down."""
CPU_SECONDS_EACH = 10.0
MEMORY_BYTES = 6 * 2**30
ALLOWED_EXITS = {0, 1, 2, 3, 4, 5}


def run(attack: Attack) -> tuple[int, str]:
    """Run one command, or function, in this process.  Returns exit code and stderr; a hang comes back as exit 70."""
    stderr = io.StringIO()
    code = 0
    signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
    try:
        with contextlib.redirect_stdout(_nowhere()), contextlib.redirect_stderr(stderr):
            if attack.act is None:
                cli.main(attack.args)
            code = failure.exit_code_of(attack.act, []) if attack.act else 0
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
    if code and not re.search(r"^(error: |Usage: )", stderr, re.MULTILINE):
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
    given = {"CLUSTERCTL_HOME": str(folder / "home"), **attack.environ}
    with mock.patch.dict(os.environ, given):
        before, began = _our_environ(), time.process_time()
        code, stderr = run(attack)
        wrong = complaint(attack, code, stderr) or (None if _our_environ() == before else "the environment was changed")
    if (spent := time.process_time() - began) > CPU_SECONDS_EACH:
        wrong = wrong or f"{spent:.0f} s"
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
    print(f"{options.inputs} inputs from seed {options.seed} on: {', '.join(names)}", flush=True)
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
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
