from .builder import MMDG, MMDGPlusPlus, ModelConfig, build, register, register_model

__all__ = ["MMDG", "MMDGPlusPlus", "ModelConfig", "build", "register", "register_model"]
