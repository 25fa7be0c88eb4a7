"""Instant feedback on the assignments: one or two modules per assignment, one `Task` per question.

    from mmdg_lite.teaching.checks.uncertainty import check_certainty
    check_certainty(certainty)  # prints that all is well, or raises CheckFailed with a hint

A task compares an answer with the package's own function, or with a slow transcription of the formula, on random inputs
in float64. Where an answer is wrong in a usual way, the message says in which.
"""

from mmdg_lite.teaching.checks.task import CheckFailed, Task

__all__ = ["CheckFailed", "Task"]
