"""Compiles and runs one program; each in a sandbox of its own, so that compilers leave nothing behind but files."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path

from clusterctl import paths
from clusterctl.sandbox.commands import Task
from clusterctl.sandbox.isolation import UNPROTECTED, Isolation, find_isolation
from clusterctl.sandbox.languages import LANGUAGES, toolchain
from clusterctl.sandbox.process import run_phase
from clusterctl.sandbox.running_sandbox import START_SECONDS
from clusterctl.sandbox.verdict import PhaseResult, Policy, ProgramRequest, Status, Verdict

_HEAP_SHARE = 0.6
"""Of the memory limit: what a runtime that has to be told may use for objects; the rest is its own."""
_GO_PACKAGES = """
bufio bytes container/heap container/list encoding/json errors fmt io math math/big math/bits math/rand os reflect
regexp slices sort strconv strings sync/atomic time unicode/utf8
"""
_building = threading.Lock()


def run_program(request: ProgramRequest, policy: Policy | None = None, isolation: Isolation | None = None) -> Verdict:
    """Compile and run `request` within `policy`; the mechanism is the best of this machine unless one is given.

    Never raises for what the program does.  Raises ClusterctlError when no sandbox works here.
    """
    policy, isolation = policy or Policy(), isolation or find_isolation()
    language = LANGUAGES.get(request.language)
    absent = toolchain(request.language).absent if language else f"not one of {', '.join(LANGUAGES)}"
    if language is None or absent is not None:
        message = f"{request.language}: {absent}"
        return Verdict(status=Status.SANDBOX_ERROR, isolation=isolation.name, message=message)
    memory_mib = min(request.memory_mib or policy.memory_mib, policy.memory_mib)
    compiling, running = (
        tuple(line.replace("HEAP", str(int(memory_mib * _HEAP_SHARE))).split())
        for line in (language.compile, language.run)
    )
    task = Task(
        program=running,
        toolchain=toolchain(request.language),
        environ=language.environ,
        files={**request.files, language.source: request.code.encode(errors="surrogatepass")},
        fetch=request.fetch,
        stdin=request.stdin,
        seconds=min(request.run_seconds, policy.max_seconds),
        memory_mib=memory_mib,
    )
    if isolation is UNPROTECTED:  # nothing is shown anywhere else
        here = ":".join(f"{here}/bin" for here, _ in task.toolchain.folders)
        task = replace(task, toolchain=replace(task.toolchain, path=f"{here}:{task.toolchain.path}"))
    compiled = None
    if compiling:
        seconds = min(request.compile_seconds, policy.max_seconds)
        compiler = replace(task, program=compiling, fetch=(language.artifact,), stdin=b"", seconds=seconds)
        compiled = run_phase(isolation.command, _with_cache(compiler, isolation), policy)
        if not compiled.ok:
            status = Status.COMPILE_FAILED if compiled.status is Status.FINISHED else compiled.status
            return Verdict(status=status, compile=compiled, isolation=isolation.name, message=_why(compiled))
        task = replace(task, files={**request.files, **compiled.files})
    ran = run_phase(isolation.command, task, policy)
    return Verdict(status=ran.status, compile=compiled, run=ran, isolation=isolation.name, message=_why(ran))


def _with_cache(compiler: Task, isolation: Isolation) -> Task:
    """Go's compiler with its library compiled already, where a sandbox can see it."""
    if compiler.program[0] != "go" or not isolation.reads_home or (here := go_cache()) is None:
        return compiler
    shown = replace(compiler.toolchain, folders=(*compiler.toolchain.folders, (here, "/go-cache")))
    return replace(compiler, toolchain=shown, environ=compiler.environ | {"GOCACHE": "/go-cache"})


def _why(phase: PhaseResult) -> str:
    if phase.status is not Status.SANDBOX_ERROR:
        return ""
    if phase.start_seconds >= START_SECONDS:
        return f"no sandbox began within {START_SECONDS:g} s: too much at once for this machine"
    return phase.stderr.decode(errors="replace").strip() or "the sandbox was killed from outside, for lack of memory?"


def go_cache() -> str | None:
    """Folder of Go's standard library, compiled once per machine: else each Go program would do it (8 s on 2 cores).

    It is built from our own program and shown to sandboxes read-only, so that no program can change what others get.
    None when it can't be built.
    """
    with _building:
        return _built()


@cache
def _built() -> str | None:
    home = paths.user_data_dir() / "sandbox"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".building-") as building:
            environ = LANGUAGES["go"].environ | {"HOME": building, "PATH": toolchain("go").path}
            folder = home / f"go-cache-{_go(['env', 'GOVERSION'], environ)}"
            if not folder.is_dir():
                source, made = Path(building, "main.go"), Path(building, "cache")
                imports = "\n".join(f'import _ "{name}"' for name in _GO_PACKAGES.split())
                source.write_text(f"package main\n{imports}\nfunc main() {{}}\n", encoding="utf-8")
                _go(["build", "-o", "/dev/null", str(source)], environ | {"GOCACHE": str(made)})
                made.chmod(0o755)
                with contextlib.suppress(OSError):  # another process was faster
                    made.rename(folder)
            return str(folder) if folder.is_dir() else None
    except (OSError, subprocess.SubprocessError):
        return None


def _go(words: list[str], environ: dict[str, str]) -> str:
    line = ["go", *words]
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=True, timeout=300)  # noqa: S603 - a list
    return done.stdout.strip()
