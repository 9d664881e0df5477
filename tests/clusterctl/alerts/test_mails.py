"""Mail against a local SMTP server that takes it, refuses, hangs up and says nothing."""

from __future__ import annotations

import email
import time
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from local_receivers import certificate, closed_port, line, mail_server, message

from clusterctl.alerts.mail import mail_of, send
from clusterctl.alerts.messages import NotDelivered
from clusterctl.alerts.rules_file import Email
from clusterctl.errors import SpecError


def receiver(port: int, **fields: Any) -> Email:
    given = {"kind": "email", "sender": "from@example.com", "recipients": ["a@example.com", "b@example.com"]}
    return Email.model_validate(given | {"host": "127.0.0.1", "port": port, "tls": "none", "seconds": 20.0} | fields)


def test_a_mail_arrives() -> None:
    with mail_server() as server:
        assert send(receiver(server.port), message()) == ""
    assert [text.lower() for text in server.heard if text.lower().startswith(("mail", "rcpt"))] == [
        "mail from:<from@example.com>",
        "rcpt to:<a@example.com>",
        "rcpt to:<b@example.com>",
    ]
    letter = email.message_from_string(server.mail, policy=default)
    assert letter["Subject"] == "[clusterctl] warn: rlcef-1: no step for 16 min"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "clusterctl logs rlcef-1 --tail 20" in letter.get_content()


def test_a_password_goes_through_tls_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("PASSWORD", "correct horse")
    with mail_server(tls=pem) as server:
        send(receiver(server.port, tls="starttls", user="me", password_env="PASSWORD"), message())
    assert [text.split()[0].upper() for text in server.heard][:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert "no step for 16 min" in server.mail


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ({"RCPT": b"550 no such mailbox\r\n"}, "it refuses 2 recipients: 550 no such mailbox"),
        ({"MAIL": b"554 blocked \x1b[2J\r\n"}, "it says 554 blocked ␛[2J"),
        ({"DATA": b"451 try later\r\n"}, "it says 451 try later"),
        ({".": b"452 full\r\n"}, "it says 452 full"),
        ({".": None}, "it closed the connection"),
        ({"DATA": None}, "it closed the connection"),
        ({"": None}, "it closed the connection"),
        ({"": b"421 too busy\r\n"}, "it says 421 too busy"),
        ({"": b"garbage\r\n"}, "it does not speak SMTP"),
    ],
)
def test_a_refusal_is_said(replies: dict[str, bytes | None], said: str) -> None:
    with mail_server(replies) as server, pytest.raises(NotDelivered) as refused:
        send(receiver(server.port), message())
    assert str(refused.value) == f"127.0.0.1: {said}"


def test_recipients_who_are_refused_do_not_keep_it_from_the_others() -> None:
    with mail_server({"RCPT": None}) as server:
        server.replies = {}
        answers = iter([b"550 unknown\r\n", b"250 ok\r\n"])

        class Replies(dict[str, bytes | None]):
            def __contains__(self, verb: object) -> bool:
                return verb == "RCPT"

            def __getitem__(self, verb: str) -> bytes | None:
                return next(answers)

        server.replies = Replies()
        assert send(receiver(server.port), message()) == "refused: a@example.com"
    assert "no step for 16 min" in server.mail


def test_a_wrong_password_is_said_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    monkeypatch.setenv("PASSWORD", "correct horse")
    refusal = {"AUTH": b"535 correct horse is wrong\r\n"}
    with mail_server(refusal, tls=pem) as server, pytest.raises(NotDelivered) as refused:
        send(receiver(server.port, tls="starttls", user="me", password_env="PASSWORD"), message())
    assert str(refused.value) == "127.0.0.1: it refuses the user or the password (535)"


def test_tls_that_is_not_there_or_that_nobody_vouches_for(tmp_path: Path) -> None:
    with mail_server({"EHLO": b"250 here\r\n"}) as server, pytest.raises(NotDelivered, match="does not support"):
        send(receiver(server.port, tls="starttls"), message())
    for tls in ("starttls", "ssl"):
        with (
            mail_server(tls=certificate(tmp_path)) as server,
            pytest.raises(NotDelivered, match=r"TLS is refused|closed"),
        ):
            send(receiver(server.port, tls=tls), message())


def test_a_server_that_says_nothing_is_given_up() -> None:
    began = time.monotonic()
    with mail_server(hangs=True) as server, pytest.raises(NotDelivered, match=r"within 0\.2 s|in time"):
        send(receiver(server.port, seconds=0.2), message())
    assert time.monotonic() - began < 10


def test_nobody_there_and_no_password() -> None:
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.1: Connection refused"):
        send(receiver(closed_port()), message())
    with pytest.raises(SpecError, match="the variable NO_SUCH_PASSWORD is not set"):
        send(receiver(1, user="me", password_env="NO_SUCH_PASSWORD"), message())


def test_text_from_elsewhere_is_no_header() -> None:
    evil = line(about="r1\r\nBcc: everybody@example.com\r\n\r\n<script>", text="x\nSubject: other")
    letter = mail_of(receiver(25), message(evil))
    parsed = email.message_from_bytes(letter.as_bytes(), policy=default)
    assert parsed["Bcc"] is None
    assert [subject.strip() for subject in parsed.get_all("Subject")] == [
        "[clusterctl] warn: r1 Bcc: everybody@example.com <script>: x Subject: other"
    ]
