"""The Pulumi program, run by another process: `python -m infra.automation` in a folder of its own.

The first line of stdin is a request, as JSON; then stdin stays open as long as the answer is wanted.  stdout has one
JSON object a line: `event`, `step`, `result`, `error`.  Whoever asks needs no Pulumi.
"""
