"""The paper's claims as contrasts between methods, and what finished runs say of each: held, contradicted, undecided.

A contrast names two methods and the direction in which the claim expects a number to move. Most pairs differ in one
part of MMDG++; the frozen CLIP with a head differs from plain fusion in two, its adapters and its trained tokens. Runs
are compared in pairs of one setting, target and seed (`significance.compare`). The claims are, in our words, what the
abstract of Lin et al. (TPAMI 2025) and the paper on MMDG (CVPR 2024) say or imply for real sensors.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mmdg_lite.results.cells import display_name, select
from mmdg_lite.results.collect import KEYS, read_history
from mmdg_lite.results.dynamics import imbalance
from mmdg_lite.results.paired_test import compare, pairs_in_common
from mmdg_lite.results.table_text import interval

Quantity = Literal["hter", "rise", "imbalance"]
Finding = Literal["as claimed", "the opposite", "undecided", "not run"]
Verdict = Literal["holds", "does not hold", "undecided", "not tested"]

QUANTITIES: dict[Quantity, str] = {
    "hter": "HTER",
    "rise": "rise of HTER when modalities are missing",
    "imbalance": "spread of the modalities' training losses, relative to their mean",
}


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two methods, and which way the first should differ from the second."""

    method: str
    reference: str
    quantity: Quantity
    expected: Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper says, in our words, and the contrasts that would show it."""

    name: str
    statement: str
    contrasts: tuple[Contrast, ...]


def _lower(method: str, reference: str, quantity: Quantity = "hter") -> Contrast:
    return Contrast(method=method, reference=reference, quantity=quantity, expected="lower")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="The method as a whole",
        statement="MMDG++ generalises to unseen domains better than its predecessor and than plain baselines.",
        contrasts=tuple(_lower("mmdg++", reference) for reference in ("linear_probe", "fusion", "mmdg")),
    ),
    Claim(
        name="Uncertainty in the adapters",
        statement="Passing information between modalities hurts under sensor shift unless uncertainty suppresses it.",
        contrasts=(
            Contrast(method="fusion", reference="head", quantity="hter", expected="higher"),
            _lower("fusion+uncertainty", "fusion"),
            _lower("mmdg++", "mmdg++_without_uncertainty"),
        ),
    ),
    Claim(
        name="ReGrad",
        statement="Modulating the modalities' gradients balances their convergence, and generalises better.",
        contrasts=(
            _lower("mmdg++", "mmdg++_without_regrad", "imbalance"),
            _lower("fusion+regrad", "fusion", "imbalance"),
            _lower("mmdg++", "mmdg++_without_regrad"),
            _lower("fusion+regrad", "fusion"),
        ),
    ),
    Claim(
        name="Asymmetric domain prompts",
        statement="One prompt of live faces and one of spoofs per domain generalise better than a plain head.",
        contrasts=(_lower("mmdg++", "mmdg++_without_prompts"), _lower("fusion+prompts", "fusion")),
    ),
    Claim(
        name="Missing modalities",
        statement="MMDG++ stands the loss of depth, infrared or both better than others.",
        contrasts=(
            _lower("mmdg++", "fusion", "rise"),
            _lower("mmdg++", "mmdg", "rise"),
            _lower("mmdg++", "mmdg++_without_uncertainty", "rise"),
        ),
    ),
)


def quantities(frame: pd.DataFrame) -> dict[Quantity, pd.DataFrame]:
    """For each quantity the rows that it is compared on, in a column of its name.

    `frame`: rows of `results.collect` of one profile and kind of data. HTER and imbalance are of P1 with everything
    present, the rise of P1's tests with modalities missing, minus the same run's with none.
    """
    complete, lacking = select(frame, "P1"), select(frame, "P2")
    of_run = {run: imbalance(read_history(run)) for run in complete["run"].unique()}
    same = [key for key in KEYS if key != "missing"]
    both = lacking.merge(complete[[*same, "hter"]], on=same, suffixes=("", "_complete"))
    return {
        "hter": complete,
        "rise": both.assign(rise=both["hter"] - both["hter_complete"]),
        "imbalance": complete.assign(imbalance=complete["run"].map(of_run)),
    }


def findings(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per claim and contrast.

    Columns: claim, method, reference, quantity, expected, difference (method minus reference, in percentage points, of
    imbalance in percent of the mean loss), its 95 % interval (targets resampled), p (two-sided sign-flip test over
    pairs, not corrected for the number of contrasts), pairs, and finding, which is "not run" without common runs.
    """
    rows = quantities(frame)
    return pd.DataFrame(
        [
            {"claim": claim.name} | _row(contrast, rows[contrast.quantity])
            for claim in CLAIMS
            for contrast in claim.contrasts
        ]
    )


def verdict(found: pd.DataFrame) -> Verdict:
    """What the rows of one claim come to: it holds if every contrast is as claimed.

    One contrast the other way is enough against it; contrasts that were not run leave it undecided.
    """
    kinds = set(found["finding"])
    if kinds == {"not run"}:
        return "not tested"
    if "the opposite" in kinds:
        return "does not hold"
    return "holds" if kinds == {"as claimed"} else "undecided"


def _row(contrast: Contrast, rows: pd.DataFrame) -> dict[str, str]:
    row = {
        "method": display_name(contrast.method),
        "reference": display_name(contrast.reference),
        "quantity": QUANTITIES[contrast.quantity],
        "expected": contrast.expected,
    }
    if not pairs_in_common(rows, contrast.method, contrast.reference):
        return row | {"difference": "", "95 % interval": "", "p": "", "pairs": "0", "finding": "not run"}
    c = compare(rows, contrast.method, contrast.reference, metric=contrast.quantity)
    expected = (c.difference < 0) == (contrast.expected == "lower")
    finding: Finding = "undecided" if not c.decided else "as claimed" if expected else "the opposite"
    return row | {
        "difference": f"{100 * c.difference:+.2f}",
        "95 % interval": interval(c.low, c.high),
        "p": f"{c.p_value:.4f}",
        "pairs": str(c.pairs),
        "finding": finding,
    }
