"""Every mechanism that works on this machine, so that the weaker one is tested where the better one is there too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clusterctl.sandbox.isolation import BUBBLEWRAP, UNSHARE, Isolation, find_isolation, why_not
from clusterctl.sandbox.program import run_program
from clusterctl.sandbox.verdict import Policy, ProgramRequest, Verdict

Judge = Callable[..., Verdict]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "isolation" in metafunc.fixturenames:
        working = [isolation for isolation in (BUBBLEWRAP, UNSHARE) if why_not(isolation) is None]
        metafunc.parametrize("isolation", working or [find_isolation()], ids=lambda isolation: isolation.name)


@pytest.fixture
def judge(isolation: Isolation) -> Judge:
    """`judge("print(1)", seconds=2, memory_mib=64)`: the verdict of one program."""

    def judged(
        code: str,
        *,
        language: str = "python",
        stdin: bytes = b"",
        files: dict[str, bytes] | None = None,
        fetch: tuple[str, ...] = (),
        seconds: float = 5.0,
        **policy: int,
    ) -> Verdict:
        request = ProgramRequest(
            language=language, code=code, stdin=stdin, files=files or {}, fetch=fetch, run_seconds=seconds
        )
        return run_program(request, Policy(**policy), isolation)

    return judged
