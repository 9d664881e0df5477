"""Rules on secrets that stand in a program's inputs for everybody to read: in the state, in logs, in this review.

No sentence repeats a value.  What Pulumi keeps as a secret shows as `[secret]` in a preview and breaks nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from planners.rules.rule import Properties, ResourceRule, Rule, RuleSetting, StackFacts, mappings
from planners.secret_forms import SECRET, SECRET_NAME

_WRAPPED = "4dabf18193072939515e22adb298388d"
"""Key of a mapping by which Pulumi marks secrets, assets and resources:
https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go"""
_REFERENCE = re.compile(
    r"^(\$|\{\{|arn:|projects/|vault:|secretref:|file:|/|\./|https?://[^:@]*$|@Microsoft\.KeyVault|ssm:|sm:|kms:|op://|ref\+)|"
    r"^\s*$|^\[secret\]$|^(true|false|null|none)$|^<.*>$"
)
"""Values that point at a secret, or say that there is none."""
_MOST_DECODED = 64 << 10
"""Bytes of one text that is decoded: user data may have 16 KiB on AWS, 64 on Azure, 256 on Google Cloud (as text)."""


def _by_form(_kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    seen = set[str]()
    for path, text in _texts(properties):
        if SECRET.search(text) and path not in seen:
            seen.add(path)
            yield f"{path or 'a property'} holds what looks like a key or token: revoke it, and keep it as a secret"


def _by_name(kind: str, properties: Properties, _setting: RuleSetting, _stack: StackFacts) -> Iterator[str]:
    seen = set[str]()
    for path, text in _texts(properties):
        name = path.rpartition(".")[2]
        is_kubernetes_secret = kind.startswith("kubernetes:core/v1:Secret") and path.startswith(
            ("data.", "stringData.")
        )
        if not is_kubernetes_secret and not SECRET_NAME.search(name):
            continue
        is_number = text.isdigit() and not re.search(r"(?i)pass", name)
        if _REFERENCE.search(text) is None and not is_number and not SECRET.search(text) and path not in seen:
            seen.add(path)
            yield f"{path} stands in plain text: keep it as a secret of Pulumi, or name where it is kept"


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a resource's properties with its path; what is encoded within a text as well.

    `env: [{name: TOKEN, value: x}]` counts as `env.TOKEN`.
    """
    if isinstance(value, Mapping):
        if _WRAPPED in value:
            return
        named = value.get("name")
        if isinstance(named, str) and isinstance(value.get("value"), str):
            yield f"{path}.{named}".lstrip("."), value["value"]
            return
        for key, inner in value.items():
            yield from _texts(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, str):
        yield path, value
        yield from _decoded(value, path)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner, path)


def _decoded(text: str, path: str) -> Iterator[tuple[str, str]]:
    if text[:1] in "[{" and text[-1:] in "]}" and len(text) > 2:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return
        if mappings(found):
            yield from _texts(found, path)
    elif re.search(r"(?i)(userData|customData)(Base64)?$", path) and len(text) <= 2 * _MOST_DECODED:
        try:
            yield path, base64.b64decode(text, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return


SECRET_IN_PLAIN_TEXT = ResourceRule(
    rule=Rule(
        id="secret-in-plain-text",
        group="safety",
        level="mandatory",
        summary="A property, user data or a variable of a container holds a key or token of a known form.",
        why="It is in the program's history, its state and every log of it, and stays valid until it is revoked.",
    ),
    problems=_by_form,
)
PASSWORD_IN_PLAIN_TEXT = ResourceRule(
    rule=Rule(
        id="password-in-plain-text",
        group="safety",
        summary="A property or variable that is called a password, key or token has a value that everybody can read.",
        why="It is in the program's history, its state and every log of it.",
    ),
    problems=_by_name,
)
