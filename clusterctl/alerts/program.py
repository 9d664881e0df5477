"""Messages to a command: JSON on its stdin, a few variables, no shell, and a time in which it must end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress

from clusterctl.alerts.messages import Message, NotDelivered, as_json, one_line
from clusterctl.alerts.rules_file import Command
from clusterctl.json_text import json_text

MOST_SAID_BYTES = 300


def run(receiver: Command, message: Message, environ: Mapping[str, str]) -> str:
    """Run the command once.  Raises NotDelivered.

    It has a process group of its own, which is ended with it when its time is over.  Nothing waits for what it starts:
    it writes into files, no pipe that a child could hold open.
    """
    variables = {
        "CLUSTERCTL_ALERT_RECEIVER": message.receiver,
        "CLUSTERCTL_ALERT_LEVEL": message.level,
        "CLUSTERCTL_ALERT_COUNT": str(len(message.lines)),
        "CLUSTERCTL_ALERT_TEXT": one_line(message.headline),
    }
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
        given.write(f"{json_text(as_json(message))}\n".encode())
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - a list from the owner's own file, no shell
                receiver.run,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env={**environ, **variables},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotDelivered(f"{receiver.run[0]} can't be started: {reason}") from None
        try:
            code = process.wait(receiver.seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotDelivered(f"{receiver.run[0]} took over {receiver.seconds:g} s, and was ended") from None
        if code != 0:
            how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
            said.seek(0, os.SEEK_END)
            said.seek(max(said.tell() - MOST_SAID_BYTES, 0))
            words = one_line(said.read(MOST_SAID_BYTES).decode("utf-8", "replace"))
            raise NotDelivered(f"{receiver.run[0]} {how}{f': {words}' if words else ''}")
    return ""
