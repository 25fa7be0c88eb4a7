"""Assignment 5."""

import numpy as np
import pandas as pd
from scipy import stats

from tests.support.wrong_answers import wrong


@wrong("mean_with_interval", says="1.96 is the normal distribution's")
def always_196(values, confidence):
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values), np.mean(values) - half, np.mean(values) + half


@wrong("mean_with_interval", says="how seeds spread")
def percentiles(values, confidence):
    rest = 100 * (1 - confidence)
    return np.mean(values), np.percentile(values, rest / 2), np.percentile(values, 100 - rest / 2)


@wrong("mean_with_interval", says="divide by n - 1")
def numpys_default_deviation(values, confidence):
    error = np.std(values) / np.sqrt(len(values))
    half = error * stats.t(len(values) - 1).ppf(0.5 + confidence / 2)
    return values.mean(), values.mean() - half, values.mean() + half


@wrong("mean_with_interval", says="not the standard deviation")
def forgets_the_root_of_n(values, confidence):
    low, high = stats.t.interval(confidence, df=len(values) - 1, loc=values.mean(), scale=values.std(ddof=1))
    return values.mean(), low, high


@wrong("mean_with_interval", says="one standard error")
def one_standard_error(values, confidence):
    error = values.std(ddof=1) / len(values) ** 0.5
    return values.mean(), values.mean() - error, values.mean() + error


@wrong("paired_difference", says="as independent")
def unpaired(first, second, confidence):
    found = stats.ttest_ind(first, second).confidence_interval(confidence)
    return first.mean() - second.mean(), found.low, found.high


@wrong("paired_difference", says="sorting breaks the pairs")
def sorts_first(first, second, confidence):
    differences = np.array(sorted(first)) - np.array(sorted(second))
    low, high = stats.t.interval(confidence, len(first) - 1, differences.mean(), stats.sem(differences))
    return differences.mean(), low, high


@wrong("paired_difference", says="first - second is asked for")
def second_minus_first(first, second, confidence):
    found = stats.ttest_rel(second, first).confidence_interval(confidence)
    return np.mean(second - first), found.low, found.high


@wrong("paired_difference", says="relative difference")
def relative(first, second, confidence):
    change = first / second - 1
    half = stats.t.ppf((1 + confidence) / 2, len(change) - 1) * stats.sem(change)
    return change.mean(), change.mean() - half, change.mean() + half


@wrong("results_table", says="only the last seed's rows")
def overwrites_the_table_in_the_loop(found):
    for one_seed in found:
        table = pd.DataFrame(one_seed["rows"])
    return table


@wrong("results_table", says="the column 'method' is missing")
def table_of_dictionaries(found):
    return pd.DataFrame(found)


@wrong("results_table", says="a pandas.DataFrame is expected, not list")
def forgets_the_table(found):
    return [row for one_seed in found for row in one_seed["rows"]]


@wrong("results_table", says="percent")
def in_percent(found):
    rows = [row for one_seed in found for row in one_seed["rows"]]
    return pd.DataFrame([row | {"hter": row["hter"] * 100} for row in rows])


@wrong("extra_loss", says="sign is turned round")
def unchanged_minus_shifted(results, method):
    table = results.query("method == @method").set_index(["seed", "condition"])["hter"].unstack()
    return (table["unchanged"] - table["shifted"]).to_numpy()


@wrong("extra_loss", says="in the order in which they come")
def trusts_the_order_of_rows(results, method):
    mine = results[results.method == method]
    return mine[mine.condition == "shifted"].hter.to_numpy() - mine[mine.condition == "unchanged"].hter.to_numpy()


@wrong("extra_loss", says="pick the rows of the method first")
def forgets_the_method(results, method):
    means = results.groupby(["seed", "condition"])["hter"].mean().unstack()
    return (means["shifted"] - means["unchanged"]).to_numpy()


@wrong("extra_loss", says="one number per seed")
def averages_too_early(results, method):
    mine = results[results["method"] == method].groupby("condition")["hter"].mean()
    return mine["shifted"] - mine["unchanged"]
