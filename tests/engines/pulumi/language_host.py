"""Pulumi's language host for Python, as far as plain `pulumi up`, `preview`, `refresh`, `destroy` and policy packs want it.

For tests alone: users have Pulumi's own, which can't be had where we test.  The engine starts `pulumi-language-python` with its address, reads a
port from the first line, and asks over gRPC for programs and policy packs to be run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2 as messages
from pulumi.runtime.proto import language_pb2_grpc as service
from pulumi.runtime.proto import plugin_pb2

RUNNER = Path(__file__).with_name("run_program.py")
SAID_ITSELF = 32
"""Exit code of a program that has told the engine why it failed."""
MOST_BYTES = 400 << 20


class LanguageHost(service.LanguageRuntimeServicer):
    """Programs run in the environment of this interpreter."""

    def __init__(self, engine: str) -> None:
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        """An engine may say its address only now."""
        self._engine = request.engine_address or self._engine
        return messages.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="3.250.0")

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """None: whatever the program uses is found on PATH when it is used."""
        return messages.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:
        return messages.GetRequiredPluginsResponse()

    def About(self, request: Any, context: Any) -> Any:
        return messages.AboutResponse(executable=sys.executable, version=sys.version.split()[0])

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        return messages.GetProgramDependenciesResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Any:
        yield messages.InstallDependenciesResponse(stdout=b"nothing to install\n")

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return messages.RuntimeOptionsResponse()

    def Run(self, request: Any, context: Any) -> Any:
        """A program, to its end."""
        done = subprocess.run(
            [sys.executable, "-u", RUNNER, self._engine],
            input=request.SerializeToString(),
            cwd=request.pwd,
            check=False,
        )
        if done.returncode == SAID_ITSELF:
            return messages.RunResponse(bail=True)
        return messages.RunResponse(error=f"exit code {done.returncode}" if done.returncode else "")

    def RunPlugin(self, request: Any, context: Any) -> Any:
        """A policy pack, for as long as the engine wants it."""
        folder = request.info.program_directory or request.program
        environment = {**os.environ, **dict(pair.split("=", 1) for pair in request.env)}
        command = [sys.executable, "-u", "-m", "pulumi.policy", *request.args, folder]
        process = subprocess.Popen(command, cwd=request.pwd or None, env=environment, stdout=subprocess.PIPE)
        context.add_callback(process.terminate)
        assert process.stdout is not None
        while said := process.stdout.read1(65536):  # type: ignore[attr-defined]
            yield messages.RunPluginResponse(stdout=said)
        yield messages.RunPluginResponse(exitcode=process.wait())

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def main() -> None:
    """Serves until the engine ends it."""
    limits = [("grpc.max_receive_message_length", MOST_BYTES), ("grpc.max_send_message_length", MOST_BYTES)]
    server = grpc.server(ThreadPoolExecutor(16), options=limits)
    engine = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    service.add_LanguageRuntimeServicer_to_server(LanguageHost(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
