"""Logs of past runs: what each step took, as frameworks and their loggers write it."""
