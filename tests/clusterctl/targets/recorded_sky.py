"""SkyPilot, as what it was asked for."""

from __future__ import annotations

from clusterctl.targets.sky_client import SkyRequest


class Sky:
    """What SkyPilot was asked for."""

    trouble = ""

    def __init__(self, *_: object) -> None:
        self.asked: dict[str, SkyRequest] = {}

    def ask(self, key: str, call: str, *, after: str = "", **row: object) -> None:
        self.asked.setdefault(key, SkyRequest(call={"call": call, **row}, after=after))

    def state(self, key: str) -> SkyRequest | None:
        return self.asked.get(key)

    def cancel(self, key: str) -> None:
        self.asked.pop(key, None)
