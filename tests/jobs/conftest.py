"""The programs of jobs, which run by path in a framework's environment: here with this one's Python."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import pytest

from clusterctl.paths import bundle_root

sys.path.insert(0, str(bundle_root() / "templates" / "jobs" / "lib"))

from stand_in_server import Answer, answering


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start a server; it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda answer: stack.enter_context(answering(answer))
