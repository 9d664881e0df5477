"""Messages by mail: one attempt by SMTP."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from typing import Any

from clusterctl.alerts.messages import Message, NotDelivered, one_line, plain_text
from clusterctl.alerts.receiver_secrets import read_secret
from clusterctl.alerts.rules_file import Email
from clusterctl.ui.formats import count

PORTS = {"starttls": 587, "ssl": 465, "none": 25}
WAIT_SECONDS = 10.0
"""For one answer of the server."""
MOST_SUBJECT = 150


def send(receiver: Email, message: Message) -> str:
    """Send a message once; which recipients were refused, or empty.  Raises NotDelivered, SpecError."""
    password = read_secret(f"receivers.{message.receiver}", env=receiver.password_env, file=receiver.password_file)
    letter = mail_of(receiver, message)
    over = threading.Event()
    connections: list[smtplib.SMTP] = []

    def give_up() -> None:
        over.set()
        for connection in connections:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]  # wakes whoever reads

    timer = threading.Timer(receiver.seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        refused = _send(receiver, letter, password, connections)
    except (smtplib.SMTPException, OSError, ValueError) as error:
        why = f"not done within {receiver.seconds:g} s" if over.is_set() else _why(error, password)
        raise NotDelivered(f"{receiver.host}: {why}") from None
    finally:
        timer.cancel()
    return f"refused: {', '.join(sorted(refused))}" if refused else ""


def _send(receiver: Email, letter: EmailMessage, password: str, connections: list[smtplib.SMTP]) -> dict[str, object]:
    """Recipients that were refused, while others were not."""
    wait, context = min(WAIT_SECONDS, receiver.seconds), ssl.create_default_context()

    class Plain(smtplib.SMTP):
        def connect(self, *place: Any, **options: Any) -> Any:
            connections.append(self)
            return super().connect(*place, **options)

    class Secured(Plain, smtplib.SMTP_SSL):
        pass

    port = receiver.port or PORTS[receiver.tls]
    if receiver.tls == "ssl":
        server: smtplib.SMTP = Secured(receiver.host, port, timeout=wait, context=context)
    else:
        server = Plain(receiver.host, port, timeout=wait)
    try:
        if receiver.tls == "starttls":
            server.starttls(context=context)
        if receiver.user is not None:
            server.login(receiver.user, password)
        return dict(server.send_message(letter))
    finally:
        with suppress(smtplib.SMTPException, OSError):
            server.quit()
        server.close()


def mail_of(receiver: Email, message: Message) -> EmailMessage:
    """The mail.  Texts from elsewhere are one line each, so that none begins a header."""
    letter = EmailMessage(policy=WIRE)
    letter["Subject"] = f"[clusterctl] {one_line(message.headline)[:MOST_SUBJECT]}"
    letter["From"], letter["To"] = receiver.sender, ", ".join(receiver.recipients)
    letter["Date"] = format_datetime(message.at)
    letter["Message-ID"] = f"<{message.id}@clusterctl.alerts>"
    letter["Auto-Submitted"] = "auto-generated"  # so that no one answers it: RFC 3834, section 5
    letter.set_content(plain_text(message))
    return letter


def _why(error: Exception, password: str) -> str:
    match error:
        case smtplib.SMTPRecipientsRefused():
            first = _reply(next(iter(error.recipients.values())))
            why = f"it refuses {count(len(error.recipients), 'recipient')}: {first}"
        case smtplib.SMTPAuthenticationError():
            why = f"it refuses the user or the password ({error.smtp_code})"
        case smtplib.SMTPResponseException(smtp_code=-1):
            why = "it does not speak SMTP"
        case smtplib.SMTPResponseException():
            why = f"it says {_reply((error.smtp_code, error.smtp_error))}"
        case smtplib.SMTPServerDisconnected():
            why = "it closed the connection"
        case smtplib.SMTPNotSupportedError():
            why = f"it does not support what is asked: {one_line(str(error))}"
        case ssl.SSLError():
            why = "its certificate or TLS is refused"
        case TimeoutError():
            why = "it does not answer in time"
        case _:
            why = one_line(getattr(error, "strerror", None) or type(error).__name__)
    return why.replace(password, "***") if password else why


def _reply(reply: object) -> str:
    code, words = reply if isinstance(reply, tuple) else (0, reply)
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
    return one_line(f"{code} {text}")
