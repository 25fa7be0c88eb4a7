"""The four made-up domains: their sensors, mixtures of attacks and populations. Frozen under BENCHMARK_VERSION."""

from dataclasses import dataclass, field

from mmdg_lite.data.scenes import LIVE, Population
from mmdg_lite.data.sensors import SensorProfile

BENCHMARK_VERSION = "1"
"""Changes whenever any sample of the benchmark changes; scores of different versions are not comparable."""

SPLITS = {"train": 240, "val": 60, "test": 120}
"""Number of subjects per split; no two splits and no two domains share one."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One made-up data set."""

    letter: str
    description: str
    sensors: SensorProfile
    mixture: dict[str, float]  # probability of live and of each attack species
    population: Population = field(default_factory=Population)


def _mixture(**attacks: float) -> dict[str, float]:
    """Half live, the attacks in these proportions."""
    total = sum(attacks.values())
    return {LIVE: 0.5} | {name: 0.5 * share / total for name, share in attacks.items()}


DOMAINS: dict[str, Domain] = {
    domain.letter: domain
    for domain in (Domain(letter="W", description="", sensors=SensorProfile(), mixture=_mixture(print=1)),)
}


def domain_named(letter: str) -> Domain:
    """The domain with this letter. Raises ValueError naming the valid ones."""
    if letter not in DOMAINS:
        raise ValueError(f"unknown domain {letter!r}: valid names are {', '.join(DOMAINS)}")
    return DOMAINS[letter]
