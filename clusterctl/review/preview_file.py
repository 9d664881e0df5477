"""Reading a preview of Pulumi from a file: `pulumi preview --json`, or the engine's events, one JSON object a line."""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from clusterctl.errors import SpecError
from clusterctl.foreign_files import read_limited, too_large
from planners.infrastructure.preview import Preview
from planners.infrastructure.read_steps import preview_of

MAX_BYTES = 512 << 20
"""5,000 resources are 22 MB."""
HINT = "make one with `pulumi preview --json > preview.json`"
PREVIEW_KEYS = frozenset({"steps", "changeSummary", "duration", "maybeCorrupt"})
"""Keys of which `pulumi preview --json` writes some: a preview without changes has no steps.
github.com/pulumi/pulumi sdk/go/common/display/json.go"""
EVENT_KEYS = frozenset(
    {
        "resourcePreEvent",
        "resOutputsEvent",
        "resOpFailedEvent",
        "preludeEvent",
        "summaryEvent",
        "diagnosticEvent",
        "cancelEvent",
        "stdoutEvent",
        "policyEvent",
        "policyLoadEvent",
        "policyRemediationEvent",
        "policyAnalyzeSummaryEvent",
        "policyRemediateSummaryEvent",
        "policyAnalyzeStackSummaryEvent",
        "startDebuggingEvent",
        "progressEvent",
        "errorEvent",
    }
)
"""github.com/pulumi/pulumi sdk/go/common/apitype/events.go"""
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_OTHERS = (
    ({"terraform_version"}, "it is a plan or state of Terraform"),
    ({"planned_values"}, "it is a plan of Terraform"),
    ({"resource_changes"}, "it is a plan of Terraform"),
    ({"deployment", "version"}, "it is a state (`pulumi stack export`)"),
    ({"projects", "totalMonthlyCost"}, "it is a report of Infracost"),
    ({"resourcePlans"}, "it is an update plan (`pulumi preview --save-plan`)"),
    ({"result", "summary"}, "it is the history of a stack"),
)
"""Keys of other documents → what they are."""
_COLOUR = re.compile(r"<\{%.*?%\}>")
Document = Mapping[str, Any]


def read_preview(path: Path) -> Preview:
    """The preview in a file; `-` is stdin.  Raises SpecError with one message for whatever isn't a preview."""
    name = "stdin" if str(path) == "-" else str(path)
    text = _text(_content(path, name), name)
    if not text.strip():
        raise SpecError(f"{name} is empty", hint=HINT)
    try:
        document = from_json(text)
    except ValueError as error:
        return _of_events(_events(text, name, str(error)))
    if isinstance(document, dict) and EVENT_KEYS & document.keys():
        return _of_events([document])
    if not isinstance(document, dict) or not PREVIEW_KEYS & document.keys():
        raise SpecError(f"{name} is no preview of Pulumi: {_what_it_is(document)}", hint=HINT)
    return _of_digest(document, name)


def _content(path: Path, name: str) -> bytes:
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise too_large(MAX_BYTES)
            return content
        return read_limited(path, MAX_BYTES, pipe=True)
    except OSError as error:
        raise SpecError(f"cannot read {name}: {error.strerror}", hint=HINT) from error


def _text(content: bytes, name: str) -> str | bytes:
    """As UTF-8; a file with a byte order mark, as PowerShell writes it, is decoded by it."""
    encoding = next((encoding for mark, encoding in _BOMS if content.startswith(mark)), "")
    if not encoding and content[:2].count(0) == 1 and content[:1] in (b"{", b"\0"):
        encoding = "utf-16-le" if content[:1] == b"{" else "utf-16-be"
    try:
        return content.decode(encoding) if encoding else content.decode()
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{name} is not text in UTF-8: byte {error.start} of it is {content[error.start]:#04x}", hint=HINT
        ) from error


def _events(text: str | bytes, name: str, error: str) -> Iterator[Document]:
    """The objects of JSON lines.  Raises SpecError where a line is no event."""
    lines = (text if isinstance(text, str) else text.decode()).splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = from_json(line)
        except ValueError:
            if number == 1 or (number == 2 and lines[0].strip() == "{"):
                raise SpecError(f"{name} is {_broken(lines, error)}", hint=HINT) from None
            where = "ends in the middle of" if number == len(lines) else "is no JSON at"
            raise SpecError(
                f"{name} {where} line {number}", hint="let the engine end, and copy the whole file"
            ) from None
        if not isinstance(event, dict) or not EVENT_KEYS & event.keys():
            if isinstance(event, dict) and set(event) <= {"sequence", "timestamp"}:
                continue  # an event without content, or of a kind that is newer than this program
            if number == 1 or not isinstance(event, dict):
                raise SpecError(f"{name} is no preview of Pulumi: {_what_it_is(event)}", hint=HINT)
            continue
        yield event


def _broken(lines: Sequence[str], error: str) -> str:
    """What a file is that is no JSON."""
    first = lines[0].strip()
    if first.startswith(("Previewing", "Updating", "Previewing update", "View Live")):
        return "the text that `pulumi preview` prints for people, not its JSON"
    if first.startswith(("{", "[")):
        at = error.partition(" at ")[2]
        if error.startswith("EOF"):
            return f"cut off: its JSON ends too early{f', at {at}' if at else ''}"
        return f"damaged: {error}"
    return f"no JSON: it begins with {first[:40]!r}"


def _what_it_is(document: Any) -> str:
    if not isinstance(document, dict):
        return f"it holds a JSON {type(document).__name__.replace('list', 'array').replace('str', 'text')}"
    for keys, words in _OTHERS:
        if keys <= document.keys():
            return words
    names = ", ".join(list(document)[:4])
    return f"it has none of the keys of one, but {names}" if names else "it is an empty object"


def _of_digest(document: Document, name: str) -> Preview:
    steps = document.get("steps") or []
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise SpecError(f"{name}: `steps` is no list of steps", hint=HINT)
    raw = (
        {
            "op": step.get("op"),
            "urn": step.get("urn"),
            "old": step.get("oldState"),
            "new": step.get("newState"),
            "changed": _changed(step),
        }
        for step in steps
    )
    preview = preview_of(raw, config=_config(document), unchanged=_same(document.get("changeSummary")))
    messages = [
        each for each in document.get("diagnostics") or () if isinstance(each, dict) and each.get("severity") == "error"
    ]
    return replace(preview, notes=_notes(messages))


def _of_events(events: Iterator[Document] | Sequence[Document]) -> Preview:
    raw: list[dict[str, Any]] = []
    config: Mapping[str, Any] = {}
    unchanged = 0
    errors: list[Document] = []
    for event in events:
        if isinstance(prelude := event.get("preludeEvent"), dict):
            config = _config(prelude)
        elif isinstance(summary := event.get("summaryEvent"), dict):
            unchanged = _same(summary.get("resourceChanges"))
        elif isinstance(diagnostic := event.get("diagnosticEvent"), dict):
            errors += [diagnostic] if diagnostic.get("severity") == "error" else []
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            found = event.get(kind)
            data = found.get("metadata") if isinstance(found, dict) else None
            if isinstance(data, dict):
                keys = {"op": data.get("op"), "urn": data.get("urn"), "old": data.get("old"), "new": data.get("new")}
                raw.append({**keys, "changed": _changed(data)})
    return replace(preview_of(raw, config=config, unchanged=unchanged), notes=_notes(errors))


def _changed(step: Document) -> list[str]:
    detailed = step.get("detailedDiff")
    if isinstance(detailed, dict) and detailed:
        return list(detailed)
    for name in ("diffReasons", "diffs", "replaceReasons", "keys"):
        reasons = step.get(name)
        if isinstance(reasons, list) and reasons:
            return [str(reason) for reason in reasons]
    return []


def _config(document: Document) -> dict[str, str]:
    found = document.get("config")
    if not isinstance(found, dict):
        return {}
    values = {key: each.get("value") if isinstance(each, dict) else each for key, each in found.items()}
    return {key: value for key, value in values.items() if isinstance(value, str)}


def _same(summary: Any) -> int:
    count = summary.get("same") if isinstance(summary, dict) else 0
    return count if isinstance(count, int) else 0


def _notes(errors: Sequence[Document]) -> tuple[str, ...]:
    if not errors:
        return ()
    first = _COLOUR.sub("", str(errors[0].get("message", ""))).strip().splitlines()
    text = first[0].removeprefix("error:").strip() if first else "no message"
    return (f"the preview ended with an error, so resources may be missing: {text[:200]}",)
