"""A throw-away PostgreSQL server from the machine's own package, in a temporary folder, as a user that isn't root."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

OWNER = "postgres" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""
PASSWORD = "pl4nted-s3cret"
DATABASES = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server on a socket in its folder (trusted) and on 127.0.0.1 (by password)."""

    programs: Path
    folder: Path
    port: int

    def control(self, *words: str) -> None:
        command = [str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *words]
        subprocess.run(command, check=True, user=OWNER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Without fsync: the machine won't fail, and recovery needn't flush every file of every database."""
        options = f"-k {self.folder} -p {self.port} -h 127.0.0.1 -c fsync=off"
        self.control("start", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """As a machine that fails: no farewell, recovery at the next start."""
        self.control("stop", "-m", "immediate")

    def new_database(self) -> str:
        """URL of an empty database, by the socket."""
        name = f"ledger_{next(DATABASES)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://clara@/{database}?host={self.folder}&port={self.port}"


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that is gone, with all it held, at the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) + [Path(p) for p in [shutil.which("initdb")] if p]
    assert found, (
        "PostgreSQL is missing: `sh tests/engines/install.sh` as root, or install your system's postgresql package"
    )
    folder = Path(tempfile.mkdtemp(prefix="clusterctl-pg-"))
    if OWNER:
        shutil.chown(folder, OWNER)
    try:
        (folder / "password").write_text(PASSWORD, encoding="ascii")
        (folder / "password").chmod(0o644)
        command = [
            str(found[-1]),
            "-D",
            str(folder / "data"),
            "-U",
            "clara",
            "--auth-local=trust",
            "--no-sync",
            "--auth-host=scram-sha-256",
            f"--pwfile={folder / 'password'}",
        ]
        subprocess.run(command, check=True, user=OWNER, stdout=subprocess.DEVNULL, cwd="/")
        server = Server(programs=found[-1].parent, folder=folder, port=_free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
