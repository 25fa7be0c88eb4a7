# The public names, by the module that each is defined in. `lazy_loader.attach_stub` reads this file at run time.
from . import minimal
from .adapters import CentralDifferenceConv2d, CertaintyAttention, UAdapter, UAdapterPP
from .data.protocols import PROTOCOLS
from .data.synthetic import render
from .explorers.all import (
    explore_balance,
    explore_imbalance,
    explore_landscape,
    explore_regrad,
    view_training,
)
from .inference.predict import predict
from .metrics import evaluate_scores, threshold_at_eer
from .modality import MODALITIES, Modality
from .models.builder import MMDG, MMDGPlusPlus, ModelConfig, build, register_model
from .models.clip import load_clip
from .prompts import AsymmetricDomainPrompts
from .regrad.balancing import register_rule
from .regrad.rule import project
from .regrad.step import ReGrad
from .results.tables import tables
from .runs.config import RunConfig, configure
from .runs.methods import register_method
from .training.rescoring import evaluate
from .training.run import train
from .uncertainty import certainty, monte_carlo_dropout, sample_moments

__version__: str
__all__ = [
    "MMDG",
    "MODALITIES",
    "PROTOCOLS",
    "AsymmetricDomainPrompts",
    "CentralDifferenceConv2d",
    "CertaintyAttention",
    "MMDGPlusPlus",
    "Modality",
    "ModelConfig",
    "ReGrad",
    "RunConfig",
    "UAdapter",
    "UAdapterPP",
    "__version__",
    "build",
    "certainty",
    "configure",
    "evaluate",
    "evaluate_scores",
    "explore_balance",
    "explore_imbalance",
    "explore_landscape",
    "explore_regrad",
    "load_clip",
    "minimal",
    "monte_carlo_dropout",
    "predict",
    "project",
    "register_method",
    "register_model",
    "register_rule",
    "render",
    "sample_moments",
    "tables",
    "threshold_at_eer",
    "train",
    "view_training",
]
