"""Allocations of pods across looks: the API forgets a pod as soon as it has gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from clusterctl.foreign_files import read_limited, replace_whole
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, PodGang, Span, gangs, nodes_of
from planners.runs.reconcile import Cause, InstancePhase

MOST_BYTES = 16 << 20
_KEPT = TypeAdapter(dict[str, PodGang])


class GangWatch:
    """Allocations as they were last seen.

    file: keeps them for the next supervisor; one that can't be read or written is done without.  deleted: the pods that
    were deleted after a version of the listing, as they were last; none where the API does not remember them.
    """

    def __init__(self, file: Path, deleted: Callable[[str], Sequence[Mapping[str, Any]]] = lambda _: ()) -> None:
        self._file, self._kept, self._deleted = file, b"", deleted
        self._last: dict[str, PodGang] = {}
        with contextlib.suppress(OSError, ValueError):
            self._last = _KEPT.validate_json(read_limited(file, MOST_BYTES))

    def with_gone(self, shown: Iterable[PodGang], ready: Collection[str], now: datetime) -> tuple[PodGang, ...]:
        """The same allocations with the times of pods that have gone, and allocations that have gone altogether.

        ready: names of those that SkyPilot has prepared, so that all their pods were there.  Raises Unreachable.
        """
        listed = {gang.name: gang for gang in shown}
        last = self._with_ends(listed)
        for name, before in last.items():
            listed[name] = _merged(listed[name], before, now) if name in listed else _gone(before, now)
        for name, gang in listed.items():
            was_whole = name in ready or (name in last and not last[name].missing)
            lacks = gang.missing and was_whole and gang.phase is InstancePhase.QUEUED and not gang.restarts
            self._last[name] = _without_a_pod(gang) if lacks else gang
        if self._kept != (kept := _KEPT.dump_json(self._last)):
            self._kept = kept
            with contextlib.suppress(OSError):
                replace_whole(self._file, kept)
        return tuple(self._last.values())

    def _with_ends(self, listed: Mapping[str, PodGang]) -> dict[str, PodGang]:
        """What was last seen, and of pods that have gone since how they ended, where the API remembers it."""
        gone = [
            gang
            for name, gang in self._last.items()
            if not gang.ended and gang.version and (name not in listed or listed[name].missing > gang.missing)
        ]
        found: dict[str, PodGang] = {}
        for version in sorted({gang.version for gang in gone}):
            found |= {gang.name: gang for gang in gangs(_newest(self._deleted(version)), {})}
        return self._last | {gang.name: _with_end(gang, found[gang.name]) for gang in gone if gang.name in found}


def _newest(pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each pod once, and of those of a Deployment, which replaces what has ended, the last ones."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        by_name.setdefault(str(pod["metadata"].get("labels", {}).get(CLUSTER_LABEL)), []).append(pod)
    return [pod for members in by_name.values() for pod in members[-nodes_of(members[-1]) :]]


def _with_end(gang: PodGang, deleted: PodGang) -> PodGang:
    """With what the API last showed of its pods that were deleted."""
    spans = tuple(
        (since or began, until or ended or (deleted.delete_by if began else None))
        for (since, until), (began, ended) in zip(gang.spans, deleted.spans, strict=True)
    )
    unknown = gang.gang_cause is Cause.NONE and deleted.gang_cause in {Cause.PREEMPTED, Cause.NODE_LOST}
    return replace(gang, spans=spans, gang_cause=deleted.gang_cause if unknown else gang.gang_cause)


def _merged(gang: PodGang, before: PodGang, now: datetime) -> PodGang:
    """With what is known of pods that are not shown any more."""
    if gang.restarts or not gang.missing:
        return gang
    spans = tuple(mine if mine[0] else old for mine, old in zip(gang.spans, _ended(before, now), strict=True))
    cause = gang.gang_cause if before.gang_cause is Cause.NONE else before.gang_cause
    return replace(gang, spans=spans, gang_cause=cause)


def _without_a_pod(gang: PodGang) -> PodGang:
    """One whose pod was deleted, by hand or with its node."""
    return replace(gang, gang_phase=InstancePhase.ENDING, gang_cause=Cause.NODE_LOST, reason="one of its pods is gone")


def _gone(gang: PodGang, now: datetime) -> PodGang:
    """None of its pods is shown."""
    if gang.ended:
        return replace(gang, may_return=False)
    spans = _ended(gang, now)
    until = max((until for _, until in spans if until is not None), default=now)
    cause = Cause.STOPPED if gang.gang_cause is Cause.NONE else gang.gang_cause
    ended = InstancePhase.ENDED
    return replace(gang, gang_phase=ended, gang_cause=cause, spans=spans, until=until, may_return=False)


def _ended(gang: PodGang, now: datetime) -> tuple[Span, ...]:
    """A pod that was told to end has gone by the end of its grace."""
    over = min(filter(None, (now, gang.delete_by)))
    return tuple((since, (until or over) if since else None) for since, until in gang.spans)
