"""The file of alerts: rules, receivers, and who is told of what.  Read with file, line and field of every mistake.

No secret stands in it: a webhook's address and a password come from a variable of the environment or from a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from clusterctl.alerts.receiver_secrets import read_secret
from clusterctl.errors import SpecError
from clusterctl.paths import user_data_dir
from clusterctl.runs.alert_process import RULES_FILE
from clusterctl.specfile.model_errors import model_error
from clusterctl.specfile.spec_errors import nearest, shown
from clusterctl.specfile.yaml_file import Document, read_yaml
from planners.alerts.rule_settings import RULE_NAMES, AlertRules
from planners.spec.spec_model import Hours, Minutes, SpecModel, Text, Word

SECRET_FIELDS = tuple(f"{what}_{where}" for what in ("url", "token", "password") for where in ("env", "file"))
MANUAL = "docs/alerts.md shows one"
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Variable = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
SecretFile = Annotated[str, Field(min_length=2, max_length=4096, pattern=r"^(/|~/)")]
"""A path from the root or from the home folder; a secret that is written here by mistake is none, and isn't shown."""
_PART = r"[^\s@<>,;:\"()\[\]\\]+"
Address = Annotated[str, Field(min_length=3, max_length=254, pattern=rf"^{_PART}@{_PART}$")]


class Receiver(SpecModel):
    """What every receiver has."""

    resolved: bool = Field(True, description="Whether it is told, too, that an alert is over.")
    repeat_hours: Hours | None = Field(
        None, description="Tell it again of what is still open after so many hours; not stated: once."
    )
    seconds: Annotated[float, Field(gt=0, le=300, json_schema_extra={"unit": "seconds"})] = Field(
        30.0, description="Seconds that one attempt may take, all in all."
    )


class Webhook(Receiver):
    """An address that alerts are posted to."""

    kind: Literal["slack", "json"] = Field(
        description="slack: Slack's format, which Mattermost, Rocket.Chat and Discord (…/slack) read, too; json: ours."
    )
    url_env: Variable | None = Field(None, description="Variable of the environment that holds the address.")
    url_file: SecretFile | None = Field(
        None, description="File that holds the address, which nobody else may read (chmod 600)."
    )
    token_env: Variable | None = Field(None, description="Variable with a token, sent as `Authorization: Bearer`.")
    token_file: SecretFile | None = Field(None, description="File that holds it, which nobody else may read.")
    plain_http: bool = Field(
        False, description="Whether http:// to another machine will do: anybody on the way reads it."
    )


class Email(Receiver):
    """Mail by SMTP."""

    kind: Literal["email"]
    sender: Address = Field(description="Address that the mail comes from.")
    recipients: Annotated[tuple[Address, ...], Field(min_length=1, max_length=100)] = Field(
        description="Addresses that it goes to."
    )
    host: Word = Field(description="SMTP server.")
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)] | None = Field(
        None, description="Its port; not stated: 587 with starttls, 465 with ssl, 25 without."
    )
    tls: Literal["starttls", "ssl", "none"] = Field("starttls", description="How the connection is protected.")
    user: Word | None = Field(None, description="Who logs in; not stated: nobody.")
    password_env: Variable | None = Field(None, description="Variable of the environment that holds the password.")
    password_file: SecretFile | None = Field(
        None, description="File that holds the password, which nobody else may read (chmod 600)."
    )


class Command(Receiver):
    """A program that gets the message as JSON on stdin."""

    kind: Literal["command"]
    run: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)] = Field(
        description="The program and its arguments, as a list: no shell reads them."
    )


AnyReceiver = Annotated[Webhook | Email | Command, Field(discriminator="kind")]


class AlertsFile(SpecModel):
    """A file of alerts, as a person writes it."""

    version: Literal[1] = Field(1, description="Version of this format.")
    every_minutes: Minutes = Field(1.0, description="How often `--watch` looks.")
    look_back_hours: Hours = Field(24.0, description="How long a failed run and broken hardware count as open.")
    resolved_after_minutes: Annotated[float, Field(ge=0, le=1e6, json_schema_extra={"unit": "minutes"})] = Field(
        5.0, description="An alert is over once it was not seen for so long: what comes and goes is told once."
    )
    to: Annotated[tuple[Word, ...], Field(max_length=50)] | None = Field(
        None, description="Receivers of rules that name none; not stated: all receivers."
    )
    rules: AlertRules = Field(AlertRules(), description="Rule -> off, a level, or its settings.")
    receivers: Annotated[dict[Name, AnyReceiver], Field(max_length=50)] = Field({}, description="Name -> receiver.")

    def told(self, receiver: str) -> frozenset[str]:
        """The rules that a receiver is told of."""
        everybody = self.to if self.to is not None else tuple(self.receivers)
        told = {rule: self.rules.of(rule).to for rule in RULE_NAMES if self.rules.of(rule).enabled}
        return frozenset(rule for rule, to in told.items() if receiver in (everybody if to is None else to))


def rules_path(stated: Path | None = None) -> Path:
    """Where the file lies."""
    return stated if stated is not None else user_data_dir() / RULES_FILE


def load_rules(stated: Path | None = None) -> AlertsFile:
    """The file that is stated, else the one in the data folder; without one, each rule as it is and no receiver.

    Raises SpecError with file, line and field.
    """
    path = rules_path(stated)
    if stated is None and not path.exists():
        return AlertsFile()
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        raise SpecError(f"{document.where()}: a file of alerts is a mapping", hint=MANUAL)
    try:
        found = AlertsFile.model_validate(document.data)
    except ValidationError as error:
        raise model_error(error, document, AlertsFile, hidden=SECRET_FIELDS) from error
    _check_names(found, document)
    for name, receiver in found.receivers.items():
        _check_receiver(name, receiver, document)
    return found


class RulesReader:
    """The rules of a process that stays: a file that has changed is read again; of a bad one the last good is kept."""

    def __init__(self, stated: Path | None, rules: AlertsFile, say: Callable[[str], None]) -> None:
        self._stated, self._rules, self._say = stated, rules, say
        self._mark = self._marked()

    def rules(self) -> AlertsFile:
        """The rules as they are now."""
        if (mark := self._marked()) != self._mark:
            self._mark = mark
            try:
                self._rules = load_rules(self._stated)
            except SpecError as error:
                self._say(f"{error.message}; the rules stay as they were")
        return self._rules

    def _marked(self) -> tuple[int, int]:
        try:
            status = rules_path(self._stated).stat()
        except OSError:
            return (0, 0)
        return status.st_mtime_ns, status.st_size


def _check_names(found: AlertsFile, document: Document) -> None:
    """Every receiver that is named exists."""
    named: list[tuple[tuple[str | int, ...], str]] = [
        (("to", number), name) for number, name in enumerate(found.to or ())
    ]
    for rule in RULE_NAMES:
        named += [(("rules", rule, "to", n), name) for n, name in enumerate(found.rules.of(rule).to or ())]
    for path, name in named:
        if name not in found.receivers:
            known = ", ".join(found.receivers) or "none is stated"
            message = f"{document.where(path)}: there is no receiver {shown(name)}{nearest(name, found.receivers)}"
            raise SpecError(message, hint=f"receivers: {known}")


def _check_receiver(name: str, receiver: Webhook | Email | Command, document: Document) -> None:
    """What the fields of a receiver ask of each other."""
    path = ("receivers", name)

    def refuse(field: str, what: str, hint: str | None = None) -> SpecError:
        return SpecError(f"{document.where((*path, field))}: receivers.{name} {what}", hint=hint)

    if isinstance(receiver, Webhook):
        if (receiver.url_env is None) == (receiver.url_file is None):
            raise refuse("url_env", "needs either url_env or url_file", "an address is a secret: name where it stands")
        if receiver.token_env is not None and receiver.token_file is not None:
            raise refuse("token_env", "has token_env and token_file", "state one of them")
    if isinstance(receiver, Email):
        stated = [receiver.password_env, receiver.password_file]
        if (receiver.user is None) != (stated == [None, None]) or None not in stated:
            raise refuse("user", "needs user and one of password_env and password_file, or none of the three")
        if receiver.user is not None and receiver.tls == "none":
            raise refuse("tls", "sends no password without TLS", "tls: starttls or tls: ssl")


def secret_variables(found: AlertsFile) -> frozenset[str]:
    """Variables of the environment that hold secrets of receivers: programs that we start don't get them."""
    fields = ("url_env", "token_env", "password_env")
    names = (getattr(receiver, field, None) for receiver in found.receivers.values() for field in fields)
    return frozenset(name for name in names if name)


def check_secrets(found: AlertsFile) -> None:
    """Read every secret once, as sending would.  Raises SpecError for the first that is not there."""
    for name, receiver in found.receivers.items():
        for field in ("url", "token", "password"):
            stated: dict[str, Any] = {f: getattr(receiver, f"{field}_{f}", None) for f in ("env", "file")}
            if any(stated.values()):
                read_secret(f"receivers.{name}", **stated)
