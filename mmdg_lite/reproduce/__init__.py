"""The reproduction grid: which runs, in which order, by which workers, and the environment check."""

from mmdg_lite.reproduce.everything import reproduce

__all__ = ["reproduce"]
