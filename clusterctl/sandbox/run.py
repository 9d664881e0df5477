"""Compiles and runs one program; each in a sandbox of its own, so that a compiler can leave nothing behind but files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from clusterctl.sandbox import go_cache
from clusterctl.sandbox.isolation import UNPROTECTED, find_isolation
from clusterctl.sandbox.languages import LANGUAGES, languages, toolchain
from clusterctl.sandbox.process import Task, run_phase
from clusterctl.sandbox.verdict import Phase, Policy, Request, Status, Verdict

if TYPE_CHECKING:
    from clusterctl.sandbox.isolation import Isolation

_HEAP_SHARE = 0.6
"""Of the memory limit: what a runtime that has to be told may use for objects; the rest is its own."""


def run_program(request: Request, policy: Policy | None = None, isolation: Isolation | None = None) -> Verdict:
    """Compile and run `request` within `policy`; the mechanism is the best of this machine unless one is given.

    Never raises for what the program does.  Raises ClusterctlError when no sandbox works here.
    """
    policy = policy or Policy()
    isolation = isolation or find_isolation()
    absent = languages().get(request.language, f"not one of {', '.join(LANGUAGES)}")
    if absent is not None:
        message = f"{request.language}: {absent}"
        return Verdict(status=Status.SANDBOX_ERROR, compile=None, run=None, isolation=isolation.name, message=message)
    language = LANGUAGES[request.language]
    memory_mib = min(request.memory_mib or policy.memory_mib, policy.memory_mib)
    heap = str(int(memory_mib * _HEAP_SHARE))
    task = Task(
        program=_filled(language.run, heap),
        toolchain=toolchain(language.name),
        environ=language.environ,
        files={**request.files, language.source: request.code.encode(errors="surrogateescape")},
        fetch=request.fetch,
        stdin=request.stdin,
        seconds=min(request.run_seconds, policy.max_seconds),
        memory_mib=memory_mib,
    )
    compiled: Phase | None = None
    if language.compile:
        compiler = replace(
            task,
            program=_filled(language.compile, heap),
            fetch=(language.artifact,),
            stdin=b"",
            seconds=min(request.compile_seconds, policy.max_seconds),
        )
        if language.name == "go" and isolation is not UNPROTECTED:
            compiler = go_cache.shown(compiler)
        compiled = run_phase(isolation.command, compiler, policy)
        if not compiled.ok:
            status = Status.COMPILE_FAILED if compiled.status is Status.FINISHED else compiled.status
            return _verdict(status, compiled, None, isolation)
        task = replace(task, files={**request.files, **compiled.files})
    ran = run_phase(isolation.command, task, policy)
    return _verdict(ran.status, compiled, ran, isolation)


def _filled(line: tuple[str, ...], heap_mib: str) -> tuple[str, ...]:
    return tuple(word.replace("{memory_mib}", heap_mib) for word in line)


def _verdict(status: Status, compiled: Phase | None, ran: Phase | None, isolation: Isolation) -> Verdict:
    last = ran or compiled
    message = last.stderr.decode(errors="replace").strip() if last and status is Status.SANDBOX_ERROR else ""
    return Verdict(status=status, compile=compiled, run=ran, isolation=isolation.name, message=message)
