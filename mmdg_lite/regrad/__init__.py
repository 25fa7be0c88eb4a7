"""ReGrad: the rule, the gradients that it weighs, the step that applies it, and other papers' balancing rules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
