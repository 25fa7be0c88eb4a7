"""Training: the loop, its step, validation, evaluation, and resuming."""
