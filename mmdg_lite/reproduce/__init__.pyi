from .everything import reproduce

__all__ = ["reproduce"]
