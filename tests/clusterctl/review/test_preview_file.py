"""Reading previews: what the engine writes, its events, and one clear message for what is no preview."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import SpecError
from clusterctl.review.preview_file import read_preview

PREVIEWS = Path(__file__).parents[2] / "data" / "previews"
EKS = PREVIEWS / "aws-py-eks.json"


def events_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The same preview as the engine's events."""
    events: list[dict[str, Any]] = [{"preludeEvent": {"config": document["config"]}}]
    for step in document["steps"]:
        metadata = {
            "op": step["op"],
            "urn": step["urn"],
            "type": step["newState"]["type"],
            "old": step.get("oldState"),
            "new": step["newState"],
            "detailedDiff": step["detailedDiff"],
        }
        events += [
            {"resourcePreEvent": {"metadata": metadata, "planning": True}},
            {"resOutputsEvent": {"metadata": metadata, "planning": True}},
        ]
    events.append({"summaryEvent": {"resourceChanges": document["changeSummary"], "durationSeconds": 3}})
    return [{"sequence": number, "timestamp": 1764500000, **event} for number, event in enumerate(events)]


def test_events_say_the_same_as_the_digest(tmp_path: Path) -> None:
    document = json.loads(EKS.read_bytes())
    log = tmp_path / "events.jsonl"
    log.write_text("\n".join(json.dumps(event) for event in events_of(document)) + "\n")
    assert read_preview(log) == read_preview(EKS)
    assert read_preview(EKS).name == "aws-py-eks/aws-py-eks"
    assert len(read_preview(EKS).steps) == 20


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_powershell_is_read_by_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(EKS.read_text().encode(encoding))
    assert read_preview(path) == read_preview(EKS)


def test_a_preview_from_stdin_and_one_without_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EKS.read_bytes())))
    assert read_preview(Path("-")) == read_preview(EKS)
    path = tmp_path / "p.json"
    path.write_text('{"config": {}, "duration": 1, "changeSummary": {"same": 12}}')
    assert (read_preview(path).steps, read_preview(path).unchanged_not_shown) == ((), 12)


def test_a_preview_that_ended_with_an_error_says_so(tmp_path: Path) -> None:
    document = json.loads(EKS.read_bytes())
    document["diagnostics"] = [{"message": "<{%reset%}>error: no credentials<{%reset%}>\nmore", "severity": "error"}]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    assert read_preview(path).notes == ("the preview ended with an error, so resources may be missing: no credentials",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"Previewing update (dev)\n\n     Type", "the text that `pulumi preview` prints for people"),
        (b"hello", "no JSON: it begins with 'hello'"),
        (b'{"steps": [{"op": "cre', "cut off"),
        (b'{"steps": [}', "damaged"),
        (b'[{"op": "create"}]', "it holds a JSON array"),
        (b"7", "it holds a JSON int"),
        (b"{}", "it is an empty object"),
        (b'{"a": 1, "b": 2}', "it has none of the keys of one, but a, b"),
        (b'{"format_version": "1.2", "terraform_version": "1.9", "planned_values": {}}', "plan or state of Terraform"),
        (b'{"version": 3, "deployment": {"resources": []}}', "it is a state (`pulumi stack export`)"),
        (b'{"manifest": {}, "resourcePlans": {}}', "it is an update plan"),
        (b'{"version": "0.2", "projects": [], "totalMonthlyCost": "1"}', "it is a report of Infracost"),
        (b'{"steps": {"a": 1}}', "`steps` is no list"),
        (b"\x89PNG\r\n", "is not text in UTF-8: byte 0 of it is 0x89"),
        (
            b'{"sequence": 0, "timestamp": 1, "preludeEvent": {}}\n{"sequence": 1, "resourcePre',
            "in the middle of line 2",
        ),
    ],
)
def test_what_is_no_preview_is_one_message(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        read_preview(path)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_folder_and_an_absent_file_are_one_message(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.json"):
        with pytest.raises(SpecError, match="cannot read"):
            read_preview(path)


MEASURE = """
import sys, time
from pathlib import Path
from clusterctl.review.infrastructure import infrastructure_change
started = time.process_time()
change = infrastructure_change([Path(sys.argv[1])])
status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
peak_kib = int(status.partition("VmHWM:")[2].split()[0])
print(len(change.changes), time.process_time() - started, peak_kib / 1024)
"""


def test_five_thousand_resources_are_read_and_priced_within_two_seconds_and_300_mb(tmp_path: Path) -> None:
    """22 MB, written as the engine writes it; processor time, because tests run beside others."""
    document = json.loads(EKS.read_bytes())
    stack, *others = document["steps"]
    steps = [stack]
    for number in range(4999):
        text = json.dumps(others[number % len(others)])
        name = others[number % len(others)]["urn"]
        steps.append(json.loads(text.replace(name + '"', f'{name}-{number}"')))
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document | {"steps": steps}, indent=4))
    assert path.stat().st_size > 18_000_000
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    count, seconds, megabytes = done.stdout.split()
    assert int(count) == 4999  # the stack itself is no resource
    assert float(seconds) < 2.0
    assert float(megabytes) < 300
