"""Warnings from what a run reports: reward hacking, collapse of its data, drift of entropy, length or sandboxes."""
