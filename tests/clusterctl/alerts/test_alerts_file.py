"""The file of alerts: what is refused, with file, line, field and hint, and never with a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl.alerts.rules_file import RulesReader, load_rules, rules_path
from clusterctl.errors import SpecError

REPO = Path(__file__).resolve().parents[3]
BAD = {
    "[]": "1:1: a file of alerts is a mapping",
    "rules: {idel: off}": "1:9: there is no field rules.idel; did you mean idle?",
    "rules:\n  idle:\n    above_percent: 200": "3:20: rules.idle.above_percent must be less than or equal to 100, not 200",
    "rules: {idle: terrible}": "1:15: rules.idle.level is 'terrible'",
    "rules: {failed: 3}": "1:17: rules.failed must be a mapping, not 3",
    "rules: {failed: {to: ops}}": "1:22: rules.failed.to must be a list, not 'ops'",
    "rules: {idle: {minutes: .nan}}": "1:25: rules.idle.minutes must be a finite number, not nan",
    "every_minutes: 0": "1:16: every_minutes must be greater than 0, not 0",
    "version: 2": "1:10: version is 2",
    "receivers: {ops: {kind: slac}}": "1:18: receivers.ops.kind is 'slac'",
    "receivers: {ops: {url_env: X}}": "1:18: receivers.ops needs kind",
    "receivers: {ops: {kind: slack}}": "1:18: receivers.ops needs either url_env or url_file",
    "receivers: {ops: {kind: slack, url_env: X, url_file: /x}}": "1:41: receivers.ops needs either url_env or url_file",
    "receivers: {ops: {kind: slack, url: X}}": "1:32: there is no field receivers.ops.url; did you mean url_env?",
    "receivers: {ops: {kind: email, host: h}}": "1:18: receivers.ops needs sender",
    "receivers: {ops: {kind: command, run: rm}}": "1:39: receivers.ops.run must be a list, not 'rm'",
    "receivers: {'a b': {kind: command, run: [a]}}": "1:20: receivers.a b has what is not allowed there, not 'a b'",
    "to: [opz]\nreceivers: {ops: {kind: command, run: [a]}}": "1:6: there is no receiver 'opz'; did you mean ops?",
    "rules: {failed: {to: [x]}}": "1:23: there is no receiver 'x'",
    "receivers: {m: {kind: email, host: h, sender: a@b.c, recipients: [\"x@y\\nBcc: z@z\"]}}": (
        "1:67: receivers.m.recipients[0] has what is not allowed there"
    ),
    "receivers: {m: {kind: email, host: h, sender: a@b.c, recipients: [d@e.f], user: u}}": (
        "1:81: receivers.m needs user and one of password_env and password_file, or none of the three"
    ),
    "receivers: {m: {kind: email, host: h, sender: a@b.c, recipients: [d@e.f], user: u, password_env: P, tls: none}}": (
        "1:106: receivers.m sends no password without TLS"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_a_mistake_is_one_message_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        load_rules(file)
    assert refused.value.message.startswith(f"{file}:{BAD[text]}")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "receivers: {ops: {kind: slack, url_env: 'https://hooks.example/very-secret'}}",
        "receivers: {ops: {kind: slack, url_file: 'https://hooks.example/very-secret'}}",
        "receivers: {ops: {kind: slack, url: 'https://hooks.example/very-secret'}}",
        "receivers: {m: {kind: email, host: h, sender: a@b.c, recipients: [d@e.f], user: u, password_file: very-secret}}",
        "receivers: {m: {kind: email, host: h, sender: a@b.c, recipients: [d@e.f], user: u, password: very-secret}}",
        "receivers: {ops: {kind: slack, url_env: [very-secret]}}",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        load_rules(file)
    assert "very-secret" not in f"{refused.value.message} {refused.value.hint}"


def example() -> str:
    """The file that the documentation shows."""
    text = (REPO / "docs" / "alerts.md").read_text(encoding="utf-8")
    return text.partition("```yaml\n")[2].partition("```")[0]


def test_the_documented_file_is_right_and_does_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(example(), encoding="utf-8")
    rules = load_rules(file)
    assert rules.told("pager") == {"failed"}
    assert rules.told("ann") == {"idle"}
    assert "unpriced" not in rules.told("ops")
    assert rules.told("ops") >= {"stalled", "budget", "failed", "idle", "orphan"}
    assert rules.told("hook") == frozenset()


def test_without_a_file_every_rule_is_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    assert rules_path() == tmp_path / "alerts.yaml"
    assert load_rules().receivers == {}
    (tmp_path / "alerts.yaml").write_text("rules: {idle: off}")
    assert not load_rules().rules.idle.enabled
    with pytest.raises(SpecError, match="no such file"):
        load_rules(tmp_path / "other.yaml")


def test_a_changed_file_counts_and_a_bad_one_waits(tmp_path: Path) -> None:
    file, said = tmp_path / "alerts.yaml", list[str]()
    file.write_text("every_minutes: 2")
    reader = RulesReader(file, load_rules(file), said.append)
    file.write_text("every_minutes: 30")
    assert reader.rules().every_minutes == 30
    file.write_text("every_minutes: soon")
    assert [reader.rules().every_minutes, reader.rules().every_minutes] == [30, 30]
    assert said == [f"{file}:1:16: every_minutes must be a number, not 'soon'; the rules stay as they were"]
    file.unlink()
    assert reader.rules().every_minutes == 30
