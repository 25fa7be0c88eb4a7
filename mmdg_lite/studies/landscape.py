"""Three losses that pull at two shared parameters: small enough to draw, and to follow each balancing rule's path.

The two parameters are the entries of one parameter tensor in the branch of one modality. Each modality's loss is a
round bowl over them, L_m(p) = floor_m + steepness_m / 2 |p - minimum_m|^2. The floor is what no parameter can lower.
Measurements for notebook 04, and the computation behind its landscape explorer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.regrad.balancing import BalancingRule, Moment, balancing_weights
from mmdg_lite.regrad.step import ReGrad

Array = NDArray[np.float64]
Triple = tuple[float, float, float]
"""A number for each of RGB, depth and infrared."""

TRIANGLE: Array = np.array([[-(3**0.5) / 2, -0.5], [3**0.5 / 2, -0.5], [0.0, 1.0]])
"""3 x 2: minima of the losses of RGB, depth and infrared, the corners of an equilateral triangle around the origin."""

FAR = 1e6
"""A coordinate beyond this means that a path diverges."""


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Three bowls over a plane; each field has an entry per modality, RGB, depth and infrared.

    Raises:
        ValueError: minima that are not 3 x 2, or a steepness that is not positive.
    """

    minima: Array
    steepness: Triple = (1.0, 1.0, 1.0)
    floors: Triple = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if np.shape(self.minima) != (len(MODALITIES), 2):
            raise ValueError(f"minima must be 3 x 2, a point per modality; got shape {np.shape(self.minima)}")
        if min(self.steepness) <= 0:
            raise ValueError(f"a steepness must be positive, got {self.steepness}")

    def losses(self, points: Array) -> Array:
        """L_R, L_D and L_I at points ... x 2, as ... x 3."""
        return self.excess(points) + np.asarray(self.floors)

    def excess(self, points: Array) -> Array:
        """How far each loss lies above its floor at points ... x 2, as ... x 3: what is left to learn."""
        squares = np.square(points[..., None, :] - self.minima).sum(axis=-1)  # ... x 3
        return np.asarray(self.steepness) / 2 * squares

    def gradients(self, point: Array) -> Array:
        """g_R, g_D and g_I at one point, 3 x 2."""
        return np.asarray(self.steepness)[:, None] * (point - self.minima)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """A path through a landscape: points (steps + 1) x 2, and the fastest modality of each step, None on a tie."""

    points: Array
    fastest: tuple[Modality | None, ...]


def descend(
    landscape: Landscape,
    rule: BalancingRule,
    *,
    branch: Modality = Modality.RGB,
    start: Sequence[float] = (2.0, 2.0),
    certainty: Triple = (0.8, 0.8, 0.8),
    steps: int = 300,
    rate: float = 0.03,
    momentum: float = 0.5,
) -> Descent:
    """Gradient descent under a balancing rule, the fastest modality being found as in training.

    Args:
        landscape: the three losses.
        rule: a balancing rule by name, see `regrad.balancing`.
        branch: modality that the two parameters belong to; ReGrad treats its gradient differently.
        start: first point.
        certainty: U_R, U_D and U_I, each in [0, 1], the same in every step.
        steps: how many.
        rate: learning rate; a bowl is stable below 2 / steepness.
        momentum: of the losses' moving averages.

    Raises:
        ValueError: an unknown rule, or steps that lead away without end.
        ImportError: a rule of TorchJD, which is not installed.
    """
    pace = ReGrad(momentum=momentum)  # keeps the averages
    points: list[Array] = [np.asarray(start, dtype=np.float64)]
    fastest: list[Modality | None] = []
    for step in range(steps):
        losses = landscape.losses(points[-1]).tolist()
        first = pace.update(tuple(torch.tensor(loss, dtype=torch.float64) for loss in losses))
        place = None if first is None else first.index
        moment = Moment(losses=losses, fastest=place, certainty=certainty, seed=step)
        g = landscape.gradients(points[-1])  # 3 x 2
        gram = torch.from_numpy(g @ g.T)[None]  # 1 x 3 x 3
        w = balancing_weights({branch.index: gram}, rule, moment)[branch.index][0].numpy()  # 3
        points.append(points[-1] - rate * (w @ g))
        if np.abs(points[-1]).max() > FAR:
            raise ValueError(f"the path diverges by step {step + 1}: take a lower learning rate or flatter bowls")
        fastest.append(first)
    return Descent(points=np.stack(points), fastest=tuple(fastest))


def settled(landscape: Landscape, descent: Descent, *, last: int = 50) -> Array:
    """Mean excess loss of each modality over the last steps, 3. ReGrad's path may chatter, so one step says little."""
    return landscape.excess(descent.points[-last:]).mean(axis=0)
