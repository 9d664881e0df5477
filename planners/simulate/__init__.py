"""Runs that never were: seeded, pure, and consistent from the seconds of a step to the samples of each GPU."""
