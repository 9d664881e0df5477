"""Shell scripts are read as bash would expand them, without running anything."""

from __future__ import annotations

import pytest

from clusterctl.errors import SpecError
from clusterctl.frameworks.setting_table import UNKNOWN
from clusterctl.frameworks.shell_commands import commands_of


def words(script: str) -> list[list[str]]:
    return [[word.text for word in command.words] for command in commands_of(script, "run.sh")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a=1\nrun x=$a y=${a}b z='$a' w=\"$a c\"", ["run", "x=1", "y=1b", "z=$a", "w=1 c"]),
        ("run a \\\n  b # comment\n", ["run", "a", "b"]),
        ("run ${N:-8} ${M:=4} $M ${N-2}", ["run", "8", "4", "4", "2"]),
        ("l=$((1024 * 8)); run $l $((l / 1024 + 2**3))", ["run", "8192", "16"]),
        ('A=(x=1 # note\n "y z"\n)\nA+=(w)\nrun "${A[@]}" ${A[1]}', ["run", "x=1", "y z", "w", "y", "z"]),
        ("f=/m/Qwen3-8B.bin; run ${f##*/} ${f%.bin} ${f#/m/}", ["run", "Qwen3-8B.bin", "/m/Qwen3-8B", "Qwen3-8B.bin"]),
        ('C="a=1 b=2"; run $C "$C"', ["run", "a=1", "b=2", "a=1 b=2"]),
        ('run "$@" $* end', ["run", "end"]),
        ("run a >log 2>&1 <in", ["run", "a"]),
        ("export A=3 B=4\nrun $A$B $HOME/x", ["run", "34", "$HOME/x"]),
    ],
)
def test_words_expand(script: str, expected: list[str]) -> None:
    assert words(script)[-1] == expected


def test_a_here_document_becomes_a_command_on_its_own_lines() -> None:
    script = "read -r -d '' args <<EOF\nopenrlhf.cli.train_sft \\\n  --data.max_len 2048 \\\n  --x $N\nEOF\nN=1\ndeepspeed --module $args\n"
    command = commands_of(script, "run.sh")[-1]
    assert [word.text for word in command.words[:4]] == [
        "deepspeed",
        "--module",
        "openrlhf.cli.train_sft",
        "--data.max_len",
    ]
    assert [word.line for word in command.words[2:5]] == [2, 3, 3]


def test_a_command_inside_quotes_keeps_its_lines() -> None:
    script = 'srun bash -c "cd x \\\n && python3 -m verl.trainer.main_ppo \\\n   data.n=4"\n'
    command = commands_of(script, "run.sh")[-1]
    assert [(word.text, word.line) for word in command.words[-2:]] == [("verl.trainer.main_ppo", 2), ("data.n=4", 3)]


@pytest.mark.parametrize(("value", "taken"), [("vllm", "v"), ("sglang", "s"), ("hf", "none")])
def test_the_branch_that_the_script_decides_is_read(value: str, taken: str) -> None:
    branches = 'if [ "$e" = "vllm" ]; then x=v; elif [[ $e == sg* ]]; then x=s; else x=none; fi; run $x'
    assert words(f"e={value}\n{branches}")[-1] == ["run", taken]
    case = 'case "$e" in vllm) x=v ;; sglang|other) x=s ;; *) x=none ;; esac\nrun $x'
    assert words(f"e={value}\n{case}")[-1] == ["run", taken]


def test_a_branch_that_only_a_run_decides_marks_its_words() -> None:
    script = 'n=1\nif [ "$1" = big ]; then n=8; m=2; else m=4; fi\nrun n=$n m=$m'
    found = {word.text: word.only_if for word in commands_of(script, "run.sh")[-1].words}
    assert found == {"run": "", "n=8": '[ "$1" = big ]', "m=2": '[ "$1" = big ]'}


@pytest.mark.parametrize("text", ["$1", "$(nproc)", "`date`", "$UNSET", "$((x + 1))", "${UNSET}", "${!x}"])
def test_what_only_a_run_knows_is_marked(text: str) -> None:
    assert UNKNOWN.search(words(f"run a={text}")[-1][1])


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("run 'x", "run.sh:1: the quote ' is never closed"),
        ('a=1\nrun "x', 'run.sh:2: the quote " is never closed'),
        ("run $(x", r"run.sh:1: the bracket \( is never closed"),
        ("a=(x\n", r"the array's \( is never closed"),
        ("cat <<EOF\nx\n", "run.sh:2: the here-document <<EOF is never closed"),
        ("a=xxxxxxxx\n" + "a=$a$a$a$a\n" * 20 + "run $a", r"run.sh:\d+: a variable grows beyond 1 MiB"),
        ("a=(x y)\n" + "a=(${a[@]} ${a[@]})\n" * 30, r"run.sh:\d+: an array grows beyond 100,000 words"),
        ("a=" + "${a:-" * 5000 + "x" + "}" * 5000, "run.sh: is nested too deep to be read"),
    ],
)
def test_what_cannot_be_read_is_one_message(script: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        commands_of(script, "run.sh")
