"""Weight sync: the trainer's new weights into the rollout engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.physics.rates import link_bytes_per_s
from planners.physics.workload import COLOCATED

if TYPE_CHECKING:
    from planners.physics.columns import Column
    from planners.physics.constants import Constants
    from planners.physics.workload import Workload

LORA_SHARE = 0.02
"""Share of the weights that a LoRA adapter is."""
HOST_OFFLOAD_BYTES_PER_S = 20e9
"""Per GPU over PCIe: a colocated trainer moves its states out before generation and in again after it."""
OPTIMIZER_BYTES_PER_PARAM = 16.0


def sync_seconds(c: Constants, w: Workload) -> Column:
    """Seconds of one weight sync.

    fixed + 2 P x (reshard factor if colocated) / (share x one link) + offload of optimizer states if colocated.
    The whole model passes one link (the scale-up links when all GPUs are in one domain, else one NIC): measured
    times grow with the model and not with the number of nodes.  Known error: NCCL broadcast trees and checkpoint
    engines can be several times faster; file-based export several times slower.
    """
    colocated = np.equal(w.rollout.schedule, COLOCATED)
    gpus, near = w.layout.gpus, np.maximum(w.layout.gpus_per_node, w.gpu.scale_up_domain)
    link = np.where(gpus <= near, link_bytes_per_s(w, gpus), w.gpu.scale_out_bytes_per_s)
    share = np.where(np.asarray(w.train.lora) > 0, LORA_SHARE, 1.0)
    copies = np.where(colocated, c.colocated_reshard_factor, 1.0)
    transfer = 2 * w.model.params_total * share * copies / (c.sync_nic_share * link)
    states = OPTIMIZER_BYTES_PER_PARAM * w.model.params_total / (w.layout.gpus * HOST_OFFLOAD_BYTES_PER_S)
    return c.sync_fixed_seconds + transfer + np.where(colocated, states, 0.0)
