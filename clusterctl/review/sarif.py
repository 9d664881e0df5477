"""The findings of a review as SARIF 2.1.0, which marks lines of a pull request in GitHub's code scanning and elsewhere.

Only rules belong there, costs don't.  A finding without a file has a logical location alone: the spec, or the resource.
Format: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from clusterctl.review.finding_blocks import ordered
from clusterctl.review.value import Finding, Review
from clusterctl.ui.spans import clean

SCHEMA_URI = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"mandatory": "error", "advisory": "warning"}
_LINK = re.compile(r"\[(?=[^\]]*\]\()")
"""What a viewer of SARIF would make a link of (section 3.11.6)."""


def sarif_data(review: Review) -> dict[str, Any]:
    """One run with a rule per id and a result per finding; silenced findings are suppressed, not left out."""
    findings = ordered(review.findings)
    rules: dict[str, Finding] = {}
    for found in findings:
        rules.setdefault(found.rule, found)
    places = {rule: index for index, rule in enumerate(rules)}
    driver = {"name": "clusterctl review", "rules": [_rule(found) for found in rules.values()]}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"clusterctl-review/{clean(review.id)}/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The checkout that was reviewed."}}},
        "results": [_result(found, places[found.rule]) for found in findings],
    }
    return {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}


def _text(text: str) -> dict[str, str]:
    return {"text": _LINK.sub(r"\\[", clean(text)) or "(no text)"}


def _rule(found: Finding) -> dict[str, Any]:
    return {
        "id": found.rule,
        "shortDescription": _text(found.rule),
        "fullDescription": _text(found.why or found.rule),
        "help": _text(found.why or found.rule),
        "defaultConfiguration": {"level": LEVELS[found.level]},
        "properties": {"tags": [found.group or "rules"]},
    }


def _result(found: Finding, index: int) -> dict[str, Any]:
    result = {
        "ruleId": found.rule,
        "ruleIndex": index,
        "level": LEVELS[found.level],
        "message": _text(found.message),
        "locations": [_location(found)],
        "partialFingerprints": {"clusterctlFinding/v1": _fingerprint(found)},
        "baselineState": "new" if found.is_new else "unchanged",
    }
    if found.silence is not None:
        why = f"{clean(found.silence.reason)} (until {found.silence.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _location(found: Finding) -> dict[str, Any]:
    logical = {"fullyQualifiedName": clean(found.subject)}
    if not found.file:
        return {"logicalLocations": [logical]}
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(found.file), "uriBaseId": "SRCROOT"}}
    if found.line is not None and found.line > 0:
        place["region"] = {"startLine": found.line}
    return {"physicalLocation": place, "logicalLocations": [logical]}


def _fingerprint(found: Finding) -> str:
    """The same finding wherever its line moves to."""
    return hashlib.sha256("\0".join((found.rule, found.subject, found.file)).encode("utf-8", "replace")).hexdigest()
