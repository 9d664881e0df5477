"""The quickstart's trainer: `python -m clusterctl.quickstart.trainer --run-dir DIR --sandbox-url URL`.

One line per step on stdout, one mark per step in DIR/marks.jsonl, DIR/checkpoint.npz after every step, DIR/result.json
at the end.  It may be killed at any moment: started again, it goes on after the last step that was marked.  SIGTERM
abandons the step in progress; exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from clusterctl.errors import ClusterctlError, SpecError

URL_VARIABLE = "CLUSTERCTL_SANDBOX_URL"


def main(argv: list[str] | None = None) -> int:
    """Trains; returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the loop listens there is nothing to save
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy comes: its threads would take the sandboxes' CPUs
    args = _arguments(argv)
    sys.stdout.write(f"quickstart: reinforcement learning from code execution; run folder {args.run_dir}\n")
    sys.stdout.flush()
    try:
        _check(args)
        asyncio.run(_train(args))
    except ClusterctlError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m clusterctl.quickstart.trainer")
    add = parser.add_argument
    add("--run-dir", type=Path, required=True)
    add("--sandbox-url", default=os.environ.get(URL_VARIABLE), help=f"default: the environment's {URL_VARIABLE}")
    add("--steps", type=int, default=50)
    add("--prompts", type=int, default=10, help="problems per step")
    add("--samples", type=int, default=6, help="programs per problem and step")
    add("--seed", type=int, default=0)
    add("--patience-seconds", type=float, default=60.0, help="how long the sandbox may fail")
    return parser.parse_args(argv)


def _check(args: argparse.Namespace) -> None:
    """Raises SpecError."""
    if args.sandbox_url is None:
        raise SpecError("no sandbox", hint=f"--sandbox-url, or {URL_VARIABLE} in the environment, names one")
    if args.samples < 2 or args.prompts < 1 or args.steps < 1 or args.seed < 0:
        raise SpecError("steps and prompts are at least 1, samples at least 2 (GRPO compares the samples of a problem)")


async def _train(args: argparse.Namespace) -> None:
    """The loop, until it is done or told to stop."""
    from clusterctl.quickstart.loop import Settings, run, say
    from clusterctl.quickstart.problems import PROBLEMS
    from clusterctl.quickstart.sandbox_client import SandboxClient

    this = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel if this else sys.exit)
    settings = Settings(prompts=args.prompts, samples=args.samples, seed=args.seed)
    say(f"{len(PROBLEMS)} problems; {args.steps} steps of {settings.prompts} problems x {settings.samples} programs; "
        f"seed {settings.seed}; sandbox {args.sandbox_url}")  # fmt: skip
    try:
        async with SandboxClient(args.sandbox_url, patience_seconds=args.patience_seconds) as client:
            await client.check(PROBLEMS[0], "def solve(xs):\n    return sum(xs)\n")
            await run(args.run_dir, client, settings, args.steps)
    except asyncio.CancelledError:
        say("stopped; started again, it goes on after the last step shown")
    except OSError as error:
        raise ClusterctlError(f"{args.run_dir}: cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
