"""The settings of an agent, and the command that starts it.  Cheap to import: commands and runs start agents."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec

from clusterctl.json_text import json_text
from clusterctl.store import default_store_url

OFF = "off"


def written_store() -> str:
    """The default store; off where that is a Prometheus, which keeps what it scrapes."""
    url = default_store_url()
    return OFF if url.startswith("prometheus+") else url


def installed() -> bool:
    """Whether this Python has the extra `telemetry`."""
    return find_spec("arro3") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Without secrets, since every user of the machine can read the command line."""

    store: str
    """Folder or bucket URL; `off`: rows are written nowhere."""
    node: str
    interval_seconds: float = 1.0
    write_seconds: float = 10.0
    listen: str = ""
    """HOST:PORT; empty: no page for Prometheus."""
    token_file: str | None = None
    sandboxes: tuple[str, ...] = ()
    sandbox_token_file: str | None = None
    gpus: tuple[str, ...] = ()
    """Indices or UUIDs of those that are measured; empty: all of the node."""
    metrics_files: tuple[str, ...] = ()
    """Patterns of files in Prometheus' text format that are passed on."""

    def command(self) -> list[str]:
        """The command of an agent with these settings."""
        return [sys.executable, "-P", "-m", "clusterctl.telemetry.agent", json_text(asdict(self))]

    @staticmethod
    def parse(text: str) -> AgentSettings:
        """From the argument of that command."""
        given = json.loads(text)
        return AgentSettings(**given | {name: tuple(given[name]) for name in ("sandboxes", "gpus", "metrics_files")})
