"""Logging of the shell: to stderr only, because stdout is data.  The planners never log."""

from __future__ import annotations

import logging
import sys

from clusterctl.json_text import json_text


class _JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json_text(entry)


def configure(*, verbose: bool, as_json: bool) -> None:
    """Send our own log to stderr: warnings, or everything from INFO up when verbose.

    Other libraries' loggers stay at WARNING.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if as_json else logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("clusterctl").setLevel(logging.INFO if verbose else logging.WARNING)
