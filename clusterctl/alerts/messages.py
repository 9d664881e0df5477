"""What receivers are told: as plain text, in Slack's format, as JSON.

Names and reasons come from elsewhere: they become one line, can't steer a terminal or add a header, and in Slack's
format they are neither a mention nor a link.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clusterctl.ui.formats import count, elapsed
from clusterctl.ui.streams import printable
from planners.alerts.alert_facts import OpenAlert
from planners.alerts.delivery import KeptAlert, Line
from planners.alerts.rule_settings import LEVELS

MOST_CHARACTERS = 500
"""Of one text from elsewhere."""
MOST_SLACK_CHARACTERS = 3500
"""Slack recommends at most 4,000: https://docs.slack.dev/reference/methods/chat.postMessage#truncating"""
ICONS = {"bad": ":red_circle:", "warn": ":large_orange_circle:", "info": ":large_blue_circle:"}
RESOLVED_ICON = ":white_check_mark:"
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


class NotDelivered(Exception):  # noqa: N818 - what happened
    """A message has not arrived.  Its text holds no secret."""

    def __init__(self, why: str, *, asked_pause: timedelta | None = None) -> None:
        super().__init__(why)
        self.asked_pause = asked_pause
        """Which the receiver asks for before the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one receiver."""

    receiver: str
    at: datetime
    lines: Sequence[Line] = ()
    left_out: int = 0
    """Alerts of which nothing is kept in mind: too many are open."""
    is_test: bool = False

    @property
    def headline(self) -> str:
        """`rlcef-1: has failed: out of memory`, or `3 new alerts, 1 resolved`."""
        if self.is_test:
            return "a test of this receiver: nothing is wrong"
        if len(self.lines) == 1:
            return f"{_word(self.lines[0])}: {said(self.lines[0].kept.alert)}"
        counts = Counter(line.news for line in self.lines)
        new = [count(counts["new"], "new alert")] if counts["new"] else []
        return ", ".join(
            [*new, *(f"{counts[news]} {news}" for news in ("worse", "still open", "resolved") if counts[news])]
        )

    @property
    def level(self) -> str:
        """The worst of what is open; `resolved` where nothing of it is."""
        levels = {line.kept.alert.level for line in self.lines if line.news != "resolved"}
        return next((level for level in LEVELS if level in levels), "info" if self.is_test else "resolved")

    @property
    def id(self) -> str:
        """The same for the same content, however often it is tried."""
        parts = [f"{_identity(line.kept)} {line.news} {line.kept.alert.rank}" for line in self.lines]
        parts += [self.receiver, *([self.at.isoformat()] if self.is_test else [])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def one_line(text: str) -> str:
    """Text from elsewhere on one line, without what steers a terminal, and not too long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


def said(alert: OpenAlert) -> str:
    """`rlcef-1: has failed: out of memory`"""
    return one_line(f"{alert.about}: {alert.text}")


def plain_text(message: Message) -> str:
    """For mail: a line per alert, its fix below it."""
    lines = [f"{_capital(message.headline)}.", ""] if len(message.lines) != 1 else []
    for line in message.lines:
        lines.append(f"{_word(line)}: {said(line.kept.alert)}")
        lines.append(f"    {_since(line)}")
        if line.kept.alert.fix and line.news != "resolved":
            lines.append(f"    {one_line(line.kept.alert.fix)}")
    lines += ["", left_out(message.left_out)] if message.left_out else []
    return "\n".join([*lines, "", "-- ", "clusterctl alerts", ""])


def slack(message: Message) -> dict[str, Any]:
    """The body of an incoming webhook of Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

    Escaped as Slack asks: https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    blocks = [f"*clusterctl*: {_escaped(message.headline)}"] if len(message.lines) != 1 else []
    for number, line in enumerate(message.lines):
        alert = line.kept.alert
        icon = RESOLVED_ICON if line.news == "resolved" else ICONS[alert.level]
        block = f"{icon} *{_word(line)}* {_escaped(said(alert))}"
        if line.news == "resolved":
            block += f" ({_since(line)})"
        elif alert.fix:
            block += f"\n      `{_escaped(one_line(alert.fix)).replace('`', chr(39))}`"
        if sum(map(len, blocks)) + len(block) > MOST_SLACK_CHARACTERS:
            blocks.append(f"and {len(message.lines) - number} more: `clusterctl alerts` lists what is open")
            break
        blocks.append(block)
    blocks += [left_out(message.left_out)] if message.left_out else []
    return {"text": "\n".join(blocks), "unfurl_links": False, "unfurl_media": False}


def as_json(message: Message) -> dict[str, Any]:
    """Our own format, of webhooks and commands."""
    return {
        "version": 1,
        "id": message.id,
        "receiver": message.receiver,
        "sent_at": message.at.isoformat(),
        "test": message.is_test,
        "level": message.level,
        "text": message.headline,
        "alerts": [
            {
                "id": _identity(line.kept),
                "news": line.news,
                "status": "resolved" if line.news == "resolved" else "open",
                **alert_data(line.kept.alert),
                "opened_at": line.kept.opened_at.isoformat(),
                "resolved_at": line.kept.ended_at.isoformat() if line.kept.ended_at else None,
            }
            for line in message.lines
        ],
        "left_out": message.left_out,
    }


def alert_data(alert: OpenAlert) -> dict[str, Any]:
    """One alert as JSON has it."""
    return {
        "key": alert.key,
        "rule": alert.rule,
        "level": alert.level,
        "about": alert.about,
        "run": alert.run,
        "text": alert.text,
        "fix": alert.fix,
    }


def left_out(alerts: int) -> str:
    """What is said of alerts of which nothing is kept in mind."""
    return f"At least {count(alerts, 'alert')} more: too many are open to tell of each."


def _identity(kept: KeptAlert) -> str:
    """The same from an alert's opening to its end."""
    return hashlib.sha256(f"{kept.alert.key}\n{kept.opened_at.isoformat()}".encode()).hexdigest()[:16]


def _word(line: Line) -> str:
    return line.news if line.news in ("resolved", "still open") else line.kept.alert.level


def _since(line: Line) -> str:
    kept = line.kept
    if kept.ended_at is None:
        return f"since {kept.opened_at:%Y-%m-%d %H:%M} UTC"
    was = f"open for {elapsed((kept.ended_at - kept.opened_at).total_seconds())}"
    return was if kept.told_at is not None else f"{was} while this receiver could not be told"


def _escaped(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MENTION.sub("@\u200b", escaped)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
