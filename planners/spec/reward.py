"""Rewards beyond running the code: judge models, and a critic that predicts the outcome of a run."""

from pydantic import Field

from planners.spec.base import Share, SomeShare, SpecModel
from planners.spec.lengths import Lengths, TokenCount
from planners.spec.models import ModelRef, Served


class Judge(Served):
    """A model that scores samples (readability, efficiency, standards, safety)."""

    name: str | None = Field(None, max_length=100, description="What it judges.")
    prompt_tokens: TokenCount = Field(Lengths(mean=2000), description="Tokens that the judge reads per sample.")
    response_tokens: TokenCount = Field(Lengths(mean=200), description="Tokens that the judge writes.")
    share: SomeShare = Field(1.0, description="Share of the samples that this judge scores.")


class OutcomeCritic(SpecModel):
    """A model that predicts the outcome of running the code and so replaces a share of the runs."""

    model: ModelRef = Field(description="Critic model.")
    replaced_share: Share = Field(description="Share of the runs that its prediction replaces.")
    accuracy: SomeShare | None = Field(None, description="How often its prediction is right.")
