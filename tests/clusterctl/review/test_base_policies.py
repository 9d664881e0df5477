"""The policies that a change is held to are those of its base, whatever the change does to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from git_repository import new_repository

from clusterctl.errors import SpecError
from clusterctl.review.base_policies import policies_of_base, text_reader
from clusterctl.review.checkout import open_checkout


def test_the_head_loosens_no_rule(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repo")
    repository.put(".clusterctl/policies.yaml", "rules: {quota: mandatory}\nown: [{python: team.py}]\n")
    repository.put(".clusterctl/team.py", "old")
    base = repository.commit()
    repository.put(".clusterctl/policies.yaml", "rules: {quota: off}\n")
    repository.put(".clusterctl/team.py", "new")
    repository.put("policies.yaml", "rules: {quota: off}\n")
    repository.commit()
    with open_checkout(repository.root, base, None) as checkout:
        policies = policies_of_base(checkout.base)
        assert policies.name == ".clusterctl/policies.yaml"
        assert policies.settings(())("quota").level == "mandatory"
        assert policies.own_texts == {"team.py": "old"}
        assert text_reader(checkout.head, "of the head")(".clusterctl/team.py") == "new"


def test_without_a_file_in_the_base_each_rule_is_as_it_is(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "repo")
    base = repository.commit()
    repository.put("policies.yaml", "rules: {secret-in-plain-text: off}\n")
    with open_checkout(repository.root, base, None) as checkout:
        assert policies_of_base(checkout.base).settings(())("secret-in-plain-text").level == "mandatory"


@pytest.mark.parametrize("link", ["../../../etc/passwd", "/etc/passwd"])
def test_nothing_outside_of_the_base_is_read(tmp_path: Path, link: str) -> None:
    repository = new_repository(tmp_path / "repo")
    repository.put("policies.yaml", f"own: [{{python: {link}}}]\n")
    base = repository.commit()
    with open_checkout(repository.root, base, None) as checkout, pytest.raises(SpecError, match=r"policies\.yaml:1:16"):
        policies_of_base(checkout.base)
    (repository.root / "policies.yaml").unlink()
    (repository.root / "policies.yaml").symlink_to("/etc/passwd")
    base = repository.commit()
    with open_checkout(repository.root, base, None) as checkout:
        assert policies_of_base(checkout.base).name == ""


def test_doctor_looks_for_opa_where_policies_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "Open Policy Agent" not in in_process("doctor").stdout
    (tmp_path / "policies.yaml").write_text("own: [{rego: a.rego}]\n", "utf-8")
    (tmp_path / "a.rego").write_text("package a\n", "utf-8")
    told = in_process("doctor").stdout
    assert "Open Policy Agent" in told
