from .rule import project, regrad
from .step import ReGrad

__all__ = ["ReGrad", "project", "regrad"]
