"""SandboxFusion's JSON of `POST /run_code` (github.com/bytedance/SandboxFusion, sandbox/server/sandbox_api.py)."""

from __future__ import annotations

import base64
import platform
import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, NonNegativeFloat

from clusterctl.errors import SpecError
from clusterctl.sandbox.verdict import MAX_FILES, PhaseResult, ProgramRequest, Status, Verdict

MAX_REQUEST_BYTES = 32 << 20
MAX_STRUCTURE_BYTES = 64 << 10
"""Of a request's JSON, without what its strings hold: each comma would cost the parser dozens of bytes."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one that never ends: so that each byte is looked at once."""

_LIMITS = {
    Status.MEMORY_LIMIT: (137, "\nsandbox: killed, over its memory limit\n"),
    Status.OUTPUT_LIMIT: (153, "\nsandbox: killed, too much output\n"),
}
"""The interface has no status for these: the exit code of SIGKILL or SIGXFSZ, and what is added to stderr."""
_STATUSES = {Status.TIME_LIMIT: "TimeLimitExceeded", Status.SANDBOX_ERROR: "Error"}


class RunCodeRequest(BaseModel):
    """As SandboxFusion's server reads it.  Fields that are unknown there are ignored, and so they are here."""

    code: str
    language: Annotated[str, Field(max_length=64)]
    compile_timeout: NonNegativeFloat = 10.0
    run_timeout: NonNegativeFloat = 10.0
    memory_limit_MB: Annotated[int, Field(ge=-1)] = -1  # noqa: N815 - their name
    stdin: str | None = None
    files: Annotated[dict[str, str | None], Field(max_length=MAX_FILES)] = {}
    """Path → content in base64; null is left out."""
    fetch_files: Annotated[list[str], Field(max_length=MAX_FILES)] = []

    def request(self) -> ProgramRequest:
        """The same in our words.  Raises SpecError for what is no base64, or no path inside the working folder."""
        try:
            files = {
                name: base64.b64decode(text, validate=True) for name, text in self.files.items() if text is not None
            }
        except ValueError as error:
            raise SpecError(f"a file's content is not base64: {error}") from error
        return ProgramRequest(
            language=self.language,
            code=self.code,
            stdin=(self.stdin or "").encode(errors="surrogatepass"),
            files=files,
            fetch=tuple(self.fetch_files),
            compile_seconds=self.compile_timeout,
            run_seconds=self.run_timeout,
            memory_mib=self.memory_limit_MB if self.memory_limit_MB > 0 else None,
        )


def parse_request(body: bytes) -> RunCodeRequest:
    """Raises SpecError for JSON of too many pieces, ValidationError for another mistake."""
    if len(body) > MAX_STRUCTURE_BYTES and len(_STRING.sub(b"", body)) > MAX_STRUCTURE_BYTES:
        raise SpecError(f"JSON of more than {MAX_STRUCTURE_BYTES >> 10} KiB beside its strings")
    return RunCodeRequest.model_validate_json(body)


def response(verdict: Verdict) -> dict[str, Any]:
    """The answer.  A broken memory or output limit is a failed run whose stderr says so."""
    success = verdict.run is not None and verdict.run.ok
    files = verdict.run.files if verdict.run else {}
    return {
        "status": "SandboxError" if verdict.status is Status.SANDBOX_ERROR else "Success" if success else "Failed",
        "message": verdict.message,
        "compile_result": _command(verdict.compile),
        "run_result": _command(verdict.run),
        "executor_pod_name": platform.node(),
        "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def _command(phase: PhaseResult | None) -> dict[str, Any] | None:
    if phase is None:
        return None
    code, note = _LIMITS.get(phase.status, (phase.exit_code, ""))
    return {
        "status": _STATUSES.get(phase.status, "Finished"),
        "execution_time": phase.wall_seconds,
        "cpu_time": phase.cpu_seconds,
        "return_code": code,
        "stdout": phase.stdout.decode(errors="replace"),
        "stderr": phase.stderr.decode(errors="replace") + note,
    }
