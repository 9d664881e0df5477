"""Wrong run specs by the name of the mistake: each is one edit of a small spec, or a whole text."""

from __future__ import annotations

RIGHT = """\
name: rlcef-32b
stages:
  - kind: rlcef
    model: Qwen/Qwen2.5-Coder-32B-Instruct
    algorithm: grpo
    steps: 400
    response_tokens: {mean: 3000, p95: 9000}
    max_response_tokens: 16384
    sandbox: {cpus: 1, memory_gib: 2, seconds: {mean: 4, p95: 20}}
fleet: {targets: [aws, gcp, azure], gpus: [H100, H200]}
limits: {usd: 60000, hours: 72}
objective: cost
"""

_EDITS: dict[str, tuple[str, str]] = {
    "unknown kind": ("kind: rlcef", "kind: rlfec"),
    "no kind": ("kind: rlcef", "name: x"),
    "misspelt field": ("steps: 400", "stpes: 400"),
    "strange field": ("objective: cost", "colour: blue"),
    "missing field": ("    steps: 400\n", ""),
    "negative steps": ("steps: 400", "steps: -400"),
    "steps not a number": ("steps: 400", "steps: many"),
    "steps true": ("steps: 400", "steps: true"),
    "steps a fraction": ("steps: 400", "steps: 400.5"),
    "steps nothing": ("steps: 400", "steps:"),
    "steps quoted": ("steps: 400", 'steps: "400"'),
    "steps a billion billions": ("steps: 400", "steps: 1000000000000000000"),
    "dollars not a number": ("usd: 60000", "usd: .nan"),
    "dollars infinite": ("usd: 60000", "usd: 1e999"),
    "dollars zero": ("usd: 60000", "usd: 0"),
    "unknown algorithm": ("algorithm: grpo", "algorithm: grop"),
    "unknown objective": ("objective: cost", "objective: cheap"),
    "unknown target": ("[aws, gcp, azure]", "[aws, gpc]"),
    "cluster without machines": ("[aws, gcp, azure]", "[slurm:big]"),
    "unknown model": ("Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen/Qwen2.5-Coder-33B-Instruct"),
    "half a shape": ("Qwen/Qwen2.5-Coder-32B-Instruct", "{name: mine, layers: 32}"),
    "shape that contradicts itself": (
        "Qwen/Qwen2.5-Coder-32B-Instruct",
        "{name: mine, layers: 2, hidden: 4096, heads: 32, ffn: 64, vocab: 200000, params_total: 2e9, params_active: 1e6}",
    ),
    "model a number": ("Qwen/Qwen2.5-Coder-32B-Instruct", "7"),
    "no such config": ("Qwen/Qwen2.5-Coder-32B-Instruct", "./my-model"),
    "unknown gpu": ("H200]", "H2000]"),
    "name with spaces": ("name: rlcef-32b", "name: My Run"),
    "tail below mean": ("p95: 9000", "p95: 900"),
    "length a word": ("{mean: 3000, p95: 9000}", "long"),
    "no such lengths file": ("{mean: 3000, p95: 9000}", "{file: lengths.csv}"),
    "mean above cap": ("max_response_tokens: 16384", "max_response_tokens: 2000"),
    "sandbox a list": ("{cpus: 1, memory_gib: 2, seconds: {mean: 4, p95: 20}}", "[1, 2]"),
    "text for a list": ("gpus: [H100, H200]", "gpus: H100"),
    "stages a mapping": ("stages:\n  - kind", "stages:\n    kind"),
    "version of tomorrow": ("name: rlcef-32b", "name: rlcef-32b\nversion: 2"),
    "label in capitals": ("objective: cost", "labels: {Owner: me}"),
    "key twice": ("steps: 400", "steps: 400\n    steps: 500"),
    "tab": ("    steps: 400", "\tsteps: 400"),
    "bracket left open": ("[H100, H200]", "[H100, H200"),
    "tag": ("steps: 400", "steps: !!python/name:os.system 400"),
    "second document": ("objective: cost", "objective: cost\n---\nname: other"),
    "alias without anchor": ("H200]", "*gpu]"),
    "alias of itself": ("[H100, H200]", "&gpus [H100, *gpus]"),
    "key a list": ("objective: cost", "? [a]\n: b"),
    "three at once": ("steps: 400", "steps: 0\n    tunrs: 5\n    schedule: both"),
    "seven at once": ("steps: 400", "steps: 400\n    a: 1\n    b: 1\n    c: 1\n    d: 1\n    e: 1\n    f: 1\n    g: 1"),
}

_TEXTS = {
    "empty": "",
    "only a comment": "# nothing\n",
    "a list": "- name: x\n",
    "a word": "hello\n",
    "no stages": "name: x\n",
    "stages empty": "name: x\nstages: []\n",
    "nested too deep": "name: " + "[" * 100 + "]" * 100 + "\n",
    "aliases that explode": "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
}

MISTAKES: dict[str, str] = {name: RIGHT.replace(*edit, 1) for name, edit in _EDITS.items()} | _TEXTS
