"""mmdg_lite: MMDG++ for generalised multimodal face anti-spoofing, to reproduce, to teach and to improve.

Everything that a user needs is a name of this package, listed in `__init__.pyi` and complete under Tab. A name is
imported when it is first used, so that `import mmdg_lite` costs almost nothing. `minimal` holds the method on one page.
"""

import lazy_loader

from mmdg_lite import _former_names

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

_former_names.install()
