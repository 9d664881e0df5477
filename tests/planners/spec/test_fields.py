"""Which fields a spec has where: what messages and overrides look up."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from planners.spec.fields import all_paths, fields_at
from planners.spec.stage_options import TrainOptions

DATA = {
    "stages": [
        {"kind": "rlcef", "judges": [{"name": "a"}], "prompt_tokens": 5},
        {"kind": "sft", "model": {"name": "m"}},
        {"kind": "nonsense"},
    ]
}


def test_fields_follow_the_kind_of_the_stage() -> None:
    assert "steps" in fields_at(DATA, ("stages", 0))
    assert "steps" not in fields_at(DATA, ("stages", 1))
    assert fields_at(DATA, ("stages", 2)) == {}


def test_fields_inside_lists_options_and_short_forms() -> None:
    assert "share" in fields_at(DATA, ("stages", 0, "judges", 0))
    assert "p95" in fields_at(DATA, ("stages", 0, "prompt_tokens"))
    assert "layers" in fields_at(DATA, ("stages", 1, "model"))
    assert "lora_rank" in fields_at(DATA, ("stages", 1, "train"))
    assert "usd" in fields_at(DATA, ("limits",))


def test_free_keys_and_wrong_paths_have_no_fields() -> None:
    assert fields_at(DATA, ("labels",)) == {}
    assert fields_at(DATA, ("nowhere", 3, "x")) == {}


def test_all_paths_hold_also_what_the_spec_leaves_out() -> None:
    paths = set(all_paths(DATA))
    assert {("limits", "usd"), ("stages", 0, "train", "tp"), ("stages", 0, "judges", 0, "share")} <= paths
    assert ("stages", 0, "judges", 1, "share") not in paths
    assert ("stages", 1, "steps") not in paths


def test_kernels_and_schedules_that_nobody_states_may_be_called_auto() -> None:
    """Plans of earlier versions say so."""
    options = TrainOptions.model_validate({"attention": "auto", "pipeline_schedule": "auto"})
    assert (options.attention, options.pipeline_schedule) == (None, None)


def test_degrees_that_a_sharding_has_not_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"tp needs sharding megatron \(or auto\), not fsdp"):
        TrainOptions.model_validate({"sharding": "fsdp", "tp": 2})
    assert TrainOptions.model_validate({"sharding": "zero3", "tp": 1}).tp == 1
