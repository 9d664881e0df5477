"""The run spec: what a person writes, checked in here and nowhere else."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from planners.secret_forms import SECRET
from planners.spec.fleet import FleetSpec, Limits, OutcomeValue, OwnPrices
from planners.spec.spec_model import Slug, SpecModel, Text
from planners.spec.stages_agent import EvaluateStage, RolloutStage
from planners.spec.stages_data import DpoStage, PretrainStage, RewardModelStage, SftStage, SynthesizeStage
from planners.spec.stages_rl import RlcefStage

Stage = Annotated[
    RlcefStage
    | SynthesizeStage
    | SftStage
    | PretrainStage
    | RewardModelStage
    | DpoStage
    | RolloutStage
    | EvaluateStage,
    Field(discriminator="kind"),
]
STAGE_KINDS = ("rlcef", "synthesize", "sft", "pretrain", "reward-model", "dpo", "rollout", "evaluate")
Objective = Literal["cost", "time", "balanced"]


def _no_secret(text: str) -> str:
    if SECRET.search(text):
        raise ValueError("looks like a key or token, which tags, bills and exports would show: revoke it, write a name")
    return text


def _no_secret_names(labels: dict[str, str]) -> dict[str, str]:
    _no_secret("\n".join(labels))  # of all at once: the message names the field, not the key
    return labels


Described = Annotated[Text, AfterValidator(_no_secret)]


LabelKey = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][a-z0-9_-]*$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9_.-]*$"), AfterValidator(_no_secret)]


class RunSpec(SpecModel):
    """Stages in order, the fleet they may use, limits and an objective."""

    version: Literal[1] = Field(1, description="Version of this format.")
    name: Slug = Field(description="Name of the run: lower-case letters, digits and hyphens, at most 63.")
    description: Described | None = Field(None, description="One sentence for people.")
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=16)] = Field(description="Stages, in order.")
    fleet: FleetSpec = Field(default_factory=FleetSpec, description="Where the run may live.")
    limits: Limits = Field(default_factory=Limits, description="What it may cost and take.")
    objective: Objective = Field("cost", description="What the plan picks from the frontier.")
    prices: OwnPrices = Field(default_factory=OwnPrices, description="Own prices; they win over the price book.")
    economics: OutcomeValue = Field(default_factory=OutcomeValue, description="What an outcome is worth.")
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32), AfterValidator(_no_secret_names)] = Field(
        {}, description="Tags that everything provisioned for the run carries."
    )

    @model_validator(mode="after")
    def _stage_names_are_unique(self) -> Self:
        names = [stage.name for stage in self.stages]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"two stages are named {twice!r}: give one of them another name")
        return self


def run_spec_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `RunSpec` as a person writes it, {file: ...} forms included; for editors."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": "urn:clusterctl:run-spec:1", **RunSpec.model_json_schema(mode="validation")}
