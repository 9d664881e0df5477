"""Which machine of a cloud stands behind which node that a run is billed for, from when to when."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter

from clusterctl.clouds.base import CloudInstance
from clusterctl.foreign_files import read_limited, replace_whole
from clusterctl.targets.base import MachineRequest

FORGOTTEN = timedelta(seconds=90)
"""A machine that the cloud showed, and has not shown for so long, ended when it was last seen: listings lag."""
MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldNode:
    """A machine of the cloud as a node of a run."""

    instance: str
    """The cloud's own id."""
    since: datetime
    """From when on the run is billed for it under this node: its launch, or when a node before this gave it up."""
    until: datetime | None = None
    """When it ended, by the cloud; or was given up."""
    seen: datetime
    """When the cloud last showed it."""
    spot: bool = False
    given_up: bool = False
    """Whether the machine lives on, for another node of the run."""
    message: str = ""
    """Why it ended."""


_KEPT = TypeAdapter(dict[str, HeldNode])


class NodeBook:
    """The machines of one run, by the ids under which they are billed.

    file: keeps them for the next supervisor; one that can't be read or written is done without.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._kept = file, b""
        self.held: dict[str, HeldNode] = {}
        with contextlib.suppress(OSError, ValueError):
            self.held = _KEPT.validate_json(read_limited(file, MOST_BYTES))

    def look(
        self, wanted: Mapping[str, Sequence[MachineRequest]], instances: Iterable[CloudInstance], now: datetime
    ) -> None:
        """Take in what the cloud shows.  wanted: by pool of the cluster, the nodes that the run asks for."""
        shown = {instance.id: instance for instance in instances}
        for name, node in self.held.items():
            if node.until is None:
                self.held[name] = _seen(node, shown.get(node.instance), now)
        asked = {request.resource_id for requests in wanted.values() for request in requests}
        for pool, requests in wanted.items():
            lacking = [request for request in requests if request.resource_id not in self.held]
            mine = sorted((i for i in shown.values() if i.pool == pool), key=lambda i: (i.since, i.id))
            self._hand_on({instance.id for instance in mine}, asked, len(lacking), now)
            for request, (instance, since) in zip(lacking, self._free(mine, lacking), strict=False):
                self.held[request.resource_id] = _seen(
                    HeldNode(instance=instance.id, since=since, seen=now, spot=instance.spot), instance, now
                )
        self._write()

    def give_up(self, resource_ids: Iterable[str], now: datetime) -> None:
        """These nodes end here, and their machines are free for nodes that follow them."""
        for name in resource_ids:
            node = self.held.get(name)
            if node is not None and node.until is None:
                self.held[name] = replace(node, until=max(now, node.since), given_up=True)
        self._write()

    def live(self, resource_ids: Iterable[str]) -> list[str]:
        """Those of these nodes whose machines live."""
        return [name for name in resource_ids if (node := self.held.get(name)) is not None and node.until is None]

    def _hand_on(self, instances: Collection[str], asked: Collection[str], lacking: int, now: datetime) -> None:
        """Nodes that nobody asks for any more end here, where nodes of their pool are lacking: their machines are not
        rented twice."""
        for name, node in list(self.held.items()):
            if lacking and node.until is None and name not in asked and node.instance in instances:
                self.held[name] = replace(node, until=max(now, node.since), given_up=True)
                lacking -= 1

    def _free(
        self, instances: Sequence[CloudInstance], lacking: Sequence[MachineRequest]
    ) -> Iterator[tuple[CloudInstance, datetime]]:
        """Machines that stand behind no node, and from when on they are to be billed; the oldest first."""
        asked_at = min((request.since for request in lacking), default=None)
        for instance in instances:
            mine = [node for node in self.held.values() if node.instance == instance.id]
            if any(not node.given_up for node in mine) or asked_at is None:
                continue
            since = max([instance.since, *(node.until for node in mine if node.until is not None)])
            over = instance.until is not None and instance.until <= max(since, asked_at)  # of an earlier stage or run
            if not over:
                yield instance, since

    def _write(self) -> None:
        if self._kept != (kept := _KEPT.dump_json(self.held)):
            self._kept = kept
            with contextlib.suppress(OSError):
                replace_whole(self._file, kept)


def _seen(node: HeldNode, instance: CloudInstance | None, now: datetime) -> HeldNode:
    """The node after a look that shows its machine, or does not."""
    if instance is None:
        return replace(node, until=max(node.seen, node.since)) if now - node.seen > FORGOTTEN else node
    until = None if instance.until is None else max(instance.until, node.since)
    return replace(node, seen=now, until=until, message=instance.message)
