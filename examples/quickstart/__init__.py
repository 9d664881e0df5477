"""The quickstart: a small, real loop of reinforcement learning from code execution, on CPU."""
