"""The execution reward: 1 where a program passes its tests in a sandbox, 0 where it doesn't, None without a verdict.

Rows of the data: `prompt` (text or chat messages), `tests` (Python that raises where the program is wrong), and, where
the answer continues the prompt, `entry_point` (the function that must be defined).
"""

import re
from concurrent.futures import ThreadPoolExecutor

import clusterctl_sandboxes

BLOCK = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.DOTALL)
AT_ONCE = 64
TIME_LIMIT_SECONDS = 10.0
observers = []
"""Called with each batch of rewards: before it (None) and after it (the list)."""


def passes(prompts, completions, tests, entry_point=None, **_):
    """Reward function of TRL: one number for each completion."""
    points = entry_point or [None] * len(tests)
    return _judge([program(*row) for row in zip(prompts, completions, tests, points)])


def program(prompt, completion, tests, entry_point):
    """What runs in the sandbox: the answer's last block of code, the prompt before it where it continues it, tests."""
    answer = _text(completion)
    blocks = BLOCK.findall(answer)
    code = blocks[-1] if blocks else answer
    if entry_point and not re.search(rf"def\s+{re.escape(entry_point)}\b", code):
        code = f"{_text(prompt)}\n{code}" if not _text(prompt).endswith("\n") else _text(prompt) + code
    check = f"\ncheck({entry_point})\n" if entry_point and "def check(" in tests else "\n"
    return f"{code}\n{tests}{check}"


def _judge(programs):
    for tell in observers:
        tell(None)
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, max(len(programs), 1))) as pool:
        rewards = list(pool.map(verdict, programs))
    for tell in observers:
        tell(rewards)
    return rewards


def verdict(code):
    """Reward of one program; None where the sandbox failed."""
    answer = clusterctl_sandboxes.run_code(code, run_timeout=TIME_LIMIT_SECONDS)
    if answer is None or answer.get("status") == "SandboxError":
        return None
    return 1.0 if answer.get("status") == "Success" else 0.0


def _text(said):
    return said if isinstance(said, str) else said[-1]["content"]
