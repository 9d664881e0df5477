"""Decide, then do: what must change for a run to be as wanted, what it has cost, whether it must stop.  Pure."""
