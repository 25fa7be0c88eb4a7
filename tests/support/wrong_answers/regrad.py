"""Assignment 4."""

import numpy as np
import torch

from tests.support.wrong_answers import wrong


@wrong("project", says="cosine times the base")
def cosine_times_the_base(gradient, base):
    cosine = torch.nn.functional.cosine_similarity(gradient, base, dim=0)
    if cosine > 0:
        return cosine * base
    return gradient - cosine * base


@wrong("project", says="PCGrad's rule")
def as_in_pcgrad(gradient, base):
    dot = torch.dot(gradient, base)
    if dot < 0:
        gradient = gradient - dot / base.norm() ** 2 * base
    return gradient


@wrong("project", says="you keep nothing")
def zero_in_conflict(gradient, base):
    share = torch.clamp(gradient @ base, min=0) / (base**2).sum()
    return share * base


@wrong("project", says="gradient and base are exchanged")
def projects_the_base(gradient, base):
    parallel = (base @ gradient) / (gradient @ gradient) * gradient
    return parallel if base @ gradient > 0 else base - parallel


@wrong("project", says="not added")
def adds_the_conflict(gradient, base):
    unit = base / base.norm()
    share = gradient @ unit
    return share * unit if share > 0 else gradient + share * unit


@wrong("modulate_pair", says="always the branch's own gradient")
def own_is_always_the_base(own, other, own_is_faster, own_certainty, other_certainty, project):
    return own + other_certainty * project(other, own)


@wrong("modulate_pair", says="the slow gradient stays whole")
def weighs_everything(own, other, own_is_faster, own_certainty, other_certainty, project):
    slow, fast, certainty = (other, own, own_certainty) if own_is_faster else (own, other, other_certainty)
    return certainty * (slow + project(fast, slow))


@wrong("modulate_pair", says="nothing is projected")
def adds_the_fast_gradient(own, other, own_is_faster, own_certainty, other_certainty, project):
    slow, fast, certainty = (other, own, own_certainty) if own_is_faster else (own, other, other_certainty)
    return slow + certainty * fast


@wrong("modulate_pair", says="1 - U")
def doubt_as_the_weight(own, other, own_is_faster, own_certainty, other_certainty, project):
    if own_is_faster:
        return other + (1 - own_certainty) * project(own, other)
    return own + (1 - other_certainty) * project(other, own)


@wrong("modulate_pair", says="it takes its own")
def certainty_of_the_slow_one(own, other, own_is_faster, own_certainty, other_certainty, project):
    if own_is_faster:
        return project(own, other) * other_certainty + other
    return project(other, own) * own_certainty + own


def _last_averages(losses, momentum):
    averages, counts = np.zeros(3), np.zeros(3)
    for row in losses:
        for i in range(3):
            if row[i] is not None:
                averages[i] = momentum * averages[i] + (1 - momentum) * row[i]
                counts[i] += 1
    return averages, counts


@wrong("fastest", says="a tie has no fastest")
def argmin(losses, momentum):
    averages, counts = _last_averages(losses, momentum)
    corrected = [averages[i] / (1 - momentum ** counts[i]) if losses[-1][i] is not None else np.inf for i in range(3)]
    return int(np.argmin(corrected))


@wrong("fastest", says="a modality seen less often looks faster")
def uncorrected(losses, momentum):
    averages, _ = _last_averages(losses, momentum)
    present = {i: averages[i] for i in range(3) if losses[-1][i] is not None}
    best = [i for i, value in present.items() if value == min(present.values())]
    return best[0] if len(best) == 1 else None


@wrong("fastest", says="yours are exchanged")
def momentum_on_the_new_loss(losses, momentum):
    averages, counts = [0, 0, 0], [0, 0, 0]
    for row in losses:
        for i, loss in enumerate(row):
            if loss is not None:
                averages[i] = (1 - momentum) * averages[i] + momentum * loss
                counts[i] += 1
    values = {i: averages[i] / (1 - (1 - momentum) ** counts[i]) for i in range(3) if losses[-1][i] is not None}
    best = [i for i in values if values[i] == min(values.values())]
    return best[0] if len(best) == 1 else None


@wrong("fastest", says="no loss of 0")
def missing_is_zero(losses, momentum):
    averages = [0.0, 0.0, 0.0]
    for row in losses:
        averages = [momentum * old + (1 - momentum) * (new or 0) for old, new in zip(averages, row, strict=True)]
    averages = [average / (1 - momentum ** len(losses)) for average in averages]
    present = [i for i in range(3) if losses[-1][i] is not None]
    lowest = min(averages[i] for i in present)
    best = [i for i in present if averages[i] == lowest]
    return best[0] if len(best) == 1 else None


@wrong("fastest", says="no index")
def returns_the_average(losses, momentum):
    averages, counts = _last_averages(losses, momentum)
    return min(averages[i] / (1 - momentum ** counts[i]) for i in range(3) if counts[i])


@wrong("modulate", says="the sum of the others is missing")
def held_back_alone(gradients, branch, fastest, certainty, project):
    others = [j for j in (0, 1, 2) if j != branch]
    if not any(gradients[j].any() for j in others):
        return gradients[branch]
    if branch == fastest:
        return certainty[branch] * project(gradients[branch], gradients[others[0]] + gradients[others[1]])
    result = gradients[branch].clone()
    for j in others:
        result += certainty[j] * project(gradients[j], gradients[branch])
    return result


@wrong("modulate", says="None is no index 0")
def tie_is_rgb(gradients, branch, fastest, certainty, project):
    others = [j for j in (0, 1, 2) if j != branch]
    if not any(gradients[j].any() for j in others):
        return gradients[branch]
    if not fastest:
        fastest = 0
    if branch == fastest:
        rest = gradients[others[0]] + gradients[others[1]]
        return certainty[branch] * project(gradients[branch], rest) + rest
    return gradients[branch] + sum(certainty[j] * project(gradients[j], gradients[branch]) for j in others)


@wrong("modulate", says="counted twice")
def sum_over_all_three(gradients, branch, fastest, certainty, project):
    own = gradients[branch]
    rest = sum(gradients) - own
    if not rest.any():
        return own
    if branch == fastest:
        return certainty[branch] * project(own, rest) + rest
    return own + sum(u * project(g, own) for u, g in zip(certainty, gradients, strict=True))


@wrong("modulate", says="since T is not linear")
def projects_the_sum(gradients, branch, fastest, certainty, project):
    own = gradients[branch]
    others = [j for j in (0, 1, 2) if j != branch]
    rest = gradients[others[0]] + gradients[others[1]]
    if not rest.any():
        return own
    if branch == fastest:
        return certainty[branch] * project(own, rest) + rest
    return own + project(certainty[others[0]] * gradients[others[0]] + certainty[others[1]] * gradients[others[1]], own)


@wrong("modulate", says="keeps its gradient unscaled")
def forgets_the_exception(gradients, branch, fastest, certainty, project):
    others = [gradients[j] for j in range(3) if j != branch]
    if branch == fastest:
        return certainty[branch] * project(gradients[branch], others[0] + others[1]) + others[0] + others[1]
    result = gradients[branch]
    for j in range(3):
        if j != branch:
            result = result + certainty[j] * project(gradients[j], gradients[branch])
    return result
