"""A sandbox server on loopback, while a test needs one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clusterctl.sandbox.isolation import find_isolation
from clusterctl.sandbox.sandbox_server import SandboxServer
from clusterctl.sandbox.verdict import Policy


@contextmanager
def serving(token: str | None = None, workers: int = 2, queue: int = 100) -> Iterator[str]:
    """Its URL."""
    address = ("127.0.0.1", 0)
    with SandboxServer(address, find_isolation(), Policy(), workers=workers, queue=queue, token=token) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
