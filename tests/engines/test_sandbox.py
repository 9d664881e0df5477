"""The sandbox for long, and with verl's own reward code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "sandbox"))

from sandbox_serving import serving
from test_fusion_client import all_are_answered

from clusterctl.sandbox.isolation import BUBBLEWRAP, UNSHARE, Isolation
from clusterctl.sandbox.leftovers import left_by

VERL = "verl==0.9.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines"


@pytest.mark.parametrize(("isolation", "runs"), [(BUBBLEWRAP, 10_000), (UNSHARE, 1_000)], ids=["bubblewrap", "unshare"])
def test_nothing_is_left_after_thousands(isolation: Isolation, runs: int) -> None:
    left = left_by(runs, isolation, concurrency=2 * (os.cpu_count() or 1))
    assert left == {"processes": 0, "mounts": 0, "folders": 0, "cgroups": 0, "descriptors": 0}


def test_a_thousand_at_once_are_all_answered() -> None:
    all_are_answered(1000)


@pytest.fixture(scope="module")
def verl() -> ModuleType:
    """`verl.utils.reward_score.sandbox_fusion` from its wheel; the rest of verl wants torch."""
    if not list(CACHE.glob("verl-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), VERL]
        subprocess.run(command, check=True)
    package = CACHE / "verl" / "utils" / "reward_score" / "sandbox_fusion"
    with zipfile.ZipFile(next(CACHE.glob("verl-*.whl"))) as wheel:
        for name in ("__init__.py", "utils.py"):
            wheel.extract(f"verl/utils/reward_score/sandbox_fusion/{name}", CACHE)
    spec = importlib.util.spec_from_file_location("verl_sandbox_fusion", package / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verl_sandbox_fusion"] = module
    spec.loader.exec_module(module)
    return module


TESTS = {"inputs": ["1 2", "3 4", "0 0"], "outputs": ["3\n", "7\n", "0\n"]}
ADD = "a, b = map(int, input().split())\nprint(a + b)"


@pytest.mark.parametrize(
    ("code", "score", "status"),
    [
        (ADD, 1.0, "success"),
        (ADD.replace("a + b", "a + b if a else 9"), 2 / 3, "wrong_answer"),
        ("while True: pass", 0.0, "timeout"),
        ("x = bytearray(8 << 30)", 0.0, "runtime_error"),
        ("import os\nwhile True: os.fork()", 0.0, "runtime_error"),
        ("def broken(", 0.0, "runtime_error"),
    ],
    ids=["right", "partly", "endless", "memory bomb", "fork bomb", "no Python"],
)
def test_verls_reward_is_right(verl: ModuleType, code: str, score: float, status: str) -> None:
    with serving(workers=4) as url:
        answer = f"```python\n{code}\n```"
        got, cases = verl.compute_score(f"{url}/run_code", None, 1024, answer, dict(TESTS), continuous=True, timeout=5)
    assert got == pytest.approx(score)
    assert status in [case["status"] for case in cases]
    assert {case["api_status"] for case in cases} <= {"Success", "Failed"}


def test_verl_compiles_calls_functions_and_waits_while_the_queue_is_full(verl: ModuleType) -> None:
    with serving(workers=1, queue=1) as url:
        broken = verl.check_correctness(
            f"{url}/run_code", {"inputs": [""], "outputs": [""]}, "int main() {", language="cpp"
        )
        assert broken[0] == [-4]
        function = {"inputs": ["[3, 1, 2]"], "outputs": ["[1, 2, 3]"], "fn_name": "order"}
        assert verl.check_correctness(f"{url}/run_code", function, "def order(x): return sorted(x)")[0] == [True]
        assert verl.check_correctness(f"{url}/run_code", dict(TESTS), ADD)[0] == [True] * 3
