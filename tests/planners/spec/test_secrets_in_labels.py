"""What looks like a key or token is refused where it would be copied to tags, bills and exports, and not repeated."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from planners.spec.run_spec import RunSpec

A30 = "abcdefghij0123456789ABCDEFGHIJ"
SECRETS = (
    "AKIAABCDEFGHIJKLMNOP", f"ghp_{A30}", f"hf_{A30}", "sk-ant-api03-abcdefghijklmnop", "sk-proj-abcdefghijklmnop", f"sk-{A30}",
    f"sk_live_{A30}", "xoxb-1234567890-1", "glpat-abcdefghij0123456789", f"AIza{A30}abcde", f"nvapi-{A30}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
)  # fmt: skip
NAMES = (
    "sk-learn",
    "0123456789abcdef0123456789abcdef01234567",
    "hf_trainer",
    "ghp_team",
    "AKIA",
    "eyJ",
    "ask-someone-about-the-budget-now",
)


def refusal(**more: object) -> str | None:
    try:
        RunSpec.model_validate({"name": "x", "stages": [{"kind": "evaluate"}], **more})
    except ValidationError as error:
        return next((f"{each['loc']}: {each['msg']}" for each in error.errors() if "key or token" in each["msg"]), None)
    return None


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_refused(secret: str) -> None:
    assert "labels" in str(refusal(labels={"team": secret}))
    assert "description" in str(refusal(description=f"use {secret}"))
    if secret.islower():
        assert secret not in str(refusal(labels={secret: "x"}))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_secret(name: str) -> None:
    assert refusal(labels={"team": name}, description=f"by {name}") is None
