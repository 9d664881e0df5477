"""The three kinds of kubernetes-sigs/agent-sandbox v1beta1, with the fields that we write, strictly checked.

Its operator can't be had here: these kinds are data that nobody acts on.
"""

from __future__ import annotations

from typing import Any

GROUP = "extensions.agents.x-k8s.io"
TEXT, COUNT, ANY = (
    {"type": "string"},
    {"type": "integer", "minimum": 0},
    {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
)
NAME = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
KINDS: dict[str, dict[str, Any]] = {
    "SandboxTemplate": {
        "podTemplate": {"type": "object", "required": ["spec"], "properties": {"metadata": ANY, "spec": ANY}},
        "networkPolicy": {
            "type": "object",
            "properties": {"ingress": {"type": "array", "items": ANY}, "egress": {"type": "array", "items": ANY}},
        },
        "networkPolicyManagement": TEXT | {"enum": ["Managed", "Unmanaged"]},
        "envVarsInjectionPolicy": TEXT | {"enum": ["Allowed", "Overrides", "Disallowed"]},
    },
    "SandboxWarmPool": {"replicas": COUNT, "sandboxTemplateRef": NAME},
    "SandboxClaim": {
        "warmPoolRef": NAME,
        "lifecycle": {
            "type": "object",
            "properties": {
                "shutdownTime": TEXT | {"format": "date-time"},
                "shutdownPolicy": TEXT | {"enum": ["Delete", "DeleteForeground", "Retain"]},
            },
        },
    },
}
REQUIRED = {
    "SandboxTemplate": ["podTemplate"],
    "SandboxWarmPool": ["sandboxTemplateRef"],
    "SandboxClaim": ["warmPoolRef"],
}


def stateful_crds() -> list[dict[str, Any]]:
    """As objects of the API."""
    made = []
    for kind, fields in KINDS.items():
        spec = {"type": "object", "required": REQUIRED[kind], "properties": fields}
        schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": ANY}}
        plural = f"{kind.lower()}s"
        version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        made.append(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{GROUP}"},
                "spec": {
                    "group": GROUP,
                    "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                    "versions": [version],
                },
            }
        )
    return made
