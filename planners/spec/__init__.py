"""The run spec: what a person may write.  `RunSpec` is the whole; the rest are its parts."""

from planners.spec.fleet import Economics, FleetSpec, Limits, Machines
from planners.spec.lengths import Durations, Lengths
from planners.spec.models import ApiModel, InlineModel, ModelRef, Served
from planners.spec.options import RolloutOptions, TrainOptions
from planners.spec.prices import OwnPrices
from planners.spec.run import RunSpec, Stage
from planners.spec.sandbox import SandboxSpec
from planners.spec.stages_agent import EvaluateStage, RolloutStage
from planners.spec.stages_data import PretrainStage, RewardModelStage, SftStage, SynthesizeStage
from planners.spec.stages_rl import RlcefStage

__all__ = [
    "ApiModel", "Durations", "Economics", "EvaluateStage", "FleetSpec", "InlineModel", "Lengths", "Limits",
    "Machines", "ModelRef", "OwnPrices", "PretrainStage", "RewardModelStage", "RlcefStage", "RolloutOptions",
    "RolloutStage", "RunSpec", "SandboxSpec", "Served", "SftStage", "Stage", "SynthesizeStage", "TrainOptions",
]  # fmt: skip
