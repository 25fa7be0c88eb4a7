"""The four made-up domains: their sensors, mixtures of attacks and populations. Frozen under BENCHMARK_VERSION."""

from dataclasses import dataclass, field

from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.scenes import Population
from mmdg_lite.data.renderer.sensors import SensorProfile

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
    for domain in (
        Domain(
            letter="W",
            description="Laboratory station, many kinds of attack; fair colour, noisy stereo depth, strong infrared.",
            sensors=SensorProfile(
                rgb_exposure=1.1,
                rgb_exposure_spread=0.1,
                rgb_red=1.05,
                rgb_blue=0.92,
                rgb_blur=0.6,
                rgb_noise=0.015,
                depth_near=10,
                depth_far=40,
                depth_noise=0.35,
                depth_wander=0.5,
                depth_blur=1.5,
                depth_holes=0.06,
                depth_edge_holes=0.5,
                infrared_exposure=1.15,
                infrared_exposure_spread=0.1,
                infrared_falloff=0.3,
                infrared_noise=0.02,
                infrared_pupils=0.5,
            ),
            mixture=_mixture(
                print=1, replay=1, paper_mask=1, rigid_mask=1.5, flexible_mask=1.2, fake_head=1, glasses=1.3
            ),
            population=Population(tone=(0.35, 1.0), ink=(0.3, 1.0), craft=(0.2, 1.0), distance=(0.4, 0.6)),
        ),
        Domain(
            letter="C",
            description="Phone-like capture in dim rooms, people of all tones; smoothed depth, leaky infrared filter.",
            sensors=SensorProfile(
                rgb_exposure=0.95,
                rgb_exposure_spread=0.2,
                rgb_red=1.08,
                rgb_blue=0.85,
                rgb_saturation=0.8,
                rgb_blur=1.2,
                rgb_noise=0.03,
                rgb_compression=0.18,
                depth_near=8,
                depth_far=24,
                depth_blur=3.0,
                depth_wander=0.8,
                depth_levels=64,
                depth_dark_holes=0.4,
                infrared_exposure=0.9,
                infrared_exposure_spread=0.2,
                infrared_falloff=0.55,
                infrared_leak=0.22,
                infrared_noise=0.03,
                infrared_blur=0.8,
            ),
            mixture=_mixture(print=3, bent_print=1, replay=3, paper_mask=0.5, rigid_mask=1.2, flexible_mask=0.4),
            population=Population(
                tone=(0.05, 1.0), ink=(0.0, 0.7), craft=(0.1, 0.9), distance=(0.4, 0.85), light_strength=(0.5, 0.95)
            ),
        ),
        Domain(
            letter="P",
            description="Careful attacks before good infrared; far-ranging, domed, holey depth with little relief.",
            sensors=SensorProfile(
                rgb_exposure=1.25,
                rgb_exposure_spread=0.15,
                rgb_saturation=1.15,
                rgb_gamma=0.85,
                rgb_blur=0.3,
                rgb_noise=0.02,
                depth_near=25,
                depth_far=70,
                depth_anchor=0.8,
                depth_bulge=6.0,
                depth_noise=1.2,
                depth_wander=1.5,
                depth_holes=0.2,
                depth_levels=48,
                infrared_exposure=1.2,
                infrared_automatic=0.5,
                infrared_hotspot=0.3,
                infrared_noise=0.015,
                infrared_pupils=0.2,
            ),
            mixture=_mixture(
                print=1, replay=1, rigid_mask=1.5, flexible_mask=1.5, fake_head=1.5, glasses=1, bent_print=1
            ),
            population=Population(
                tone=(0.2, 1.0), ink=(0.0, 0.5), craft=(0.5, 1.0), distance=(0.5, 0.8), spectacles=0.35
            ),
        ),
        Domain(
            letter="S",
            description="Face crops, mostly prints in toner, bent or cut; fine depth, dim infrared, soft colours.",
            sensors=SensorProfile(
                rgb_exposure=0.95,
                rgb_exposure_spread=0.2,
                rgb_blue=1.15,
                rgb_red=0.92,
                rgb_saturation=0.7,
                rgb_gamma=1.15,
                rgb_blur=1.8,
                rgb_compression=0.25,
                rgb_vignette=0.3,
                depth_near=6,
                depth_far=14,
                depth_noise=0.4,
                depth_dark_holes=0.3,
                infrared_exposure=0.6,
                infrared_exposure_spread=0.4,
                infrared_falloff=1.0,
                infrared_hotspot=0.7,
                infrared_gamma=1.3,
                infrared_blur=1.5,
                infrared_noise=0.1,
                infrared_pupils=0.0,
            ),
            mixture=_mixture(print=1.5, bent_print=2, cut_print=4, glasses=0.7, paper_mask=1),
            population=Population(
                tone=(0.4, 1.0), ink=(0.5, 1.0), craft=(0.3, 1.0), distance=(0.35, 0.9), long_hair=0.5
            ),
        ),
    )
}


def domain_named(letter: str) -> Domain:
    """The domain with this letter. Raises ValueError naming the valid ones."""
    if letter not in DOMAINS:
        raise ValueError(f"unknown domain {letter!r}: valid names are {', '.join(DOMAINS)}")
    return DOMAINS[letter]
