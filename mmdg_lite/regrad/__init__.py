"""ReGrad: the rule, the gradients that it weighs, the step that applies it, and other papers' balancing rules."""

from mmdg_lite.regrad.projection import project
from mmdg_lite.regrad.rule import regrad
from mmdg_lite.regrad.step import ReGrad

__all__ = ["ReGrad", "project", "regrad"]
