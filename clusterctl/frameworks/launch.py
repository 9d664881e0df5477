"""Which command of a script starts a framework's training, and its settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from clusterctl.frameworks.setting_table import Setting, plain
from clusterctl.frameworks.shell_commands import Command
from clusterctl.frameworks.shell_variables import Word

Name = Literal["verl", "openrlhf", "trl", "skyrl", "nemo-rl", "torchtitan"]
FRAMEWORKS: tuple[Name, ...] = ("verl", "openrlhf", "trl", "skyrl", "nemo-rl", "torchtitan")

_PROGRAMS: dict[Name, re.Pattern[str]] = {
    "verl": re.compile(
        r"(?:.*[./])?(?:verl|recipe)[./][\w./-]*?((?:main|fsdp_sft|sft)\w*|\w+_main|sft_trainer\w*)(?:\.py)?"
    ),
    "openrlhf": re.compile(r"(?:.*[./])?openrlhf[./]cli[./](train_\w+?)(?:\.py)?"),
    "trl": re.compile(
        r"(?:\./)?(?:.*/)?(?:trl/)?(?:examples/scripts|trl/scripts|examples/research_projects)/(?:[\w/-]*/)?(\w+)\.py"
    ),
    "skyrl": re.compile(
        r"(?:.*[./])?(?:skyrl[\w-]*|integrations|examples[./]train\w*)[./][\w./-]*?((?:main|entrypoint)\w*|\w+_main\w*)(?:\.py)?"
    ),
    "nemo-rl": re.compile(r"(?:.*/)?(run_(?:\w*_)?(?:grpo|sft|dpo|rm|distillation|ppo|nemo_gym\w*)\w*)\.py"),
    "torchtitan": re.compile(r"(?:.*[./])?(torchtitan[./](?:experiments[./]\w+[./])?train(?:\.py)?|run_train\.sh)"),
}
_KEYS: dict[Name, re.Pattern[str]] = {
    "verl": re.compile(r"\+*actor_rollout_ref\.|data\.train_files="),
    "skyrl": re.compile(
        r"\+*(trainer\.policy\.|generator\.(inference_engine|n_samples|sampling|num_inference)|trainer\.placement)"
    ),
    "nemo-rl": re.compile(r"\+*(policy\.(model_name|generation|megatron_cfg|dtensor_cfg)|grpo\.|cluster\.num_nodes)"),
    "trl": re.compile(
        r"--(model_name_or_path|dataset_name|per_device_train_batch_size|gradient_accumulation_steps|num_generations|max_completion_length|num_train_epochs)(=|$)"
    ),
    "openrlhf": re.compile(
        r"--(actor\.num_nodes|actor_num_nodes|vllm\.num_engines|vllm_num_engines|rollout_batch_size)$"
    ),
}
"""What gives a framework away where the program is the user's own."""
_CONFIG_FILE = "--job.config_file"
"""torchtitan's train.py is known by this flag."""
_CONFIG_KEYS = ("launcher.config_file", "launcher.CONFIG_FILE", "job.config_file", "config", "config_name")
"""Files that a command line names, in the order in which they lie over each other."""
_TRL_COMMANDS = frozenset({"sft", "grpo", "dpo", "reward", "kto", "rloo"})
_FLAGS = frozenset({"openrlhf", "trl", "torchtitan"})
_ASSIGNED = re.compile(r"[+~]*([A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)


@dataclass(slots=True)
class LaunchCommand:
    """One start of a training."""

    framework: Name
    program: str
    """The last part of the module or script, e.g. main_ppo."""
    where: str
    evidence: str
    settings: dict[str, Setting] = field(default_factory=dict)
    configs: list[Setting] = field(default_factory=list)
    """Files that the command line names; their settings lie below those of the command line."""
    only_if: str = ""


def launches(commands: Sequence[Command], name: str) -> list[LaunchCommand]:
    """The trainings that a script starts, in order."""
    return [found for command in commands if (found := _launch(command, name))]


def _launch(command: Command, name: str) -> LaunchCommand | None:
    words = command.words
    if not words or words[0].text in ("echo", "cd", "mkdir", "cat", "printf", "pip", "source", "."):
        return None
    found = _program(words) or _by_keys(words)
    if found is None:
        return None
    framework, program, index, evidence = found
    launch = LaunchCommand(framework, program, f"{name}:{words[index].line}", evidence, only_if=command.only_if)
    before, after = words[:index], words[index + 1 :]
    for key, value in _flags(before, name).items():
        launch.settings[f"launcher.{key}"] = Setting(f"launcher.{key}", value.value, value.where, value.only_if)
    for variable, word in command.environment.items():
        if framework == "torchtitan":
            launch.settings[f"launcher.{variable}"] = _setting(f"launcher.{variable}", word.text, word, name)
    launch.settings |= _flags(after, name) if framework in _FLAGS else _assigned(after, name)
    folder = launch.settings.pop("config_path", None)
    for key in _CONFIG_KEYS:
        stated = launch.settings.get(key)
        if stated is None or not isinstance(stated.value, str):
            continue
        if not key.startswith("launcher."):
            del launch.settings[key]
        if key == "config_name" and folder is not None:
            stated = Setting(key, f"{folder.value}/{stated.value}", stated.where, stated.only_if)
        launch.configs.append(stated)
    return launch


def _program(words: Sequence[Word]) -> tuple[Name, str, int, str] | None:
    for index, word in enumerate(words):
        if word.text == "trl" and index + 1 < len(words) and words[index + 1].text in _TRL_COMMANDS:
            return "trl", words[index + 1].text, index + 1, f"`trl {words[index + 1].text}`"
        if "=" in word.text or word.text.startswith("-") or len(word.text) > 300:
            continue
        for framework, pattern in _PROGRAMS.items():
            match = pattern.fullmatch(word.text)
            if match and _is_started(words, index):
                return _sure(framework, words), match.group(1), index, f"`{word.text}`"
    return None


def _sure(framework: Name, words: Sequence[Word]) -> Name:
    """The framework whose settings the words have, where another one's program has the same name."""
    by_keys = _by_keys(words)
    return by_keys[0] if by_keys and framework in ("verl", "skyrl") else framework


def _is_started(words: Sequence[Word], index: int) -> bool:
    """Whether a program is run and not just named: after `-m`, or as a file of Python or of a shell."""
    text = words[index].text
    return (
        text.endswith((".py", ".sh")) or "openrlhf" in text or any(w.text in ("-m", "--module") for w in words[:index])
    )


def _by_keys(words: Sequence[Word]) -> tuple[Name, str, int, str] | None:
    titan = next((index for index, word in enumerate(words) if word.text.startswith(_CONFIG_FILE)), 0)
    if titan:
        return "torchtitan", "train", titan - 1, f"`{_CONFIG_FILE}`"
    for framework, pattern in _KEYS.items():
        hits = [index for index, word in enumerate(words) if pattern.match(word.text)]
        if len(hits) >= 3:
            index = _own_program(words, hits[0])
            own = words[index].text.rpartition("/")[2].removesuffix(".py") if framework == "trl" else ""
            return framework, own, index, f"`{words[hits[0]].text.split('=')[0]}`"
    return None


def _own_program(words: Sequence[Word], before: int) -> int:
    """The user's own program: the last file of Python or module before a setting, or the word before all settings."""
    programs = [i for i in range(before) if words[i].text.endswith(".py") or (i and words[i - 1].text == "-m")]
    settings = (i for i, word in enumerate(words) if _ASSIGNED.fullmatch(word.text) or word.text.startswith("--"))
    return programs[-1] if programs else max(next(settings, 1) - 1, 0)


def _setting(key: str, text: str, word: Word, name: str) -> Setting:
    value = text if "\0" in text else plain(text)
    return Setting(key, value, f"{name}:{word.line}", word.only_if)


def _assigned(words: Sequence[Word], name: str) -> dict[str, Setting]:
    """Hydra's `a.b=c`, and `--flag value` beside it."""
    found = _flags([word for word in words if not _ASSIGNED.fullmatch(word.text)], name)
    for word in words:
        if (match := _ASSIGNED.fullmatch(word.text)) and not word.text.startswith(("-", "~")):
            found[match.group(1)] = _setting(match.group(1), match.group(2), word, name)
    return found


def _flags(words: Sequence[Word], name: str) -> dict[str, Setting]:
    """`--flag value`, `--flag=value` and `--flag`."""
    found: dict[str, Setting] = {}
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not re.match(r"--?[A-Za-z]", word.text):
            continue
        key, equals, value = word.text.lstrip("-").partition("=")
        key = key.replace("-", "_")
        values = [value] if equals else []
        while not equals and index < len(words) and not re.match(r"--?[A-Za-z]", words[index].text):
            values.append(words[index].text)
            index += 1
        if not values and ".no_" in f".{key}":
            key, values = f".{key}".replace(".no_", ".").lstrip("."), ["false"]
        one = _setting(key, values[0] if values else "true", word, name)
        found[key] = one if len(values) < 2 else Setting(key, [plain(v) for v in values], one.where, one.only_if)
    return found
