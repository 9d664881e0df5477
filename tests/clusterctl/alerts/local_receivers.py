"""Receivers on this machine that answer as told: an HTTP server, an SMTP server, a certificate of its own for TLS."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clusterctl.alerts.messages import Message
from planners.alerts.alert_facts import OpenAlert
from planners.alerts.delivery import KeptAlert, Line, News

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def open_alert(about: str = "rlcef-1", **changes: Any) -> OpenAlert:
    fields = {"key": f"stalled:{about}", "rule": "stalled", "level": "warn", "about": about, "run": about}
    fields |= {"text": "no step for 16 min", "fix": f"clusterctl logs {about} --tail 20"}
    return OpenAlert(**(fields | changes))


def line(news: News = "new", **changes: Any) -> Line:
    told_at = None if news == "new" else NOW - timedelta(hours=1)
    ended = NOW if news == "resolved" else None
    opened = NOW - timedelta(hours=2)
    return Line(
        news=news, kept=KeptAlert(alert=open_alert(**changes), opened_at=opened, told_at=told_at, ended_at=ended)
    )


def message(*lines: Line, receiver: str = "ops") -> Message:
    return Message(receiver=receiver, at=NOW, lines=lines or (line(),))


@dataclass
class HttpReceiver:
    """Answers each POST by `answers`, in turn, the last one again and again; keeps what it got."""

    url: str = ""
    got: list[tuple[Mapping[str, str], Any]] = field(default_factory=list)
    answers: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)


def answer(
    status: int, body: str = "ok", headers: Mapping[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return act


def hang(until: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda _: until.wait(60) and None


def drip(until: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that never ends, a header every 20 ms."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        with suppress(OSError):
            while not until.wait(0.02):
                handler.wfile.write(b"X-More: 1\r\n")
                handler.wfile.flush()

    return act


@contextmanager
def http_receiver(
    *answers: Callable[[BaseHTTPRequestHandler], None], tls: Path | None = None
) -> Iterator[HttpReceiver]:
    receiver = HttpReceiver(answers=list(answers) or [answer(200)])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), json.loads(body)))
            act = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            with suppress(OSError):
                act(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    scheme = "http"
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_port}/services/T0/B0/very-secret-path"
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class MailServer:
    """Speaks as much SMTP as `smtplib` needs.  `replies` by verb take the place of the usual ones; None hangs up."""

    port: int = 0
    replies: dict[str, bytes | None] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    mail: str = ""


USUAL = {
    "": b"220 here\r\n",
    "EHLO": b"250-here\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
    "AUTH": b"235 in\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 taken\r\n",
    "QUIT": b"221 bye\r\n",
    "STARTTLS": b"220 now\r\n",
}


@contextmanager
def mail_server(
    replies: Mapping[str, bytes | None] | None = None, *, tls: Path | None = None, hangs: bool = False
) -> Iterator[MailServer]:
    """tls: the certificate with which STARTTLS goes on.  hangs: it takes connections and says nothing."""
    server, listener = MailServer(replies=dict(replies or {})), socket.create_server(("127.0.0.1", 0))
    server.port = listener.getsockname()[1]
    ended = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                if hangs:
                    ended.wait(60)
                with suppress(OSError), ExitStack() as opened:
                    opened.enter_context(connection)
                    _talk(server, connection, tls, opened)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)  # which ends a wait for a connection; closing alone does not
        listener.close()
        thread.join(30)


def _talk(server: MailServer, connection: socket.socket, tls: Path | None, opened: ExitStack) -> None:
    def reply(verb: str, default: bytes = b"250 ok\r\n") -> bool:
        said = server.replies[verb] if verb in server.replies else USUAL.get(verb, default)
        if said is not None:
            connection.sendall(said)
        return said is not None

    if not reply(""):
        return
    lines = opened.enter_context(connection.makefile("rb"))
    while text := lines.readline().decode("utf-8", "replace").rstrip("\r\n"):
        server.heard.append(text)
        verb = text.split()[0].upper()
        if not reply(verb) or verb == "QUIT":
            return
        if verb == "STARTTLS" and tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            connection = opened.enter_context(context.wrap_socket(connection, server_side=True))
            lines = opened.enter_context(connection.makefile("rb"))
        if verb == "DATA" and "DATA" not in server.replies:
            mail = []
            while (row := lines.readline()) not in (b".\r\n", b""):
                mail.append(row)
            server.mail = b"".join(mail).decode()
            if not reply("."):
                return


def certificate(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself, in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(tz=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "here.pem"
    file.write_bytes(pem + built.public_bytes(serialization.Encoding.PEM))
    return file


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
