"""What the Pulumi program says of a fleet once it is there: where it is, and how to get in."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Output(BaseModel):
    """Written by another program, which may say more than we read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FleetPool(_Output):
    """A group of identical nodes in the cluster."""

    pool_id: str
    """Id of the first pool of the plan that it serves."""
    pool_ids: tuple[str, ...] = ()
    """Of all pools of the plan that it serves: stages run one after the other."""
    name: str
    """Value of the label `clusterctl.dev/pool` on its nodes."""
    group: str
    """The cloud's own name: of an EKS node group, a GKE node pool, an AKS agent pool."""
    most_nodes: int
    """The most that any stage of the plan needs at once."""
    instance_type: str
    capacity_type: str
    """on_demand, spot, reserved_1y, reserved_3y or capacity_block."""
    zone: str = ""


class FleetOutputs(_Output):
    """A fleet that is there."""

    cloud: str
    """aws, gcp or azure."""
    region: str
    zone: str = ""
    """Of the GPU nodes."""
    cluster: str
    endpoint: str
    """URL of the cluster's API."""
    certificate: str = ""
    """Of the authority that signs the API's certificate: PEM, in base64."""
    bucket: str = ""
    namespace: str
    """Of the run's pods."""
    service_account: str
    """Of the run's pods: it may use the bucket."""
    runtime_class: str = ""
    """In which sandboxes run: it brings them to their nodes."""
    storage_class: str = ""
    """Of volumes that several nodes mount."""
    account: str = ""
    """AWS account, project of Google Cloud, subscription of Azure."""
    resource_group: str = ""
    """On Azure."""
    pools: tuple[FleetPool, ...] = ()
