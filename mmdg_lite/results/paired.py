"""Every method against another one, plain fusion by default, over the seeds and targets that both have."""

import pandas as pd

from mmdg_lite.results.cells import display_name, in_order, select
from mmdg_lite.results.paired_test import compare, pairs_in_common
from mmdg_lite.results.table_text import interval

REFERENCE = "fusion"


def paired(frame: pd.DataFrame, protocol: str, *, metric: str = "hter", reference: str = REFERENCE) -> pd.DataFrame:
    """A row per method that has a run in common with the reference, as text.

    `frame`: rows of `results.collect`, of one profile and kind of data. Columns: method, difference (percentage
    points, negative is a lower error), its 95 % interval (targets resampled; empty for one target), p (two-sided
    sign-flip test over pairs) and pairs. Tests are not corrected for their number.
    """
    rows = select(frame, protocol).assign(protocol=protocol)
    table = []
    for method in in_order(rows["method"]):
        if method == reference or not pairs_in_common(rows, method, reference):
            continue
        c = compare(rows, method, reference, metric=metric)
        table.append(
            {
                "method": display_name(method),
                "difference": f"{100 * c.difference:+.2f}",
                "95 % interval over targets": interval(c.low, c.high),
                "p": f"{c.p_value:.4f}",
                "pairs": str(c.pairs),
            }
        )
    return pd.DataFrame(table)
