"""The quickstart's trainer: `python examples/quickstart/trainer.py --run-dir DIR --sandbox-url URL`, with the folder of
`examples` on PYTHONPATH.

One line per step on stdout, one report per step in DIR/reports.jsonl, a checkpoint after every step, DIR/result.json at
the end.  It may be killed at any moment: started again, it goes on after the last reported step.  SIGTERM abandons
the step in progress; exit code 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.access import read_token, without_token
from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.jobs.judge import Judgement
from examples.quickstart.problems import Problem

if TYPE_CHECKING:
    from clusterctl.jobs.sandbox_client import SandboxClient
    from examples.quickstart.loop import Settings

URL_VARIABLE = "CLUSTERCTL_SANDBOX_URL"


def main(argv: list[str] | None = None) -> int:
    """Trains; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy comes: its threads would take the sandboxes' CPUs
    args = _arguments(argv)
    _say(f"quickstart: reinforcement learning from code execution; run folder {args.run_dir}")
    try:
        _train(args)
    except ClusterctlError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"\nhint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("stopped; started again, it goes on after the last step shown")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="trainer.py")
    add = parser.add_argument
    add("--run-dir", type=Path, required=True)
    add("--sandbox-url", default=os.environ.get(URL_VARIABLE), help=f"default: the environment's {URL_VARIABLE}")
    add("--sandbox-token-file", help="file with the token that the sandbox asks for")
    add("--trl", action="store_true", help="TRL's GRPOTrainer and a tiny Llama; needs the extra `train`")
    add("--steps", type=int, default=50)
    add("--prompts", type=int, default=10, help="problems per step")
    add("--samples", type=int, default=6, help="programs per problem and step")
    add("--seed", type=int, default=0)
    add("--patience-seconds", type=float, default=60.0, help="how long the sandbox may fail")
    return parser.parse_args(argv)


def _train(args: argparse.Namespace) -> None:
    """The loop that was asked for, until it is done.  Raises ClusterctlError, and what a signal raises."""
    if args.sandbox_url is None:
        raise SpecError("no sandbox", hint=f"--sandbox-url, or {URL_VARIABLE} in the environment, names one")
    if args.samples < 2 or args.prompts < 1 or args.steps < 1 or args.seed < 0:
        raise SpecError("steps and prompts are at least 1, samples at least 2 (GRPO compares the samples of a problem)")
    from examples.quickstart.loop import Settings
    from examples.quickstart.problems import PROBLEMS

    settings = Settings(prompts=args.prompts, samples=args.samples, seed=args.seed)
    _say(
        f"{len(PROBLEMS)} problems; {args.steps} steps of {settings.prompts} problems x {settings.samples} programs; "
        f"seed {settings.seed}; sandbox {without_token(args.sandbox_url)}"
    )
    try:
        if args.trl:
            _by_trl(args, settings)
        else:
            asyncio.run(_by_our_own(args, settings))
    except OSError as error:
        raise ClusterctlError(f"{args.run_dir}: cannot be written: {error.strerror or error}") from error


async def _by_our_own(args: argparse.Namespace, settings: Settings) -> None:
    """A step that is abandoned here leaves nothing behind: it stops only where it waits."""
    from examples.quickstart.loop import run

    this = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel if this else sys.exit)
    async with _client(args) as client:
        await client.check()
        await run(args.run_dir, client, settings, args.steps)


def _by_trl(args: argparse.Namespace, settings: Settings) -> None:
    """TRL's trainer owns the loop and calls us to judge."""
    from examples.quickstart.trl_loop import run

    async def check() -> None:
        async with _client(args) as client:
            await client.check()

    async def judged(problems: Sequence[Problem], programs: Sequence[str]) -> list[Judgement | None]:
        async with _client(args) as client:
            return await client.judge(problems, programs)

    asyncio.run(check())
    run(args.run_dir, lambda problems, programs: asyncio.run(judged(problems, programs)), settings, args.steps)


def _client(args: argparse.Namespace) -> SandboxClient:
    from clusterctl.jobs.sandbox_client import SandboxClient

    token = read_token(args.sandbox_token_file)
    return SandboxClient(args.sandbox_url, token=token, patience_seconds=args.patience_seconds)


if __name__ == "__main__":
    sys.exit(main())
