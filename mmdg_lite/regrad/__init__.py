"""ReGrad: the rule, the gradients that it weighs, the step that applies it, and other papers' balancing rules."""

from mmdg_lite.regrad.rule import project, regrad
from mmdg_lite.regrad.step import ReGrad

__all__ = ["ReGrad", "project", "regrad"]
