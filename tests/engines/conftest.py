"""Tests that need a real engine run only when this folder is named: `make test-engines`."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "clusterctl" / folder) for folder in ("ledger", "store")]
if "bucket_contract" not in sys.modules:  # else all of tests/ is collected, without this folder
    pytest.register_assert_rewrite("bucket_contract")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest` and `pytest tests` leave this folder out."""
    named = any(Path(argument.partition("::")[0]).absolute().is_relative_to(HERE) for argument in config.args)
    return None if named or not collection_path.is_relative_to(HERE) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest first: others run beside it.  Kubernetes last: it may still be building."""
    items.sort(key=lambda item: (item.path.name != "test_two_hundred_kills.py", item.path.parent.name == "kubernetes"))


@pytest.fixture
def moto_url() -> Iterator[str]:
    """An account of AWS, as moto answers for it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[ModuleType]:
    """A Slurm cluster of this machine, for one test file at a time; the module that switches its machines."""
    from slurm import cluster

    if lacking := cluster.missing():
        pytest.fail(lacking)
    with cluster.locked_cluster():
        yield cluster


@pytest.fixture(scope="module")  # while it is there, a loop runs, and no other test can run its own
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for which dashboard.test is this machine; as root it runs without its own sandbox."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("chromium is missing: sh tests/engines/install.sh, or Debian's package chromium")
    with sync_playwright() as playwright:
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        options.append("--host-resolver-rules=MAP dashboard.test 127.0.0.1")
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()
