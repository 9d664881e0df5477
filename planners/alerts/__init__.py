"""What needs a person: rules over runs, money, GPUs and a run's training; who has been told of what."""
