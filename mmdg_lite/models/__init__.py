"""The models: MMDG++, MMDG and the baselines over a frozen CLIP, with their outputs and losses."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
