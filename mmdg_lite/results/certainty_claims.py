"""What is expected of supervised certainty, written down before any of its runs was tested, and what the runs say.

Ours, not the paper's. The contrasts are those of protocol P6: HTER on the deployments, and how far HTER rises with a
fault in the reliability curves. They are adjusted together for their number, and not with the paper's claims.
"""

import pandas as pd

from mmdg_lite.results.claims import Claim, Contrast, Quantity
from mmdg_lite.results.deployment_claims import Finding, findings_of

METHOD = "mmdg++_supervised"


def _lower(method: str, reference: str, *quantities: Quantity) -> tuple[Contrast, ...]:
    return tuple(
        Contrast(method=method, reference=reference, quantity=quantity, expected="lower") for quantity in quantities
    )


HYPOTHESES: tuple[Claim, ...] = (
    Claim(
        name="Augmentation alone",
        statement="Training on spoilt regions makes faults less harmful, without any certainty that is taught.",
        contrasts=_lower("fusion_spoilt", "fusion", "rise") + _lower("mmdg++_spoilt", "mmdg++", "rise"),
    ),
    Claim(
        name="Supervised certainty",
        statement="Certainty that is taught, and acts, makes faults less harmful than the same augmentation alone, and "
        "new sensors too.",
        contrasts=_lower(METHOD, "mmdg++_spoilt", "rise", "hter") + _lower(METHOD, "fusion_spoilt", "rise", "hter"),
    ),
    Claim(
        name="Certainty must act",
        statement="It is the use of certainty that helps, not the loss that teaches it.",
        contrasts=_lower(METHOD, "mmdg++_supervised_unused", "rise"),
    ),
    Claim(
        name="Certainty must be in its place",
        statement="Certainty that acts on other tokens and modalities than its own helps less.",
        contrasts=_lower(METHOD, "mmdg++_supervised_shuffled", "rise"),
    ),
)


def certainty_findings(frame: pd.DataFrame) -> list[Finding]:
    """Every contrast of the hypotheses. `frame`: rows of `deployments.collect_deployments` of one profile."""
    return findings_of(frame, [(claim.name, contrast) for claim in HYPOTHESES for contrast in claim.contrasts])
