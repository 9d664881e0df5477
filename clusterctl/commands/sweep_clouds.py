"""The part of `clusterctl sweep` that is in clouds: who is asked, what is shown, what is removed, what is reported."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from clusterctl.clouds import NAMES
from clusterctl.clouds.base import NotAsked
from clusterctl.clouds.leftovers import CloudAccount, Key, LeftInCloud, Rules, clear, judge, key_of
from clusterctl.clouds.leftovers import ask as ask_account
from clusterctl.errors import LeftOver, NotAllAsked, SpecError
from clusterctl.json_text import json_text
from clusterctl.ui.formats import elapsed, least_usd, usd
from clusterctl.ui.table import Column, draw_text, right
from clusterctl.ui.terminal import terminal
from planners.units import HOURS_PER_DAY

NONE = "none"


@dataclass(kw_only=True)
class CloudSweep:
    """What the clouds have said, and what became of it."""

    accounts: Sequence[CloudAccount] = ()
    left_out: Sequence[NotAsked] = ()
    """Clouds that nobody named and for which nothing here has credentials."""
    not_asked: Sequence[NotAsked] = ()
    items: Sequence[LeftInCloud] = ()
    left: dict[Key, str] = field(default_factory=dict)
    """Was to be removed and is still there, with the cloud's last word."""
    cleared: bool = False

    @property
    def wanted(self) -> Sequence[LeftInCloud]:
        """What is to be removed."""
        return [item for item in self.items if not item.kept]

    def rows(self) -> Sequence[dict[str, Any]]:
        """For programs; null = unknown."""
        return [self._row(item) for item in self.items]

    def _row(self, item: LeftInCloud) -> dict[str, Any]:
        thing = item.resource
        return {
            "kind": thing.kind,
            "role": thing.name,
            "address": thing.id,
            "run": thing.run_id or None,
            "age_seconds": None if item.age_seconds is None else round(item.age_seconds, 1),
            "cloud": thing.cloud,
            "region": thing.region or None,
            "owner": thing.owner or None,
            "usd_per_day": _usd_per_day(item),
            "command": thing.command or None,
            "note": thing.note or None,
            "kept": item.kept or None,
            "outcome": self._outcome(item),
        }

    def _outcome(self, item: LeftInCloud) -> str:
        if item.kept or not self.cleared:
            return "found"
        return "left" if key_of(item.resource) in self.left else "removed"

    def text(self) -> str:
        """For people: a table, what it costs, and the commands that do it by hand."""
        if not self.items:
            return ""
        any_kept = len(self.wanted) < len(self.items)
        cells = [
            [
                item.resource.kind,
                item.resource.run_id or "-",
                f"{item.resource.cloud} {item.resource.region}".strip(),
                "unknown" if item.age_seconds is None else elapsed(item.age_seconds),
                usd(_usd_per_day(item)),
                item.resource.id,
                *([item.kept] if any_kept else []),
            ]
            for item in self.items
        ]
        kept = [Column("kept", prose=True)] if any_kept else []
        columns: list[Column | str] = ["what", "run", "where", right("age"), right("$/day"), "id", *kept]
        lines = [draw_text(columns, cells, terminal()).rstrip("\n"), f"together {self._total()} a day"]
        if commands := [item.resource.command for item in self.wanted]:
            lines += ["", "by hand, in this order:", *(f"  {command}" for command in commands)]
        return "\n".join(lines)

    def _total(self) -> str:
        known = [per_day for item in self.items if (per_day := _usd_per_day(item)) is not None]
        return least_usd(sum(known), at_least=len(known) < len(self.items))

    def say_who_was_asked(self) -> None:
        """On stderr; nothing where no cloud is in use here."""
        if not self.accounts and not self.not_asked:
            return
        for account in self.accounts:
            several = "" if len(account.regions) == 1 else "s"
            regions = f"{len(account.regions)} region{several}" if account.regions else "all regions"
            typer.echo(f"asked: {account.cloud.name}, {account.name}, {regions}", err=True)
        for place in (*self.left_out, *self.not_asked):
            typer.echo(f"not asked: {_place(place)}: {place.reason}", err=True)

    def clear(self) -> None:
        """Remove what is wanted, and look again."""
        for account in self.accounts:
            wanted = [item.resource for item in self.wanted if item.resource.cloud == account.cloud.name]
            if wanted:
                self.left |= clear(account, wanted, tell=lambda text: typer.echo(text, err=True))
        self.cleared = True

    def raise_what_is_wrong(self) -> None:
        """Raises LeftOver, NotAllAsked."""
        if self.left:
            lines = [
                f"{cloud} {region} {kind} {thing}: {why}" for (cloud, region, kind, thing), why in self.left.items()
            ]
            commands = [item.resource.command for item in self.wanted if key_of(item.resource) in self.left]
            raise LeftOver("still there: " + "; ".join(lines), hint="by hand: " + "; ".join(commands))
        if self.not_asked:
            places = ", ".join(_place(place) for place in self.not_asked)
            raise NotAllAsked(f"nobody knows what is left in {places}", hint="the lines above say why")


def look_in_clouds(
    names: Sequence[str] | None,
    rules_of: Callable[[], Rules],
    *,
    known: Collection[str],
    all_owners: bool,
    now: datetime,
) -> CloudSweep:
    """Ask all clouds at once.

    names: those to ask; None = those for which this machine has credentials, or that are known: runs were there.

    Raises SpecError for a name that is no cloud's.
    """
    if unknown := sorted(set(names or ()) - {*NAMES, NONE}):
        raise SpecError(f"--cloud {unknown[0]}: no cloud is called so", hint=f"one of {', '.join((*NAMES, NONE))}")
    if names and NONE in names:
        return CloudSweep()
    from clusterctl.clouds.configured import connected

    clouds, left_out = connected(names or None, known)
    if not clouds:
        return CloudSweep(not_asked=left_out if names else ())
    rules = rules_of()
    with ThreadPoolExecutor(len(clouds)) as pool:
        answers = list(pool.map(lambda cloud: ask_account(cloud, None if all_owners else rules.owner), clouds))
    accounts = [answer for answer in answers if isinstance(answer, CloudAccount)]
    refused = [answer for answer in answers if isinstance(answer, NotAsked)]
    refused += [place for account in accounts for place in account.not_asked]
    return CloudSweep(
        accounts=accounts,
        left_out=() if names else left_out,
        not_asked=[*refused, *(left_out if names else ())],
        items=[item for account in accounts for item in judge(account.resources, rules, now)],
    )


def write_report(file: Path, rows: Sequence[Mapping[str, Any]], clouds: CloudSweep, now: datetime) -> None:
    """What was asked, found, removed and is left.  Raises SpecError where the file can't be written."""
    asked = [{"cloud": each.cloud.name, "account": each.name, "regions": each.regions} for each in clouds.accounts]
    places = (*clouds.left_out, *clouds.not_asked)
    value = {
        "at": now,
        "asked": asked,
        "not_asked": [{"cloud": each.cloud, "place": each.place, "reason": each.reason} for each in places],
        "here": rows,
        "in_clouds": clouds.rows(),
        "left": [{"kind": kind, "id": thing, "why": why} for (_, _, kind, thing), why in clouds.left.items()],
    }
    try:
        file.write_text(f"{json_text(value, indent=2)}\n", "utf-8")
    except OSError as error:
        raise SpecError(f"{file} can't be written: {error.strerror}") from error


def _usd_per_day(item: LeftInCloud) -> float | None:
    per_hour = item.resource.usd_per_hour
    return None if per_hour is None else per_hour * HOURS_PER_DAY


def _place(place: NotAsked) -> str:
    return f"{place.cloud} {place.place}".strip()
