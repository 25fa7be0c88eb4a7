"""Mutated files for every reader of the project; `python -m tests.support.fuzz` (`make fuzz`) tries thousands."""
