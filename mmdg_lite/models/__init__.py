"""The models: MMDG++, MMDG and the baselines over a frozen CLIP, with their outputs and losses."""

from mmdg_lite.models.builder import MMDG, MMDGPlusPlus, ModelConfig, build, register

__all__ = ["MMDG", "MMDGPlusPlus", "ModelConfig", "build", "register"]
