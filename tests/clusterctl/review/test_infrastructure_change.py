"""Programs not written for this project, previewed by the real engine, line by line against sums worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from clusterctl.catalog.book_folder import embedded_dir
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.price_files import write_book
from clusterctl.errors import SpecError
from clusterctl.review.infrastructure import infrastructure_change
from clusterctl.review.review import ReviewRequest, make_review
from planners.infrastructure.value import ResourceCost

PREVIEWS = Path(__file__).parents[2] / "data" / "previews"
HOURS = 730


def after(name: str) -> dict[str, ResourceCost]:
    change = infrastructure_change([PREVIEWS / f"{name}.json"])
    return {one.resource.name: one.after for one in change.changes if one.after}


def lines(cost: ResourceCost) -> dict[str, float | None]:
    return {part.name: None if part.usd_per_month is None else round(part.usd_per_month, 2) for part in cost.parts}


def test_aicr_gke_training() -> None:
    costs = after("aicr-gke-training")
    # The default pool is removed, so its initialNodeCount of 1 costs nothing.
    assert lines(costs["aicr-training"]) == {"control plane": 73.00}
    # 2 × 88.49 × 730; 2 × 100 GB × 0.10 (GKE's defaults, marked)
    assert lines(costs["gpu-pool"]) == {"a3-highgpu-8g": 129_195.40, "boot disk, pd-balanced": 20.00}
    assert costs["nvidia-aicr"].why_unknown.startswith("children unknown")
    assert sum(cost.usd_per_month for cost in costs.values()) == pytest.approx(129_288.40)


def test_aws_py_eks() -> None:
    costs = after("aws-py-eks")
    assert lines(costs["eks-cluster"]) == {"control plane": 73.00}
    assert lines(costs["eks-node-group"]) == {
        "t3.medium": 60.74,  # 2 × 730 × 0.0416; EKS's default machine
        "root disk, gp2": 4.00,  # 2 × 20 GiB × 0.10; EKS's defaults
        "public IPv4 address": 7.30,  # 2 × 730 × 0.005: all three subnets give public addresses
    }
    assert all(part.assumed for part in costs["eks-node-group"].parts)
    free = set(costs) - {"eks-cluster", "eks-node-group"}
    assert len(free) == 17
    assert all(costs[name].is_free for name in free)
    assert sum(cost.usd_per_month for cost in costs.values()) == pytest.approx(73 + 60.736 + 4 + 7.3)


def test_azure_py_aks() -> None:
    costs = after("azure-py-aks")
    assert lines(costs["azure-native-aks"]) == {
        "control plane, free tier": 0.00,
        "Standard_DS2_v2": 319.74,  # 3 × 730 × 0.146
        "OS disk, P4": 15.84,  # 3 × 5.28: 30 GB is billed as 32
        "load balancer, outbound rule": 7.30,  # 730 × 0.01
        "data through it": None,
        "public IPv4 address, outbound": 3.65,  # 730 × 0.005
    }
    assert costs["azure-native-aks"].resource.region == "eastus", "not that of nodeResourceGroup's name"
    assert sum(cost.usd_per_month for cost in costs.values()) == pytest.approx(346.53)


def test_gcp_py_instance_nginx() -> None:
    change = infrastructure_change([PREVIEWS / "gcp-py-instance-nginx.json"])
    instances = [one.after for one in change.changes if one.resource.type.endswith(":Instance")]
    assert len(instances) == 2
    for instance in instances:
        assert instance is not None
        # 730 × 0.0076; 10 GB × 0.04 (the image's size and Compute Engine's default type, marked)
        assert lines(instance) == {"f1-micro": 5.55, "boot disk, pd-standard": 0.40}
    # 2 × (5.548 + 0.40) + 2 addresses in use × 730 × 0.005
    assert change.usd_per_month == pytest.approx(19.196)


def edited(tmp_path: Path, name: str, **node_group: Any) -> Path:
    """The preview of EKS with another node group."""
    document = json.loads((PREVIEWS / "aws-py-eks.json").read_bytes())
    for step in document["steps"]:
        if step["urn"].endswith("::eks-node-group"):
            step["newState"]["inputs"] |= node_group
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


def test_two_previews_are_compared_by_their_new_states(tmp_path: Path) -> None:
    larger = edited(tmp_path, "head.json", scalingConfig={"desiredSize": 5, "minSize": 1, "maxSize": 8})
    change = infrastructure_change([larger], [PREVIEWS / "aws-py-eks.json"])
    moved = [one for one in change.changes if one.op != "same"]
    assert [one.resource.name for one in moved] == ["eks-node-group"]
    assert moved[0].usd_per_month_change == pytest.approx(3 * (HOURS * 0.0416 + 20 * 0.1 + HOURS * 0.005))
    assert change.usd_per_month_before == pytest.approx(145.036)
    assert moved[0].after is not None
    assert moved[0].after.ceiling_count == 8
    assert change.price_dates is not None


def test_stacks_are_added_up_and_one_file_a_stack() -> None:
    both = [PREVIEWS / "aws-py-eks.json", PREVIEWS / "azure-py-aks.json"]
    change = infrastructure_change(both)
    assert change.stacks == ("aws-py-eks/aws-py-eks", "azure-py-aks/azure-py-aks")
    assert change.usd_per_month == pytest.approx(145.036 + 346.53)
    with pytest.raises(SpecError, match="both previews of the stack"):
        infrastructure_change([both[0], both[0]])
    only_base = infrastructure_change(both[:1], both)
    assert sum(one.op == "delete" for one in only_base.changes) == 6
    assert only_base.usd_per_month_before - only_base.usd_per_month == pytest.approx(346.53)


def test_resources_that_are_not_shown_are_said(tmp_path: Path) -> None:
    document = json.loads((PREVIEWS / "aws-py-eks.json").read_bytes())
    document["changeSummary"]["same"] = 3
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    assert "3 resources that stay as they are" in infrastructure_change([path]).notes[0]


def test_previews_are_priced_by_the_book_that_is_named(tmp_path: Path) -> None:
    frames = load_book(embedded_dir()).frames()
    dearer = frames.infrastructure.with_columns(pl.col("usd_per_hour") * 2)
    write_book(dataclasses.replace(frames, infrastructure=dearer), tmp_path / "book")
    request = ReviewRequest(
        now=datetime(2026, 11, 30, tzinfo=UTC), folder=tmp_path, previews=(PREVIEWS / "aws-py-eks.json",)
    )
    asked = (request, dataclasses.replace(request, book=tmp_path / "book"))
    ours, theirs = (make_review(each).infrastructure for each in asked)
    assert ours is not None
    assert theirs is not None
    assert theirs.usd_per_month - ours.usd_per_month == pytest.approx(2 * HOURS * 0.0416), "two t3.medium"
