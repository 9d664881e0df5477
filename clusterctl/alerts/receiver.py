"""How a message is handed over: by a webhook, by mail, by a command; each attempt ends within its time."""

from __future__ import annotations

from collections.abc import Mapping

from clusterctl.alerts.messages import Message
from clusterctl.alerts.rules_file import AlertsFile, Command, Email, Webhook, secret_variables


def deliver(rules: AlertsFile, message: Message, environ: Mapping[str, str]) -> str:
    """Hand a message to its receiver; what of it did not reach everybody, or empty.

    Raises NotDelivered; SpecError where a secret is not there.  Returns or raises within the receiver's `seconds`, and
    a little more.
    """
    receiver = rules.receivers[message.receiver]
    if isinstance(receiver, Webhook):
        from clusterctl.alerts.webhook import post

        return post(receiver, message)
    if isinstance(receiver, Email):
        from clusterctl.alerts.mail import send

        return send(receiver, message)
    from clusterctl.alerts.program import run

    assert isinstance(receiver, Command)
    hidden = secret_variables(rules)
    return run(receiver, message, {name: value for name, value in environ.items() if name not in hidden})
