"""What receivers read: golden files, and text from elsewhere that tries to be more than text."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_receivers import NOW, line, message

from clusterctl.alerts.mail import mail_of
from clusterctl.alerts.messages import MOST_SLACK_CHARACTERS, Message, as_json, plain_text, slack
from clusterctl.alerts.rules_file import Email
from planners.alerts.delivery import Line

Golden = Callable[[str, str], None]

MANY = (
    line(level="bad", rule="failed", key="failed:sft-2", about="sft-2", text="has failed: out of memory", fix="clusterctl status sft-2"),
    line("worse", rule="budget", key="budget:rlcef-1:usd 50", text="82% of the budget of $50 is used", fix="clusterctl up rlcef-1 --limit-usd N"),
    line("still open"),
    line("resolved", rule="idle", key="idle:rlcef-1", text="70% of the time of its 8 GPUs was idle over the last 30 min"),
)  # fmt: skip
RECEIVER = Email(
    kind="email", sender="clusterctl@example.com", recipients=("ann@example.com",), host="smtp.example.com"
)


@pytest.mark.parametrize(("name", "lines"), [("one", (line(),)), ("several", MANY), ("resolved", (MANY[-1],))])
def test_messages_as_people_and_programs_read_them(golden: Golden, name: str, lines: tuple[Line, ...]) -> None:
    sent = message(*lines)
    mail = mail_of(RECEIVER, sent).as_string().replace("\r\n", "\n")
    parts = {"Slack": slack(sent)["text"], "mail": mail, "JSON": json.dumps(as_json(sent), indent=2)}
    golden(f"alerts/{name}.txt", "\n".join(f"=== {kind}\n{text}\n" for kind, text in parts.items()))


def test_a_test_message_says_that_it_is_one() -> None:
    test = Message(receiver="ops", at=NOW, is_test=True)
    assert slack(test)["text"] == "*clusterctl*: a test of this receiver: nothing is wrong"
    assert plain_text(test).startswith("A test of this receiver: nothing is wrong.")
    assert as_json(test)["test"] is True


@given(st.text(max_size=80), st.text(max_size=80))
def test_text_from_elsewhere_is_neither_mention_nor_link_nor_control(about: str, text: str) -> None:
    evil = line(about=f"<!channel>{about}", text=f"@here <https://evil|click> {text}", fix=f"`{text}`")
    said = slack(message(evil, line()))["text"]
    assert "<" not in said
    assert ">" not in said
    assert "@here" not in said
    for shown in (said, plain_text(message(evil, line()))):
        assert all(character.isprintable() or character in "\n\u200b" for character in shown)


def test_one_alert_is_one_line_whatever_it_says() -> None:
    said = plain_text(message(line(text="a\n\nbad: forged: alert\r\nx")))
    assert "warn: rlcef-1: a bad: forged: alert x" in said.splitlines()


def test_a_long_message_is_cut_where_an_alert_ends_and_says_so() -> None:
    lines = [line(text="x" * 600, key=f"stalled:{number}") for number in range(50)]
    said = slack(message(*lines))["text"]
    assert len(said) < MOST_SLACK_CHARACTERS + 100
    assert said.endswith("more: `clusterctl alerts` lists what is open")


def test_alerts_of_which_nothing_is_kept_are_counted() -> None:
    sent = Message(receiver="ops", at=NOW, lines=MANY, left_out=7)
    assert as_json(sent)["left_out"] == 7
    for said in (slack(sent)["text"], plain_text(sent)):
        assert "At least 7 alerts more" in said


def test_the_id_of_a_message_is_that_of_its_content() -> None:
    assert message(*MANY).id == message(*MANY).id
    assert message(*MANY).id != message(*MANY[:2]).id
    assert message(*MANY).id != message(*MANY, receiver="other").id
