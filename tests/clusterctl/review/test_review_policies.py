"""Where the policies of a review come from: the base of the change, never its head."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_repository import Repository, git, new_repository, spec

from clusterctl.errors import ClusterctlError
from clusterctl.review.review import ReviewRequest, make_review
from clusterctl.review.value import Review

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
STRICT = "version: 1\nrules:\n  usd-increase: {level: mandatory, usd: 1}\n"
LAX = "version: 1\nrules:\n  usd-increase: off\n"


def reviewed(made: Repository, policies: str = "") -> Review:
    return make_review(ReviewRequest(now=NOW, folder=made.root, base="main", policies=policies))


@pytest.fixture
def made(tmp_path: Path) -> Repository:
    """A change that costs more, and whose head loosens the rules."""
    made = new_repository(tmp_path / "r")
    made.write(one=spec("one"), policies=STRICT)
    made.commit()
    git(made.root, "checkout", "-q", "-b", "feature")
    made.write(one=spec("one", samples=8_000_000), policies=LAX)
    made.commit()
    return made


@pytest.mark.parametrize("named", ["", "policies.yaml", "./policies.yaml"])
def test_the_head_does_not_loosen_its_rules(made: Repository, named: str) -> None:
    review = reviewed(made, named)
    assert review.exit_code == 2
    assert [finding.rule for finding in review.broken] == ["usd-increase"]


def test_a_file_outside_of_the_checkout_is_read_as_it_is(made: Repository, tmp_path: Path) -> None:
    (tmp_path / "lax.yaml").write_text(LAX)
    assert reviewed(made, str(tmp_path / "lax.yaml")).exit_code == 0


def test_policies_that_the_change_brings_count_from_the_next_on(made: Repository) -> None:
    made.put("new.yaml", STRICT)
    made.commit()
    review = reviewed(made, "new.yaml")
    assert review.exit_code == 0
    assert "new.yaml is new" in review.notes[0]
    with pytest.raises(ClusterctlError, match="missing"):
        reviewed(made, "missing.yaml")
