"""A bucket: S3 as moto serves it, answering, silent, slow and gone."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from test_store import LATER, NOON, everything, gpu_rows

from clusterctl.errors import SpecError, StateError
from clusterctl.store import open_store
from clusterctl.store.bucket import Bucket
from clusterctl.store.outbox import Outbox
from clusterctl.store.store import Store

URL = "s3://telemetry/fleet"


class Moto:
    """A server of S3 that can be stopped and started again (it forgets everything then)."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                assert httpx.put(f"{self.url}/telemetry", headers={"Host": "s3.amazonaws.com"}).is_success
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError("moto does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Moto]:
    moto = Moto()
    moto.start()
    yield moto
    moto.stop()


@pytest.fixture
def moto(server: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """The server with an empty bucket, as the environment of a person names it."""
    environ = {"AWS_ENDPOINT_URL": server.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "key",
               "AWS_SECRET_ACCESS_KEY": "very-secret", "AWS_REGION": "us-east-1", "CLUSTERCTL_HOME": str(tmp_path)}  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    if server.process.poll() is not None:
        server.start()
    httpx.post(f"{server.url}/moto-api/reset")
    assert httpx.put(f"{server.url}/telemetry", headers={"Host": "s3.amazonaws.com"}).is_success
    return server


def quick(tmp_path: Path, name: str = "quick", **options: int) -> Store:
    """A store in the bucket, of another machine than that of `open_store`, with little patience."""
    store = Store(Bucket(URL, folder=tmp_path / name, timeout=timedelta(seconds=0.5)), node=name)
    store._writer.outbox = Outbox(store.objects, node=name, **options)
    return store


def test_a_bucket_does_what_a_folder_does(moto: Moto, tmp_path: Path) -> None:
    with open_store(URL) as store:
        assert store.span() is None
        for node in ("node-1", "node-2"):
            store.append("gpu", gpu_rows(1000, node=node))
            store.flush()
        raw, rolled = everything(store).sort("at", "node"), everything(store, step_seconds=600)
        assert len(raw) == 2000
    other = quick(tmp_path)  # which has nothing in its cache
    other.compact(LATER)
    for reader in (store, other):
        assert everything(reader).sort("at", "node").equals(raw)
        assert everything(reader, step_seconds=600)["seconds"].sum() == rolled["seconds"].sum() == 20_000
        assert reader.span() == (raw["at"][0], raw["at"][-1])
        assert reader.problems() == ()
    other.expire(LATER, max_bytes=0)
    assert other.objects.entries("") == []
    assert everything(store).is_empty()


def test_of_two_compactions_one_wins(moto: Moto, tmp_path: Path) -> None:
    bucket = quick(tmp_path).objects
    assert bucket.put("m", b"first", new=True)
    assert not bucket.put("m", b"second", new=True)
    assert bucket.local("m").read_bytes() == b"first"


def test_a_dead_bucket_loses_nothing_even_if_the_writer_is_killed(moto: Moto, tmp_path: Path) -> None:
    store = quick(tmp_path)
    moto.stop()
    for number in range(3):
        store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
        store.flush()
    (problem,) = store.problems()
    assert problem == f"{URL} can't be written: it does not answer"
    with pytest.raises(StateError, match="does not answer") as caught:
        store.close()
    assert "the next writer to this bucket sends them" in (caught.value.hint or "")
    assert everything(store).is_empty()
    assert store.problems() == (f"{URL} can't be listed: it does not answer", problem)
    moto.start()
    with quick(tmp_path) as successor:  # the first was killed: nobody calls its flush again
        successor.flush()
        assert len(everything(successor)) == 300
        assert successor.problems() == ()


def test_what_waits_too_long_for_a_bucket_is_dropped_and_noted(moto: Moto, tmp_path: Path) -> None:
    store = quick(tmp_path, max_spool_bytes=12_000)
    moto.stop()
    for number in range(5):
        store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
        store.flush()
    moto.start()
    store.flush()
    kept = everything(store)["at"]
    assert 100 <= len(kept) < 500
    assert kept.max() == NOON + timedelta(seconds=5000)
    now = store.read("notes", start=NOON - timedelta(days=1), end=NOON + timedelta(days=3650))
    ((kind, subject, text),) = now.select("kind", "subject", "text").rows()
    assert (kind, subject) == ("gap", "gpu")
    assert text.startswith("rows from ")
    assert text.endswith(f"were dropped: {URL} can't be written: it does not answer")


def silent(connection: socket.socket) -> None:
    connection.recv(2**20)
    threading.Event().wait(3)


def garbage(connection: socket.socket) -> None:
    connection.recv(2**20)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno bucket")


def refusal(connection: socket.socket) -> None:
    connection.recv(2**20)
    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nnot me")


@pytest.mark.parametrize(("answer", "reason"), [
    (silent, "it does not answer"), (refusal, "403 Forbidden"), (garbage, "listed"),
])  # fmt: skip
def test_a_slow_or_broken_bucket_costs_little_time(
    moto: Moto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None], reason: str
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
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        store = quick(tmp_path)
        store.append("gpu", gpu_rows(100))
        began = time.monotonic()
        store.flush()
        assert everything(store).is_empty()
        assert time.monotonic() - began < 10
        problems = " ".join(store.problems())
        assert reason in problems
        assert "secret" not in problems
        listener.shutdown(socket.SHUT_RDWR)


def test_a_url_that_is_no_bucket_is_refused() -> None:
    for url in ("s3://", "az://container/folder", "ftp://somewhere"):
        with pytest.raises(SpecError):
            open_store(url)


def test_sending_again_what_was_merged_meanwhile_does_not_double_it(moto: Moto, tmp_path: Path) -> None:
    store = quick(tmp_path)
    store.append("gpu", gpu_rows(100))
    store.flush()
    (segment,) = store.objects.entries("v1/gpu")
    content = store.objects.local(segment.key).read_bytes()
    store.compact(LATER)
    store.objects.delete([segment.key])  # as a later compaction does
    spool = store.objects.spool
    assert spool
    spool.put(segment.key, content)  # as of a process that was killed between sending and forgetting
    store.flush()
    assert segment.key in {entry.key for entry in store.objects.entries("v1/gpu")}
    assert len(everything(store)) == 100


def test_segments_need_no_polars() -> None:
    code = "import sys; import clusterctl.store.outbox, clusterctl.store.bucket; sys.exit('polars' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
