"""mmdg_lite: MMDG++ for generalised multimodal face anti-spoofing, to reproduce, to teach and to improve."""

from mmdg_lite.modality import MODALITIES, Modality

__version__ = "0.1.0"

__all__ = ["MODALITIES", "Modality", "__version__"]
