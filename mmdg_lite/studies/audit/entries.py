"""The audit: where paper, released code and this package differ, each with a demonstration in numbers (notebook 09)."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mmdg_lite.studies.audit import forward, step
from mmdg_lite.studies.audit.forward import Numbers


@dataclass(frozen=True)
class Entry:
    """One discrepancy: what it is about in a few words, and what shows it."""

    subject: str
    demonstrate: Callable[[], Numbers]


ENTRIES: dict[str, Entry] = {
    "D1": Entry("ReGrad's index sticks: share of parameters modulated", step.modulated_share),
    "D2": Entry("share of tokens that take the sender's query in training", forward.sender_share),
    "D3": Entry("moving average of a constant loss of 1", step.averages_after),
    "D4": Entry("learnable tokens beside their placeholders", forward.placement),
    "D5": Entry("MMDG's spread: standard deviation or variance", forward.spread_of_dropout),
    "D6": Entry("MMDG's ReGrad step runs", step.mmdg_step),
    "D7": Entry("movement of CLIP's own class token in one step", forward.clip_token_change),
    "D8": Entry("classes without a domain", forward.unused_classes),
    "D9": Entry("HTER, %, by where threshold comes from", step.thresholds),
    "D10": Entry("tokens of text per step", forward.text_length),
    "D11": Entry("coherence of gradients over noise draws", forward.log_variance_signal),
    "D12": Entry("difference of two evaluations", forward.two_evaluations),
    "D13": Entry("finite scores with NaN in a missing modality", forward.junk_in_a_missing_modality),
    "D14": Entry("norm kept beside 90 degrees", step.jump_at_a_right_angle),
    "D15": Entry("share of an identical gradient that is kept", step.kept_of_an_identical_gradient),
    "D16": Entry("share of tokens whose certainty is the sender's, by mode", forward.certainty_in_both_modes),
    "D17": Entry("shared trainable parameter", step.shared_parameter),
    "D18": Entry("batch of one", forward.batch_of_one),
    "D19": Entry("graphs of losses alive after the step", step.graph_after_step),
    "D20": Entry("steps of 20, depth missing, with a present modality fastest", step.fastest_with_a_modality_missing),
    "D21": Entry("gradient left of the fastest branch's own prompts", step.undisputed_gradient),
    "D22": Entry("effective bias of the convolution", forward.convolution_bias),
    "D23": Entry("norm of a weight that hardly gets a gradient, by optimiser", step.coupled_weight_decay),
    "D24": Entry("certainty of RGB without infrared", forward.missing_sender_counts),
}


class Audit:
    """Demonstrations made once and kept, so that a table at the end repeats what was shown."""

    def __init__(self) -> None:
        self.found: dict[str, Numbers] = {}

    def show(self, entry: str) -> pd.Series:
        """The numbers of an entry. Raises `KeyError` for one that does not exist."""
        if entry not in self.found:
            self.found[entry] = ENTRIES[entry].demonstrate()
        numbers = {name: f"{value:.4g}" for name, value in self.found[entry].items()}
        return pd.Series(numbers, name=f"{entry}: {ENTRIES[entry].subject}")

    def table(self) -> pd.DataFrame:
        """All entries in order, those not shown yet too: what it is about, and all of its numbers as one text."""
        rows = []
        for entry, described in ENTRIES.items():
            numbers = "; ".join(f"{name} {value}" for name, value in self.show(entry).items())
            rows.append({"entry": entry, "what is measured": described.subject, "numbers": numbers})
        return pd.DataFrame(rows).set_index("entry")
