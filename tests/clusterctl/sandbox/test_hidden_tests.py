"""Where a program could look for the tests that judge it, or for what they expect: nowhere is it to be found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sandbox_serving import serving

from clusterctl.jobs import judge, sandbox_client
from clusterctl.jobs.judge import Ending, JudgedProblem, Judgement, Outcome, reward
from clusterctl.jobs.sandbox_client import SandboxClient
from clusterctl.sandbox import languages
from clusterctl.sandbox.isolation import Isolation
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import ProgramRequest


class Squares:
    """Visible and hidden tests whose expected values are easily told from anything else."""

    visible = tuple(((number,), number * 1_000_003) for number in range(4))
    hidden = tuple(((number,), number * 1_000_003) for number in range(700_001, 700_007))


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Say where the package's examples are."""
    languages.toolchain.cache_clear()
    yield lambda folder: monkeypatch.setattr(languages, "BUNDLE", folder.resolve())
    languages.toolchain.cache_clear()


def test_examples_below_usr_are_covered(isolation: Isolation, bundle: Callable[[Path], None]) -> None:
    """As where the package is installed into the system's Python."""
    folder = next(path for path in Path("/usr/share").iterdir() if path.is_dir() and any(path.iterdir()))
    request = ProgramRequest(language="bash", code=f"ls {folder}; ls /usr/bin")
    plain = run_program(request, None, isolation)
    languages.toolchain.cache_clear()
    bundle(folder)
    covered = run_program(request, None, isolation)
    assert plain.run
    assert covered.run
    half = len(covered.run.stdout) // 2
    assert covered.run.stdout[:half] == covered.run.stdout[half:] != b""
    assert plain.run.stdout != covered.run.stdout


def test_examples_in_a_toolchain_are_covered(
    bundle: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").touch()
    monkeypatch.setattr(languages, "_find", lambda tool: tmp_path / "bin" / tool)
    bundle(tmp_path / "lib" / "clusterctl")
    assert ("/usr/bin", "/toolchain-0/lib/clusterctl") in languages.toolchain("python").folders


PRINTS_A_VERDICT = """
import os, sys
for line in ("0123456789abcdef 1000 ran", "ran", "=0\\n=0\\n=0\\n=0\\nran", '{"passed_share": 250}'):
    os.write(1, (line + "\\n").encode() * 50)
def solve(x): return 0
"""
RAISES_ITS_SHARE = """
import gc, sys
def solve(x):
    frame = sys._getframe()
    while frame.f_back: frame = frame.f_back
    for name in list(frame.f_globals):
        if name in ("passed", "expected", "cases", "sets", "key", "status"): frame.f_globals[name] = 250
    return None
"""
REPLACES_THE_COMPARISON = """
import builtins
class Same:
    def __eq__(self, other): return True
    def __repr__(self): return "0"
    __hash__ = None
builtins.repr = lambda value: Same()
def solve(x): return Same()
"""
SEARCHES_ALL_IT_CAN_READ = r"""
import os, re, sys
def solve(x):
    seen = b""
    for process in ("self", *filter(str.isdigit, os.listdir("/proc"))):
        for part in ("cmdline", "environ", "fd/0", "root/tmp/main.py"):
            try: seen += open(f"/proc/{process}/{part}", "rb").read()
            except OSError: pass
        try:
            memory = os.open(f"/proc/{process}/mem", os.O_RDONLY)
            for line in open(f"/proc/{process}/maps"):
                start, end = (int(part, 16) for part in line.split()[0].split("-"))
                if " rw" in line and end - start < 1 << 25: seen += os.pread(memory, end - start, start)
        except OSError: pass
    for folder, _, files in os.walk("/tmp"):
        seen += b"".join(open(os.path.join(folder, name), "rb").read() for name in files)
    return [bool(re.search(pattern, seen)) for pattern in (PATTERNS)]
"""
ENDS_AS_IT_LIKES = """
import os
def solve(x):
    os.write(1, b"=0\\n" * 100 + b"ran")
    os._exit(0)
"""
DISARMS_THE_TIMER = """
import _signal
_signal.signal(_signal.SIGVTALRM, _signal.SIG_IGN)
def solve(x):
    _signal.setitimer(_signal.ITIMER_VIRTUAL, 0)
    return [] if x else (_ for _ in ()).throw(SystemExit)
"""
COMPUTES_ON_AFTER_ITS_TIME = """
import _signal, time
_signal.setitimer(_signal.ITIMER_VIRTUAL, 0)
def solve(x):
    while time.process_time() < 1.1: pass
    return x * 1_000_003
"""
COMPUTES_IN_ORPHANS = """
import os, time
def solve(x):
    mine, theirs = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            while time.process_time() < 0.4: pass
            os.write(theirs, b"%d" % (x * 1_000_003))
        os._exit(0)
    return int(os.read(mine, 100))
"""


@pytest.mark.parametrize("program", [COMPUTES_ON_AFTER_ITS_TIME, COMPUTES_IN_ORPHANS])
def test_no_program_computes_longer_than_the_limit_for_its_reward(program: str) -> None:
    (verdict,) = judged(program)
    assert verdict
    assert (verdict.visible, reward(verdict)) == (Outcome(passed_share=0.0, status=Ending.TIME_LIMIT), 0.0)


@pytest.mark.parametrize(
    "program", [PRINTS_A_VERDICT, RAISES_ITS_SHARE, REPLACES_THE_COMPARISON, ENDS_AS_IT_LIKES, DISARMS_THE_TIMER]
)
def test_no_trick_earns_more_than_its_right_answers(program: str) -> None:
    (verdict,) = judged(program)
    assert verdict
    assert verdict.visible.passed_share <= 0.25, "0 is the right answer of one of four"
    assert verdict.hidden is None
    assert 0.0 <= (reward(verdict) or 0.0) <= 0.25


def test_a_right_program_earns_all() -> None:
    (verdict,) = judged("def solve(x):\n    return x * 1_000_003\n")
    assert verdict
    assert (verdict.visible.passed_share, verdict.passes_hidden, reward(verdict)) == (1.0, True, 1.0)


def test_neither_expected_values_nor_hidden_arguments_are_in_reach_of_the_visible_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The patterns don't match themselves; that the search works is shown by an argument of a visible test."""
    monkeypatch.setattr(judge, "CPU_SECONDS_LIMIT", 20.0)
    monkeypatch.setattr(sandbox_client, "CPU_SECONDS_BACKSTOP", 20.0)

    class Told:
        """What the program finds, as what it returns."""

        visible = (((54545454545,), [True, False, False, False]),)
        hidden = (((63636363636,), 74747474747),)

    patterns = (rb"(54){5}5", rb"(63){5}6", rb"(74){5}7", rb"True, False, False, Fals[e]")
    (verdict,) = judged(SEARCHES_ALL_IT_CAN_READ.replace("PATTERNS", repr(patterns)), problem=Told())
    assert verdict
    assert verdict.visible == Outcome(passed_share=1.0, status=Ending.RAN)


def judged(*programs: str, problem: JudgedProblem | None = None) -> list[Judgement | None]:
    async def work(url: str) -> list[Judgement | None]:
        async with SandboxClient(url) as client:
            return await client.judge([problem or Squares()] * len(programs), programs)

    with serving() as url:
        return asyncio.run(work(url))
