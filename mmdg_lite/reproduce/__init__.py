"""The reproduction grid: which runs, in which order, by which workers, and the environment check."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
