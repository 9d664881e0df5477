"""A cloud in a SQLite file that outlives the engine: what it holds is the truth, whatever a state says.

It charges by the hour, and goes wrong as clouds do: no capacity, a quota, throttling, expired credentials, answers that
lag, a request that is cut after the resource was made.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
  id TEXT PRIMARY KEY, type TEXT, name TEXT, properties TEXT, created_at REAL, deleted_at REAL,
  set_key TEXT);
CREATE TABLE IF NOT EXISTS rates (id TEXT, since REAL, usd_per_hour TEXT);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
"""
COUNTS = {"NodeGroup": "scalingConfig.desiredSize", "NodePool": "nodeCount", "AgentPool": "count"}
"""By kind of a pool, where its number of nodes stands."""


class CloudError(Exception):
    """As the cloud says it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A resource that is there."""

    id: str
    type: str
    name: str
    properties: Mapping[str, Any]


class Cloud:
    """One account."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as database:
            database.executescript(SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=60, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            yield database

    def set(self, **settings: Any) -> None:
        """How it behaves from now on.

        prices: dollars an hour by machine type or kind of resource; no_capacity: machine types; quota: most nodes by machine type;
        throttled: so many requests are refused; expired: credentials; unreadable: whether nobody may read; slow_seconds: of a creation; lag_seconds: until a new
        resource is shown; cut: kinds whose creation is cut once it is done (`*`: all that are made rather than set), cuts_left times.
        """
        with self._open() as database:
            rows = [(name, json.dumps(value)) for name, value in settings.items()]
            database.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    def get(self, name: str, default: Any = None) -> Any:
        """A setting."""
        with self._open() as database:
            row = database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def create(
        self,
        kind: str,
        name: str,
        properties: Mapping[str, Any],
        key: str = "",
        added: Callable[[str], Mapping[str, Any]] = lambda _: {},
    ) -> str:
        """Makes a resource; its id.  key: of what is set rather than made, which is there once; added: what the cloud
        adds to the properties of one with this id.

        Raises CloudError, before or after it is there.
        """
        self._admit()
        for held in self._held("type = ? AND set_key = ?", kind, key) if key else ():
            return held.id
        short, types = kind.rpartition(":")[2], self.machine_types(properties)
        for machine in types:
            if machine in self.get("no_capacity", ()):
                raise CloudError(f"InsufficientInstanceCapacity: no capacity for {machine} in the requested zone")
        self._within_quota(types, nodes_of(short, properties))
        time.sleep(self.get("slow_seconds", 0.0))
        identity, now = f"{short.lower()}-{os.urandom(8).hex()}", time.time()
        with self._open() as database:
            row = (identity, kind, name, json.dumps({**properties, **added(identity)}), now, key)
            database.execute("INSERT INTO resources VALUES (?, ?, ?, ?, ?, NULL, ?)", row)
        self._charge(identity, short, properties, now)
        cut = self.get("cut", ())
        if (short in cut or ("*" in cut and not key)) and self._fewer("cuts_left"):
            time.sleep(self.get("cut_seconds", 0.0))
            raise CloudError("RequestTimeout: the connection was cut")
        return identity

    def read(self, identity: str) -> Mapping[str, Any] | None:
        """What a resource is; None where there is none, or none is shown yet."""
        self._admit()
        if self.get("unreadable", False):
            raise CloudError("AccessDenied: not authorized to perform: Describe")
        shown = time.time() - self.get("lag_seconds", 0.0)
        for held in self._held("id = ? AND created_at <= ?", identity, shown):
            return held.properties
        return None

    def update(self, identity: str, properties: Mapping[str, Any]) -> None:
        """Changes a resource.  Raises CloudError."""
        self._admit()
        (held,) = self._held("id = ?", identity)
        short = held.type.rpartition(":")[2]
        more = nodes_of(short, properties) - nodes_of(short, held.properties)
        if more > 0:
            self._within_quota(self.machine_types(properties), more)
        with self._open() as database:
            database.execute("UPDATE resources SET properties = ? WHERE id = ?", (json.dumps(properties), identity))
        self._charge(identity, short, properties, time.time())

    def note(self, identity: str, properties: Mapping[str, Any]) -> None:
        """What the cloud itself has added."""
        with self._open() as database:
            database.execute("UPDATE resources SET properties = ? WHERE id = ?", (json.dumps(properties), identity))

    def delete(self, identity: str) -> None:
        """Removes a resource; one that has gone is no error.  Raises CloudError."""
        self._admit()
        with self._open() as database:
            now = time.time()
            database.execute("UPDATE resources SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (now, identity))

    def held(self, **tags: str) -> Sequence[Held]:
        """What is there, with these tags."""
        return [
            h for h in self._held("1 = 1") if all(f'"{value}"' in json.dumps(h.properties) for value in tags.values())
        ]

    def shown(self) -> Sequence[Held]:
        """What a list shows: what is new comes late."""
        return self._held("created_at <= ?", time.time() - self.get("lag_seconds", 0.0))

    def metered_usd(self) -> Decimal:
        """What all of it has cost until now."""
        with self._open() as database:
            ends = dict(database.execute("SELECT id, deleted_at FROM resources"))
            rates = database.execute("SELECT id, since, usd_per_hour FROM rates ORDER BY id, since").fetchall()
        total = Decimal(0)
        for number, (identity, since, rate) in enumerate(rates):
            following = rates[number + 1] if number + 1 < len(rates) else None
            until = following[1] if following and following[0] == identity else (ends[identity] or time.time())
            total += Decimal(rate) * Decimal(str(max(until - since, 0.0))) / 3600
        return total

    def _held(self, where: str, *values: object) -> list[Held]:
        with self._open() as database:
            query = f"SELECT id, type, name, properties FROM resources WHERE deleted_at IS NULL AND {where}"
            return [Held(*row[:3], json.loads(row[3])) for row in database.execute(query, values)]

    def _admit(self) -> None:
        if self.get("expired", False):
            raise CloudError("ExpiredToken: the security token included in the request is expired")
        if self._fewer("throttled"):
            raise CloudError("Throttling: rate exceeded")

    def _fewer(self, name: str) -> bool:
        """Takes one from a setting that counts down.  Whether there was one."""
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            row = database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            left = json.loads(row[0]) if row else 0
            if left:
                database.execute("UPDATE settings SET value = ? WHERE name = ?", (json.dumps(left - 1), name))
            database.execute("COMMIT")
        return bool(left)

    def machine_types(self, properties: Mapping[str, Any]) -> list[str]:
        """Of the nodes of a pool; an EKS node group has them in its launch template."""
        found = [
            properties.get("vmSize"),
            properties.get("instanceType"),
            properties.get("nodeConfig", {}).get("machineType"),
        ]
        template = properties.get("launchTemplate", {}).get("id")
        for held in self._held("id = ?", template) if template else ():
            found.append(held.properties.get("instanceType"))
        return [each for each in found if each] or list(properties.get("instanceTypes", ()))

    def _within_quota(self, types: Sequence[str], more: int) -> None:
        quota = self.get("quota", {})
        for machine in types:
            if machine in quota:
                there = sum(
                    nodes_of(held.type.rpartition(":")[2], held.properties)
                    for held in self._held("1 = 1")
                    if machine in self.machine_types(held.properties)
                )
                if there + more > quota[machine]:
                    raise CloudError(
                        f"VcpuLimitExceeded: {there + more} of {machine}, and the quota is {quota[machine]}"
                    )

    def _charge(self, identity: str, short: str, properties: Mapping[str, Any], since: float) -> None:
        prices, nodes = self.get("prices", {}), nodes_of(short, properties)
        rate = sum(
            (Decimal(str(prices.get(machine, 0))) * nodes for machine in self.machine_types(properties)), Decimal(0)
        )
        rate += Decimal(str(prices.get(short, 0)))
        with self._open() as database:
            database.execute("INSERT INTO rates VALUES (?, ?, ?)", (identity, since, str(rate)))


def nodes_of(short: str, properties: Mapping[str, Any]) -> int:
    """Of a pool; 0 of anything else."""
    found: Any = properties
    for step in COUNTS.get(short, "").split("."):
        found = found.get(step) if step and isinstance(found, Mapping) else None
    return int(found or 0)
