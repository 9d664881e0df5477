"""The sandbox role of a run: `python -m clusterctl.jobs.sandbox_role PORT WORKERS MEMORY_MIB TOKEN_FILE [HOST]` serves
until ended."""

from __future__ import annotations

import sys

from clusterctl.access import read_token
from clusterctl.sandbox.isolation import find_isolation, weaknesses
from clusterctl.sandbox.sandbox_server import SandboxServer
from clusterctl.sandbox.verdict import Policy

QUEUE = 1024
"""Requests that may wait: more than any step of the quickstart asks at once."""


def main() -> None:
    """Serves on HOST, or loopback alone, to who has the run's token.

    Raises ClusterctlError where no sandbox works or the port is taken.
    """
    port, workers, memory_mib = (int(text) for text in sys.argv[1:4])
    token = read_token(sys.argv[4])
    isolation = find_isolation()
    policy = Policy(memory_mib=memory_mib)
    host = sys.argv[5] if len(sys.argv) > 5 else "127.0.0.1"
    address = (host, port)
    with SandboxServer(
        address, policy=policy, isolation=isolation, workers=workers, queue=QUEUE, token=token
    ) as server:
        sys.stdout.write(f"sandbox on {host}:{port}, {workers} at once, isolated by {isolation.name}\n")
        for weakness in weaknesses(isolation):
            sys.stdout.write(f"warning: {weakness}; `clusterctl doctor` says how to get better\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
