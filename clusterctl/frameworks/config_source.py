"""Reads a foreign configuration: a shell script, YAML or TOML; finds out whose it is, and what it builds on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from clusterctl.errors import SpecError
from clusterctl.frameworks.files import find_config, toml_settings, with_parents
from clusterctl.frameworks.launch import FRAMEWORKS, LaunchCommand, Name, launches
from clusterctl.frameworks.setting_table import Setting
from clusterctl.frameworks.shell_commands import Command, Script
from clusterctl.specfile.yaml_file import parse_yaml, read_text, shown_name

HINT = (
    "give a launch script, or a YAML or TOML configuration, of verl, OpenRLHF, TRL, SkyRL, NeMo RL or torchtitan; "
    "--framework NAME says whose it is"
)
MOST_CALLS = 4
_MARKS: Mapping[Name, str] = {
    "verl": (
        "actor_rollout_ref.model.path actor_rollout_ref.rollout.n actor_rollout_ref.rollout.name "
        "model.partial_pretrain data.train_files actor_rollout_ref.hybrid_engine algorithm.adv_estimator"
    ),
    "openrlhf": (
        "actor.model_name_or_path rollout.n_samples_per_prompt pretrain actor_num_gpus_per_node prompt_data "
        "vllm.num_engines vllm_num_engines"
    ),
    "trl": (
        "model_name_or_path per_device_train_batch_size dataset_name num_generations max_completion_length "
        "reward_funcs learning_rate datasets"
    ),
    "skyrl": (
        "trainer.policy.model.path generator.n_samples_per_prompt generator.inference_engine.num_engines "
        "trainer.placement.colocate_all generator.num_inference_engines trainer.policy_mini_batch_size"
    ),
    "nemo-rl": (
        "policy.model_name policy.max_total_sequence_length grpo.num_prompts_per_step "
        "policy.train_global_batch_size cluster.gpus_per_node policy.generation.backend"
    ),
    "torchtitan": (
        "model.flavor training.seq_len parallelism.tensor_parallel_degree training.steps "
        "training.local_batch_size job.dump_folder model.name training.batch_size"
    ),
}
"""Settings that only one framework has, or that a few together give away."""


@dataclass(slots=True)
class ConfigSource:
    """A configuration that was understood."""

    name: str
    folder: Path
    launch: LaunchCommand
    missing: list[Setting] = field(default_factory=list)
    """Files that it builds on and that aren't there."""
    others: list[LaunchCommand] = field(default_factory=list)
    """Other trainings that the same script starts."""


def read_source(path: str | Path, framework: Name | None) -> ConfigSource:
    """What a file says, of which framework, and by what that was seen.  Raises SpecError."""
    name, folder = shown_name(path), Path(path).parent if str(path) != "-" else Path()
    text = read_text(path)
    if "\0" in text or "\1" in text:
        raise SpecError(f"{name}: is a binary file, no configuration", hint=HINT)
    if not text.strip():
        raise SpecError(f"{name}: is empty", hint=HINT)
    suffix = Path(name).suffix.lower()
    if suffix == ".py":
        raise SpecError(
            f"{name}: is a Python program, and what it computes is known only when it runs",
            hint="give the script or the command line that starts it, or its YAML configuration",
        )
    kind = _KINDS.get(suffix) or _kind(text)
    if kind == "toml":
        return _from_keys(name, folder, toml_settings(text, name), [], framework)
    if kind == "shell":
        return _from_script(name, folder, text, framework)
    return _from_yaml(name, folder, text, framework)


_KINDS = {
    ".sh": "shell", ".bash": "shell", ".slurm": "shell", ".sbatch": "shell", ".sub": "shell", ".toml": "toml",
    ".yaml": "yaml", ".yml": "yaml", ".json": "yaml",
}  # fmt: skip


def _kind(text: str) -> str:
    """What a file without a telling name holds."""
    if text.startswith("#!") or re.search(
        r"^\s*(python3?|uv run|ray job submit|trl|torchrun|accelerate)\s.*\\?$", text, re.M
    ):
        return "shell"
    if re.search(r"^\[[\w.]+\]\s*$", text, re.M):
        return "toml"
    return "yaml"


def _from_yaml(name: str, folder: Path, text: str, framework: Name | None) -> ConfigSource:
    document = parse_yaml(text, name=name, folder=folder)
    missing: list[Setting] = []
    found = with_parents(document, missing)
    script = Script(name)
    for node in _texts(document.root):
        script.read(node.value, node.start_mark.line + (2 if node.style in ("|", ">") else 1))
    started = launches(script.commands, name)
    if started:
        source = _of_launches(name, folder, started, framework)
        for key in ("num_nodes", "resources.accelerators"):
            if key in found:
                name_here = f"launcher.{key.rpartition('.')[2]}"
                source.launch.settings[name_here] = replace(found[key], key=key)
        return source
    return _from_keys(name, folder, found, missing, framework)


def _texts(node: yaml.Node) -> list[yaml.ScalarNode]:
    """Texts of several words in a YAML file, which may be scripts: SkyPilot's `run`, for example."""
    if isinstance(node, yaml.ScalarNode):
        return [node] if len(node.value) > 40 and re.search(r"(^|\s)(-m\s|python|uv run|trl |ray )", node.value) else []
    items = node.value if isinstance(node, yaml.SequenceNode) else [value for _, value in node.value]
    return [found for item in items for found in _texts(item)]


def _from_script(name: str, folder: Path, text: str, framework: Name | None, depth: int = 0) -> ConfigSource:
    """A launch script, or the one that it calls with settings of its own."""
    script = Script(name)
    script.read(text)
    found = launches(script.commands, name)
    if found:
        return _of_launches(name, folder, found, framework)
    called = next(_called(script.commands), None)
    if called is None:
        raise SpecError(f"{name}: starts no training of a framework that is known here", hint=HINT)
    command, index = called
    word = command.words[index]
    path = find_config(word.text, folder)
    if path is None or depth >= MOST_CALLS:
        hint = f"line {word.line} calls {word.text}, which isn't there: give that file"
        raise SpecError(f"{name}: starts no training of a framework that is known here", hint=hint)
    inner = Script(str(path), script.variables, command.words[index + 1 :])
    inner.read(read_text(path))
    started = launches(inner.commands, str(path))
    if not started:
        return _from_script(str(path), path.parent, read_text(path), framework, depth + 1)
    return _of_launches(str(path), path.parent, started, framework)


def _called(commands: Sequence[Command]) -> Iterator[tuple[Command, int]]:
    """Scripts that a script calls: the command, and which of its words is the script."""
    for command in commands:
        for index, word in enumerate(command.words):
            if re.fullmatch(r"[\w./-]+\.(sh|slurm|sbatch)", word.text) and not word.text.startswith("/"):
                yield command, index


def _of_launches(name: str, folder: Path, found: Sequence[LaunchCommand], framework: Name | None) -> ConfigSource:
    named = list(dict.fromkeys(one.framework for one in found))
    if framework is None and len(named) > 1:
        said = ", ".join(f"{one.framework} ({one.where})" for one in found if one.framework in named)
        raise SpecError(
            f"{name}: starts trainings of {len(named)} frameworks: {said}", hint="--framework NAME takes one"
        )
    mine = [one for one in found if framework in (None, one.framework)]
    if not mine:
        raise SpecError(f"{name}: starts no training of {framework}, but of {', '.join(named)}", hint=HINT)
    launch = max(mine, key=lambda one: len(one.settings))
    missing: list[Setting] = []
    below: dict[str, Setting] = {}
    for config in launch.configs:
        below |= _config(config, folder, missing)
    launch.settings = below | launch.settings
    return ConfigSource(name, folder, launch, missing, [one for one in found if one is not launch])


def _config(config: Setting, folder: Path, missing: list[Setting]) -> dict[str, Setting]:
    """The settings of a file that the command line names."""
    named = str(config.value)
    candidates = (named, f"{named}.yaml", f"config/{named}.yaml")
    path = next((found for one in candidates if (found := find_config(one, folder))), None)
    if path is None:
        missing.append(config)
        return {}
    text = read_text(path)
    if path.suffix == ".toml":
        return toml_settings(text, str(path))
    if path.suffix not in (".yaml", ".yml", ".json"):
        missing.append(config)
        return {}
    return with_parents(parse_yaml(text, name=str(path), folder=path.parent), missing)


def _from_keys(
    name: str, folder: Path, found: dict[str, Setting], missing: list[Setting], framework: Name | None
) -> ConfigSource:
    """A configuration file: whose it is follows from the names of its settings."""
    hits = {one: [key for key in _MARKS[one].split() if key in found] for one in FRAMEWORKS}
    best = max(FRAMEWORKS, key=lambda one: len(hits[one]))
    if framework is None and not hits[best]:
        keys = ", ".join(list(found)[:4])
        raise SpecError(
            f"{name}: is no configuration of a framework that is known here" + (f"; it sets {keys}" if keys else ""),
            hint=HINT,
        )
    tied = [one for one in FRAMEWORKS if len(hits[one]) == len(hits[best])]
    if framework is None and len(tied) > 1:
        raise SpecError(f"{name}: may be of {' or '.join(tied)}", hint="--framework NAME says whose it is")
    chosen = framework or best
    marks = ", ".join(hits[chosen][:2])
    launch = LaunchCommand(chosen, "", name, f"its settings {marks}" if marks else "--framework", found)
    return ConfigSource(name, folder, launch, missing)
