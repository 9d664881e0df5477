"""What the API itself says of pods, from a watch: when each was given a node, and when it ended."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from control_plane import ControlPlane


class PodRecord:
    """Started by `with`: it sees the last state of a pod, too, before the API forgets it."""

    def __init__(self, plane: ControlPlane, file: Path) -> None:
        self._plane, self._file = plane, file
        self._watches: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> PodRecord:
        self.watch()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._watches:
            one.kill()
            one.wait()

    def watch(self) -> None:
        """Also again, after the API server was away."""
        command = [self._plane.programs / "kubectl", "--kubeconfig", self._plane.kubeconfig]
        command += ["get", "pods", "--all-namespaces", "--watch", "--output=json"]
        with self._file.open("ab") as output:
            self._watches.append(subprocess.Popen([str(word) for word in command], stdout=output))

    def paid_seconds(self, prefix: str) -> float:
        """Of all pods whose names begin so, together."""
        return sum((until - since).total_seconds() for since, until in self.spans(prefix).values())

    def spans(self, prefix: str) -> dict[str, tuple[datetime, datetime]]:
        """By pod: when the scheduler gave it a node, and when its last container ended."""
        found: dict[str, tuple[datetime, datetime]] = {}
        for pod in self._pods():
            meta, status = pod["metadata"], pod["status"]
            placed = [c for c in status.get("conditions", ()) if c["type"] == "PodScheduled" and c["status"] == "True"]
            if not meta["name"].startswith(prefix) or not placed:
                continue
            ended = [c["state"].get("terminated", {}).get("finishedAt") for c in status.get("containerStatuses", ())]
            over = max(filter(None, ended), default=meta.get("deletionTimestamp"))
            until = _moment(over) if over else datetime.now(tz=UTC)
            found[meta["name"]] = (_moment(placed[0]["lastTransitionTime"]), until)
        return found

    def _pods(self) -> list[dict[str, Any]]:
        text, at, found = self._file.read_text(), 0, []
        decoder = json.JSONDecoder()
        while (at := text.find("{", at)) >= 0:
            try:
                pod, at = decoder.raw_decode(text, at)
            except ValueError:  # it is being written
                break
            found.append(pod)
        return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
