"""`clusterctl alerts`: what needs a person now; sends it to receivers while it stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from filelock import FileLock, Timeout
from typer import Option

from clusterctl.errors import AlertsOpen, ClusterctlError, NotAllAsked, SpecError, StateError
from clusterctl.interrupt import Interrupt
from clusterctl.json_text import json_text
from clusterctl.ledger import open_ledger
from clusterctl.paths import user_data_dir
from clusterctl.runs.alert_process import ALERTS_LOCK
from clusterctl.store import open_source
from clusterctl.ui.formats import count
from clusterctl.ui.streams import emit, printable
from clusterctl.ui.table import Column, draw_text
from clusterctl.ui.terminal import terminal

if TYPE_CHECKING:
    from clusterctl.alerts.look import Look
    from clusterctl.alerts.rules_file import AlertsFile

QUIET_LOOKS = 10
"""After so many looks without a live run, with nothing left to tell, `--while-runs-live` ends."""


def alerts(
    *,
    rules: Annotated[
        Path | None, Option("--rules", metavar="FILE", help="Rules and receivers; else alerts.yaml of the data folder.")
    ] = None,
    watch: Annotated[bool, Option("--watch", "-w", help="Stay, look every minute, and tell receivers.")] = False,
    while_runs_live: Annotated[
        bool, Option("--while-runs-live", help="With --watch: end once no run is live and everything is told.")
    ] = False,
    test: Annotated[
        str | None, Option("--test", metavar="RECEIVER", help="Send a test message; look at nothing.")
    ] = None,
    check_rules: Annotated[
        bool, Option("--check-rules", help="Check the file and that its secrets are there; look at nothing.")
    ] = False,
    schema: Annotated[bool, Option("--schema", help="Print the JSON Schema of the file, for editors.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what needs a person now: failed and stalled runs, money, idle and broken GPUs, leftovers, training.

    Exit code 10 if an alert of level bad or warn is open, 8 if none is known but something could not be read.  With
    --watch receivers are told what is new, once, and what is resolved; Ctrl-C ends it.
    """
    from clusterctl.alerts.rules_file import AlertsFile, check_secrets, load_rules, rules_path

    if schema:
        typer.echo(json_text(AlertsFile.model_json_schema(), indent=2))
        return
    found = load_rules(rules)
    if check_rules:
        check_secrets(found)
        where = rules_path(rules) if rules is not None or rules_path().exists() else "no file: every rule as it is"
        typer.echo(f"{where}: {_described(found)}")
    elif test is not None:
        _test(found, test)
    elif watch:
        _watch(rules, found, while_runs_live=while_runs_live)
    else:
        _show(found, as_json=as_json)


def _described(rules: AlertsFile) -> str:
    told = [f"{name} is told of {count(len(rules.told(name)), 'rule')}" for name in rules.receivers]
    return "; ".join(told) or "no receiver is told of anything"


def _show(rules: AlertsFile, *, as_json: bool) -> None:
    from clusterctl.alerts.messages import alert_data

    with _looker() as look_with:
        look = look_with(rules)
    if as_json:
        unknown = [{"rule": rule, "run": run or None, "why": why} for (rule, run), why in look.facts.unknown.items()]
        typer.echo(json_text({"alerts": [alert_data(alert) for alert in look.alerts], "unknown": unknown}, indent=2))
    else:
        emit(f"{_text(look)}\n")
    unread = list(dict.fromkeys(look.facts.unknown.values()))
    for why in unread:
        typer.echo(f"warning: {why}; whether all is right there is not known", err=True)
    pressing = [alert for alert in look.alerts if alert.level != "info"]
    if pressing:
        raise AlertsOpen(f"{count(len(pressing), 'alert')} open", hint="docs/alerts.md says what each means")
    if unread:
        raise NotAllAsked("no alert is open in what could be read", hint="the warnings above say what could not")


def _text(look: Look) -> str:
    if not look.alerts:
        return "No open alerts"
    cells = [[a.level, printable(a.about), printable(" ".join(a.text.split())), a.fix] for a in look.alerts]
    what, fix = Column("what", prose=True), Column("what to do", prose=True)
    return draw_text(("level", "about", what, fix), cells, terminal()).rstrip("\n")


def _watch(path: Path | None, rules: AlertsFile, *, while_runs_live: bool) -> None:
    """Look and tell until Ctrl-C or SIGTERM.  A file that was changed is read again; a bad one is said, and waits."""
    from clusterctl.alerts.receiver import deliver
    from clusterctl.alerts.rules_file import RulesReader
    from clusterctl.alerts.state_file import StateFile
    from clusterctl.alerts.watcher import Watcher

    if not rules.receivers:
        where = path or "alerts.yaml of the data folder"
        raise SpecError(f"{where} states no receiver: nobody would be told", hint="docs/alerts.md shows a file")
    store = user_data_dir()
    quiet = 0
    with _only_one(store), Interrupt() as interrupt, _looker() as look:
        watcher = Watcher(
            StateFile(store),
            deliver=lambda used, message: deliver(used, message, os.environ),
            say=_say,
            now=lambda: datetime.now(tz=UTC),
        )
        reader = RulesReader(path, rules, _say)
        while interrupt.wanted():
            used = reader.rules()
            seen = watcher.look(used, partial(look, used))
            quiet = quiet + 1 if seen is not None and not seen.live_runs and watcher.is_idle(used) else 0
            if while_runs_live and quiet >= QUIET_LOOKS:
                break
            watcher.wait(used, 60 * used.every_minutes, interrupt.wanted)
        watcher.finish()


@contextmanager
def _only_one(store: Path) -> Iterator[None]:
    """Raises StateError where another process watches."""
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(store / ALERTS_LOCK, timeout=0):
            yield
    except Timeout:
        hint = "end it first, or let it be: it reads a changed file of alerts by itself"
        raise StateError("another `clusterctl alerts --watch` tells of alerts already", hint=hint) from None


@contextmanager
def _looker() -> Iterator[Callable[[AlertsFile], Look]]:
    from clusterctl.alerts.look import Looker

    with open_ledger() as ledger:
        yield Looker(ledger, open_source(), user_data_dir(), lambda: datetime.now(tz=UTC)).look


def _say(text: str) -> None:
    typer.echo(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}", err=True)


def _test(rules: AlertsFile, receiver: str) -> None:
    from clusterctl.alerts.messages import Message, NotDelivered
    from clusterctl.alerts.receiver import deliver
    from clusterctl.specfile.spec_errors import nearest

    if receiver not in rules.receivers:
        known = ", ".join(rules.receivers) or "the file of alerts states none"
        raise SpecError(
            f"there is no receiver `{receiver}`{nearest(receiver, rules.receivers)}", hint=f"receivers: {known}"
        )
    try:
        note = deliver(rules, Message(receiver=receiver, at=datetime.now(tz=UTC), is_test=True), os.environ)
    except NotDelivered as error:
        raise ClusterctlError(
            f"{receiver}: not delivered: {error}", hint="docs/alerts.md lists what can be wrong"
        ) from None
    typer.echo(f"{receiver}: delivered{f'; {note}' if note else ''}")
