"""Allocations of pods across looks: the API forgets a pod as soon as it has gone."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from clusterctl.foreign_files import read_limited, replace_whole
from clusterctl.targets.kubernetes_gangs import PodGang, Span
from planners.runs.reconcile import Cause, InstancePhase

MOST_BYTES = 16 << 20
_KEPT = TypeAdapter(dict[str, PodGang])


class GangWatch:
    """Allocations as they were last seen: the API forgets a pod as soon as it has gone.

    file: keeps them for the next supervisor; one that can't be read or written is done without.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._kept = file, b""
        self._last: dict[str, PodGang] = {}
        with contextlib.suppress(OSError, ValueError):
            self._last = _KEPT.validate_json(read_limited(file, MOST_BYTES))

    def with_gone(self, shown: Iterable[PodGang], ready: Collection[str], now: datetime) -> tuple[PodGang, ...]:
        """The same allocations with the times of pods that have gone, and allocations that have gone altogether.

        ready: names of those that SkyPilot has prepared, so that all their pods were there.
        """
        listed = {gang.name: gang for gang in shown}
        for name, before in self._last.items():
            listed[name] = _merged(listed[name], before, now) if name in listed else _gone(before, now)
        for name, gang in listed.items():
            was_whole = name in ready or (name in self._last and not self._last[name].missing)
            lacks = gang.missing and was_whole and gang.phase is InstancePhase.QUEUED and not gang.restarts
            self._last[name] = _without_a_pod(gang) if lacks else gang
        if self._kept != (kept := _KEPT.dump_json(self._last)):
            self._kept = kept
            with contextlib.suppress(OSError):
                replace_whole(self._file, kept)
        return tuple(self._last.values())


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
