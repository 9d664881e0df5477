"""What a store in a bucket does, whoever serves it: answering, silent, slow and gone."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from test_kill import FIRST, Child, rows_of
from test_store import LATER, NOON, everything, gpu_rows

from clusterctl.errors import StateError
from clusterctl.store import open_store
from clusterctl.store.bucket import Bucket
from clusterctl.store.parquet_store import TelemetryStore
from clusterctl.store.writer import Writer


class Server:
    """A server of buckets that can be stopped and started again (it forgets everything then)."""

    store = ""
    """URL of a store in it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """What starts it on its port."""
        raise NotImplementedError

    def environ(self, url: str) -> dict[str, str]:
        """As a person names the server at a URL."""
        raise NotImplementedError

    def empty(self) -> None:
        """Make the bucket, or empty it."""
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                self.empty()
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError(f"{self.command()[0]} does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def quick(bucket: Server, tmp_path: Path, name: str = "quick", **options: int) -> TelemetryStore:
    """A store in the bucket, of another machine than that of `open_store`, with little patience."""
    store = TelemetryStore(Bucket(bucket.store, folder=tmp_path / name, timeout=timedelta(seconds=0.5)), node=name)
    store._writer = Writer(store.object_store, node=name, **options)
    return store


def silent(connection: socket.socket) -> None:
    connection.recv(2**20)
    threading.Event().wait(3)


def garbage(connection: socket.socket) -> None:
    connection.recv(2**20)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno bucket")


def refusal(connection: socket.socket) -> None:
    connection.recv(2**20)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nnot me")


class BucketContract:
    """Its heirs name the server."""

    server_class: type[Server]

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Server]:
        started = cls.server_class()
        started.start()
        yield started
        started.stop()

    @pytest.fixture
    def bucket(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
        """The server with an empty bucket, as the environment of a person names it."""
        for name, text in (server.environ(server.url) | {"CLUSTERCTL_HOME": str(tmp_path)}).items():
            monkeypatch.setenv(name, text)
        if server.process.poll() is not None:
            server.start()
        server.empty()
        return server

    def test_a_bucket_does_what_a_folder_does(self, bucket: Server, tmp_path: Path) -> None:
        with open_store(bucket.store) as store:
            assert store.span() is None
            for node in ("node-1", "node-2"):
                store.append("gpu", gpu_rows(1000, node=node))
                store.flush()
            raw, rolled = everything(store).sort("at", "node"), everything(store, step_seconds=600)
            assert len(raw) == 2000
        other = quick(bucket, tmp_path)  # which has nothing in its cache
        other.compact(LATER)
        for reader in (store, other):
            assert everything(reader).sort("at", "node").equals(raw)
            assert everything(reader, step_seconds=600)["seconds"].sum() == rolled["seconds"].sum() == 20_000
            assert reader.span() == (raw["at"][0], raw["at"][-1])
            assert reader.problems() == ()
        other.expire(LATER, max_bytes=0)
        assert other.object_store.entries("") == []
        assert everything(store).is_empty()

    def test_of_two_compactions_one_wins(self, bucket: Server, tmp_path: Path) -> None:
        object_store = quick(bucket, tmp_path).object_store
        assert object_store.put("m", b"first", new=True)
        assert not object_store.put("m", b"second", new=True)
        assert object_store.local("m").read_bytes() == b"first"

    def test_a_dead_bucket_loses_nothing_even_if_the_writer_is_killed(self, bucket: Server, tmp_path: Path) -> None:
        store = quick(bucket, tmp_path)
        bucket.stop()
        for number in range(3):
            store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
            store.flush()
        (problem,) = store.problems()
        assert problem == f"{bucket.store} can't be written: it does not answer"
        with pytest.raises(StateError, match="does not answer") as caught:
            store.close()
        assert "the next writer to this bucket sends them" in (caught.value.hint or "")
        assert everything(store).is_empty()
        assert store.problems() == (f"{bucket.store} can't be listed: it does not answer", problem)
        bucket.start()
        with quick(bucket, tmp_path) as successor:  # the first was killed: nobody calls its flush again
            successor.flush()
            assert len(everything(successor)) == 300
            assert successor.problems() == ()

    def test_what_waits_too_long_for_a_bucket_is_dropped_and_noted(self, bucket: Server, tmp_path: Path) -> None:
        store = quick(bucket, tmp_path, max_spool_bytes=12_000)
        bucket.stop()
        for number in range(5):
            store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
            store.flush()
        bucket.start()
        store.flush()
        kept = everything(store)["at"]
        assert 100 <= len(kept) < 500
        assert kept.max() == NOON + timedelta(seconds=5000)
        now = store.read("notes", start=NOON - timedelta(days=1), end=NOON + timedelta(days=3650))
        ((kind, subject, text),) = now.select("kind", "subject", "text").rows()
        assert (kind, subject) == ("gap", "gpu")
        assert text.startswith("rows from ")
        assert text.endswith(f"were dropped: {bucket.store} can't be written: it does not answer")

    @pytest.mark.parametrize(
        ("answer", "reason"), [(silent, "it does not answer"), (refusal, "403 Forbidden"), (garbage, "listed")]
    )
    def test_a_slow_or_broken_bucket_costs_little_time(
        self,
        bucket: Server,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        answer: Callable[[socket.socket], None],
        reason: str,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:
                        return
                    threading.Thread(target=_one, args=(connection,), daemon=True).start()

            def _one(connection: socket.socket) -> None:
                with connection:
                    answer(connection)

            threading.Thread(target=serve, daemon=True).start()
            for name, text in bucket.environ(f"http://127.0.0.1:{listener.getsockname()[1]}").items():
                monkeypatch.setenv(name, text)
            store = quick(bucket, tmp_path)
            store.append("gpu", gpu_rows(100))
            began = time.monotonic()
            store.flush()
            assert everything(store).is_empty()
            assert time.monotonic() - began < 10
            problems = " ".join(store.problems())
            assert reason in problems
            assert "secret" not in problems
            listener.shutdown(socket.SHUT_RDWR)

    def test_sending_again_what_was_merged_meanwhile_does_not_double_it(self, bucket: Server, tmp_path: Path) -> None:
        store = quick(bucket, tmp_path)
        store.append("gpu", gpu_rows(100))
        store.flush()
        (batch,) = store.object_store.entries("v1/gpu")
        content = store.object_store.local(batch.key).read_bytes()
        store.compact(LATER)
        store.object_store.delete([batch.key])  # as a later compaction does
        spool = store.object_store.spool
        assert spool
        spool.put(batch.key, content)  # as of a process that was killed between sending and forgetting
        store.flush()
        assert batch.key in {entry.key for entry in store.object_store.entries("v1/gpu")}
        assert len(everything(store)) == 100

    def test_a_writer_that_is_killed_loses_and_doubles_nothing(self, bucket: Server) -> None:
        child = Child(bucket.store, "a")
        assert child.started.wait(60)
        threading.Event().wait(1)
        flushed = child.kill()
        with open_store(bucket.store) as store:
            store.flush()  # what the killed one had not sent yet
            assert flushed <= rows_of(store, "a") <= flushed + 7
            store.compact(FIRST + timedelta(days=365))
            assert flushed <= rows_of(store, "a") <= flushed + 7
            assert store.problems() == ()
