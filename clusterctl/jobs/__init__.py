"""Role to command: what each role of a run executes."""
