"""What the mappings of all frameworks share: lengths, batches, GPUs, checkpoints, rewards, the size of a data set."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from clusterctl.catalog import find_gpus
from clusterctl.errors import SpecError
from clusterctl.frameworks.draft import DEFAULT_SAMPLES, Draft, Note, model_of
from clusterctl.frameworks.setting_table import Setting

TYPICAL_PROMPT_TOKENS = 400
"""The spec's own default for a mean that nobody stated."""
CODE = re.compile(r"(?<!de)(?<!en)code|sandbox|\bapps\b|taco|\bswe|sql|humaneval|mbpp", re.IGNORECASE)
"""Words in a configuration that say that the reward runs programs."""
_COUNTS = re.compile(r"gpus?_per_node|nnodes|num_nodes|nproc|num_processes|num_gpus|num_engines|NGPU")
DYNAMIC_SAMPLING = (1.5, None, "dynamic sampling drops groups; how many depends on your data")
"""`oversampling`, which no file states.  Assumption."""
RULE_SECONDS = 0.01
"""A reward that compares text, on one CPU.  Assumption."""


def lengths(draft: Draft, prompt: Setting | None, response: Setting | None) -> None:
    """Prompt and response lengths: configurations state the longest, plans need the mean."""
    if prompt is not None and (longest := _tokens(prompt)):
        mean = min(TYPICAL_PROMPT_TOKENS, max(longest // 2, 1))
        draft.put("prompt_tokens", {"mean": mean, "max": longest}, prompt, f"max; the mean, {mean}, is assumed")
    else:
        why = "no file states it; measure your prompts"
        draft.put("prompt_tokens", {"mean": TYPICAL_PROMPT_TOKENS}, None, why)
    if response is not None and (longest := _tokens(response)):
        why = "the cap; the mean is left out: state response_tokens for a narrower band"
        draft.put("max_response_tokens", longest, response, why)


def _tokens(found: Setting) -> int:
    is_count = isinstance(found.value, int) and not isinstance(found.value, bool)
    return found.value if is_count and 0 < found.value < 10**8 else 0


def gpus(draft: Draft, pools: Iterable[tuple[Setting | None, Setting | None]]) -> int:
    """`fleet.num_gpus` from (nodes, GPUs per node) of each pool that has GPUs of its own; their sum, or 0."""
    if (stated := _accelerators(draft)) is not None:
        return stated
    if unknown := next((one for one in draft.settings.unknowns() if _COUNTS.search(one.key)), None):
        why = f"known only to a run: {unknown.unknown}; the number of GPUs is left to the plan"
        draft.notes.append(Note("assumed", unknown.where, unknown.key, "fleet.num_gpus", why))
        return 0
    total, said, origin = 0, [], None
    for nodes, per_node in pools:
        num_nodes = nodes.value if nodes is not None and isinstance(nodes.value, int) else 1
        each = per_node.value if per_node is not None and isinstance(per_node.value, int) else 0
        if each > 0 and num_nodes > 0:
            total += num_nodes * each
            said.append(f"{num_nodes} × {each}")
            origin = next(
                (one for one in (origin, per_node, nodes) if one is not None and one.where), origin or per_node
            )
    if 0 < total <= 100_000:
        why = f"{' + '.join(said)}; the file names no GPU type: fleet.gpus does"
        draft.put("fleet.num_gpus", total, origin, why)
        return total
    return 0


def _accelerators(draft: Draft) -> int | None:
    """GPUs by type and number as a SkyPilot task asks for them, e.g. H100:8, times its nodes."""
    found = draft.settings.get("launcher.accelerators")
    match = re.fullmatch(r"([\w-]+)(?::(\d{1,4}))?", str(found.value)) if found else None
    if found is None or match is None:
        return None
    try:
        find_gpus(match.group(1))
    except SpecError:
        return None
    total = int(match.group(2) or 1) * (draft.settings.count("launcher.num_nodes") or 1)
    draft.put("fleet.gpus", [match.group(1)], found)
    draft.put("fleet.num_gpus", total, found)
    return total


def cap_micro_batch(draft: Draft) -> None:
    """No micro batch holds more than an update has for each rank: frameworks take what there is."""
    train, gpus = draft.stage.get("train", {}), draft.fleet.get("num_gpus")
    micro = train.get("micro_batch_samples")
    samples = draft.stage.get("global_batch_samples")
    if draft.kind == "rlcef":
        whole = draft.stage.get("prompts_per_step", 128) * draft.stage.get("samples_per_prompt", 16)
        samples = whole * draft.stage.get("epochs_per_step", 1) // draft.stage.get("optimizer_steps_per_step", 1)
    if not micro or not gpus or not samples:
        return
    ranks = max(gpus // math.prod(train.get(degree) or 1 for degree in ("tp", "pp", "cp")), 1)
    most = max(samples // ranks, 1)
    if micro > most:
        old = draft.origin["train.micro_batch_samples"]
        train["micro_batch_samples"] = most
        why = f"{micro} in the file; an update has {samples:,} samples for {ranks} ranks"
        draft.origin["train.micro_batch_samples"] = old._replace(why=why)


def checkpoints(draft: Draft, every: Setting | None, keep: Setting | None, steps: int) -> None:
    """`checkpoint`: every so many steps; where it is off, one at the end."""
    if every is not None and isinstance(every.value, int) and every.value > 0:
        draft.put("checkpoint.every_steps", every.value, every)
    elif every is not None:
        draft.put("checkpoint.every_steps", max(steps, 1), every, "off in the file; a spec has one at the end")
    if keep is not None and isinstance(keep.value, int) and keep.value > 0 and keep.where:
        draft.put("checkpoint.keep", keep.value, keep)


def estimator(draft: Draft, algorithms: Mapping[str, str], name: str, found: Setting | None) -> None:
    """`algorithm` by what the framework calls its estimator of advantages."""
    if name in algorithms:
        draft.put("algorithm", algorithms[name], found)
    else:
        where = f"{found.where} " if found is not None else ""
        draft.put("algorithm", "grpo", None, f"{where}{name}: as much work as grpo, without a critic")


def reference(draft: Draft, penalty: Setting | None, name: str = "coefficient") -> None:
    """`reference` by the coefficient of the KL term, or what the framework calls it."""
    if penalty is not None and isinstance(penalty.value, int | float):
        why = "" if penalty.value > 0 else f"a KL {name} of 0 needs no reference model"
        draft.put("reference", penalty.value > 0, penalty, why)


def evaluation(draft: Draft, every: Setting | None, samples: Setting | None) -> None:
    """`evaluate` inside training."""
    if every is None or not isinstance(every.value, int) or every.value <= 0:
        return
    draft.put(
        "evaluate.every_steps", every.value, every, "prompts: the spec's default of 500; write those of your test set"
    )
    if samples is not None and isinstance(samples.value, int) and samples.value > 0 and samples.where:
        draft.put("evaluate.samples", samples.value, samples)


def rewards(draft: Draft, sandbox: Setting | None, texts: Iterable[Setting]) -> None:
    """The sandbox: the service that the file names, else by what reward and data are called."""
    if sandbox is not None and sandbox.where:
        draft.put("sandbox.profile", "judge", sandbox, "programs run in a sandbox; CPU, memory and seconds: assumed")
        return
    stated = (one for one in texts if isinstance(one.value, str | list) and "${" not in str(one.value))
    named = next((one for one in stated if CODE.search(str(one.value))), None)
    if named is not None:
        draft.put("sandbox.profile", "judge", named, "the reward seems to run programs: assumed by its name")
        return
    draft.put("sandbox.seconds", {"mean": RULE_SECONDS}, None, "the reward compares text; state it if it runs programs")


def training_size(
    draft: Draft, steps: Setting | None, batch: int | None, samples: Setting | None, epochs: Setting | None
) -> None:
    """Samples of a supervised stage: steps × batch where steps are stated, else what the file says it reads at most."""
    if (
        steps is not None
        and isinstance(steps.value, int)
        and steps.value > 0
        and batch
        and steps.value * batch <= 10**9
    ):
        draft.put("samples", steps.value * batch, steps, f"{steps.value:,} steps × {batch:,}")
        return
    if epochs is not None and isinstance(epochs.value, int | float) and 0 < epochs.value <= 1000:
        draft.put("epochs", float(epochs.value), epochs)
    if samples is not None and isinstance(samples.value, int) and 0 < samples.value <= 10**9:
        draft.put("samples", samples.value, samples, "the most that is read, if the data has as many")
        return
    draft.put("samples", DEFAULT_SAMPLES, None, "the size of the data is in no file: write that of yours")


def sample_lengths(draft: Draft, longest: Setting | None, *, packed: Setting | None = None) -> None:
    """`seq_len` and `sample_tokens` of a supervised stage."""
    limit = _tokens(longest) if longest is not None else 0
    if limit:
        draft.put("seq_len", limit, longest)
    mean = min(1000, limit // 2) if limit else 1000
    draft.put("sample_tokens", {"mean": max(mean, 1)}, None, "no file states it; measure your data")
    if packed is not None and isinstance(packed.value, bool):
        draft.put("train.packing", packed.value, packed)


def judge(draft: Draft, name: str, found: Setting | None) -> None:
    """A model that scores every sample."""
    if found is None or not isinstance(found.value, str) or not found.value or "://" in found.value:
        return
    judges = draft.stage.setdefault("judges", [])
    model, why = model_of(found.value)
    response = draft.stage.get("max_response_tokens", 1000)
    mean = draft.stage.get("prompt_tokens", {}).get("mean", TYPICAL_PROMPT_TOKENS) + response // 2
    said = "; ".join(text for text in (why, "reads prompt and answer, writes one score") if text)
    judges.append({"name": name, "model": model, "prompt_tokens": mean, "response_tokens": 1})
    draft.put("judges", judges, None if why.startswith("unknown") else found, said)


def megatron(draft: Draft, prefix: str, names: Iterable[str]) -> None:
    """Degrees of Megatron: tensor, pipeline, context and expert parallelism, in this order."""
    for field, name in zip(("tp", "pp", "cp", "ep"), names, strict=True):
        found = draft.settings.number(f"{prefix}.{name}_parallel_size")
        draft.put(f"train.{field}", int(found.value) if found else None, found)
