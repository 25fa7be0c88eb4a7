"""The abstract's claims on protocol P6: borne out, refuted, or how large an effect is still possible.

Claims of a lower HTER are those of `claims.CLAIMS`, and MMDG++ against every method that has none of its parts. The
claim that uncertainty suppresses unreliable modalities is also about reliability curves: how far HTER rises with a
fault. All contrasts are adjusted together for their number (`deployments.estimates`).
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from mmdg_lite.results.cells import display_name
from mmdg_lite.results.claims import CLAIMS, Contrast
from mmdg_lite.results.deployments import Estimate, differences, estimates, on_deployments, outsiders, rises
from mmdg_lite.results.table_text import interval

Verdict = Literal["borne out", "refuted", "undecided", "not tested"]
LOWER_ERROR, LOWER_RISE = "hter", "rise"
QUANTITIES = {LOWER_ERROR: "HTER", LOWER_RISE: "rise of HTER with a fault"}
WHOLE = CLAIMS[0].name
UNRELIABLE = "Unreliable modalities"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One contrast of a claim, and its estimate; None where the methods have fewer than two runs in common."""

    claim: str
    contrast: Contrast
    estimate: Estimate | None

    @property
    def verdict(self) -> Verdict:
        """What the contrast alone says of the claim."""
        if self.estimate is None:
            return "not tested"
        if not self.estimate.decided:
            return "undecided"
        return "borne out" if (self.estimate.difference < 0) == (self.contrast.expected == "lower") else "refuted"

    @property
    def possible(self) -> float:
        """The largest effect in the claimed direction that the interval leaves possible, a fraction, at least 0."""
        if self.estimate is None:
            return float("nan")
        return max(0.0, -self.estimate.low if self.contrast.expected == "lower" else self.estimate.high)


def deployment_contrasts(methods: list[str]) -> list[tuple[str, Contrast]]:
    """Claims and contrasts on P6; MMDG++ as a whole against every one of `methods` that has none of its parts."""
    found = [
        (WHOLE, Contrast(method="mmdg++", reference=name, quantity="hter", expected="lower"))
        for name in outsiders(methods)
    ]
    found += [
        (claim.name, contrast) for claim in CLAIMS[1:] for contrast in claim.contrasts if contrast.quantity == "hter"
    ]
    pairs = [("mmdg++", "fusion"), ("fusion+uncertainty", "fusion"), ("mmdg++", "mmdg++_without_uncertainty")]
    return found + [
        (UNRELIABLE, Contrast(method=method, reference=reference, quantity="rise", expected="lower"))
        for method, reference in pairs
    ]


def deployment_findings(frame: pd.DataFrame) -> list[Finding]:
    """Every contrast of the claims on P6. `frame`: rows of `deployments.collect_deployments` of one profile."""
    return findings_of(frame, deployment_contrasts(list(on_deployments(frame)["method"].unique())))


def findings_of(frame: pd.DataFrame, wanted: list[tuple[str, Contrast]]) -> list[Finding]:
    """The contrasts of named claims, adjusted together. `frame`: as of `deployment_findings`."""
    tables = {}
    for _, c in wanted:
        compare = rises if c.quantity == LOWER_RISE else differences
        tables[c.method, c.reference, str(c.quantity)] = compare(frame, c.method, c.reference)
    known = {(e.method, e.reference, e.quantity): e for e in estimates(tables)}
    return [
        Finding(claim=claim, contrast=c, estimate=known.get((c.method, c.reference, str(c.quantity))))
        for claim, c in wanted
    ]


def verdict(found: list[Finding]) -> Verdict:
    """What the contrasts of one claim come to: one the other way refutes it; borne out is what all of them bear out."""
    kinds = {finding.verdict for finding in found}
    if kinds <= {"not tested"}:
        return "not tested"
    if "refuted" in kinds:
        return "refuted"
    return "borne out" if kinds == {"borne out"} else "undecided"


def verdicts_table(found: list[Finding]) -> pd.DataFrame:
    """A row per claim as text: verdict, how many contrasts say what, and the largest effect that is still possible.

    `still possible` is in percentage points, in the claimed direction, the largest of the contrasts that bear the claim
    not out; empty where all of them do, or none was run.
    """
    rows = []
    for claim in dict.fromkeys(finding.claim for finding in found):
        mine = [finding for finding in found if finding.claim == claim]
        counts = pd.Series([finding.verdict for finding in mine]).value_counts()
        open_ones = [finding.possible for finding in mine if finding.verdict in ("undecided", "refuted")]
        rows.append(
            {
                "claim": claim,
                "verdict": verdict(mine),
                "contrasts": ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())),
                "still possible": f"{100 * max(open_ones):.2f}" if open_ones else "",
            }
        )
    return pd.DataFrame(rows)


def contrasts_table(found: list[Finding]) -> pd.DataFrame:
    """A row per contrast as text; differences and intervals in percentage points, p adjusted by Holm's rule."""
    rows = []
    for finding in found:
        e, c = finding.estimate, finding.contrast
        numbers = {"difference": "", "95 % interval": "", "p": "", "runs": "0"}
        if e is not None:
            numbers = {
                "difference": f"{100 * e.difference:+.2f}",
                "95 % interval": interval(e.low, e.high),
                "p": f"{e.p_value:.4f}",
                "runs": str(e.runs),
            }
        names = {"method": display_name(c.method), "reference": display_name(c.reference)}
        about = {"quantity": QUANTITIES[str(c.quantity)], "claimed": c.expected}
        rows.append({"claim": finding.claim} | names | about | numbers | {"finding": finding.verdict})
    return pd.DataFrame(rows)


def deployment_facts(found: list[Finding]) -> list[str]:
    """A sentence per claim that says its verdict and what it rests on."""
    sentences = []
    for claim in dict.fromkeys(finding.claim for finding in found):
        mine = [finding for finding in found if finding.claim == claim]
        decided = verdict(mine)
        if decided == "not tested":
            sentences.append(f"{claim}: no contrast was run on protocol P6.")
            continue
        told = "; ".join(_told(finding) for finding in mine if finding.estimate is not None)
        sentences.append(f"{claim}: {decided}. {told}.")
    return sentences


def _told(finding: Finding) -> str:
    e, c = finding.estimate, finding.contrast
    assert e is not None
    of = f"{display_name(c.method)} against {display_name(c.reference)}, {QUANTITIES[str(c.quantity)]}"
    number = f"{100 * e.difference:+.2f} points (95 % interval {100 * e.low:+.2f} to {100 * e.high:+.2f})"
    if finding.verdict == "undecided":
        better = "lower" if c.expected == "lower" else "higher"
        return f"{of}: {number}, so that {100 * finding.possible:.2f} points {better} are still possible"
    return f"{of}: {number}"
