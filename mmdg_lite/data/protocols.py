"""The six protocols as data: which domains train, which test, and what is missing or unseen; settings of one's own.

Names are those of the benchmark ("CPS->W": trained on C, P and S, tested on W) and hold for the real domains and for
the synthetic domains of the same letters alike.
"""

from dataclasses import dataclass

from mmdg_lite.data.real.lists import DOMAIN, LETTERS, ListError, ListRow, read_list
from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.modality import Modality

__all__ = ["LETTERS", "OWN", "PROTOCOLS", "ListError", "ListRow", "Setting", "own_setting", "read_list"]

Missing = tuple[Modality, ...]

OWN = "own"
"""The protocol whose settings say in their names which domains train and test, the user's own among them."""

NOTHING_MISSING: Missing = ()
WITHOUT_DEPTH: Missing = (Modality.DEPTH,)
WITHOUT_INFRARED: Missing = (Modality.INFRARED,)
WITHOUT_BOTH: Missing = (Modality.DEPTH, Modality.INFRARED)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One training run of a protocol and the tests made with it."""

    protocol: str  # "P1" .. "P6"
    name: str  # such as "CPS->W"
    sources: tuple[str, ...]  # domains whose training lists train, and whose validation lists choose and calibrate
    targets: tuple[str, ...]  # domains whose test lists test
    missing: tuple[Missing, ...] = (NOTHING_MISSING,)  # one test per entry, without these modalities
    left_out_species: str | None = None  # attack species kept out of training and validation, and alone tested (P4)
    modality_dropout: float = 0.0  # probability with which a modality is dropped from a training sample (P5)
    synthetic_only: bool = False  # True where no real domain can be tested so
    deployments: bool = False  # tests on the frozen deployments and reliability curves too (P6)


RANDOM_MISSING = 0.7
"""Probability with which a test with modalities missing at random takes each from a sample, that of a sibling work."""

# species that WMCA's file names tell apart
WMCA_SPECIES = ("print", "replay", "fake_head", "paper_mask", "rigid_mask", "flexible_mask", "glasses")

_LEAVE_ONE_OUT = ("CPS->W", "CPW->S", "CSW->P", "PSW->C")
_LIMITED_SOURCES = ("CW->PS", "PS->CW")


def _domains(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sources and targets from a name such as "CW->PS"."""
    sources, targets = name.split("->")
    return tuple(sources), tuple(targets)


def own_setting(name: str) -> Setting:
    """Trained on some domains and tested on others, by a name such as "kiosk+lab->office".

    Domains are folders of the data root, or letters of the synthetic domains. A domain on both sides is trained and
    tested by its own lists. Raises `ValueError` for a name of another form.
    """
    sides = [tuple(side.split("+")) for side in name.split("->")]
    if len(sides) != 2 or not all(DOMAIN.fullmatch(domain) for side in sides for domain in side):
        raise ValueError(f"setting {name!r}: write sources->targets, several with + between, as in kiosk+lab->office")
    if repeated := [domain for side in sides for domain in side if side.count(domain) > 1]:
        raise ValueError(f"setting {name!r} names domain {repeated[0]} twice on one side")
    sources, targets = sides
    return Setting(protocol=OWN, name=name, sources=sources, targets=targets)


def _protocol(
    protocol: str,
    names: tuple[str, ...],
    *,
    missing: tuple[Missing, ...] = (NOTHING_MISSING,),
    modality_dropout: float = 0.0,
    deployments: bool = False,
) -> dict[str, Setting]:
    settings = {}
    for name in names:
        sources, targets = _domains(name)
        settings[name] = Setting(
            protocol=protocol,
            name=name,
            sources=sources,
            targets=targets,
            missing=missing,
            modality_dropout=modality_dropout,
            synthetic_only=deployments,
            deployments=deployments,
        )
    return settings


def _unseen_attacks() -> dict[str, Setting]:
    """P4: within one domain, training and validation without one species, testing on live faces and that species.

    Every species that a synthetic domain has; of the real domains only W, whose names tell all of them.
    """
    settings = {}
    for letter, domain in DOMAINS.items():
        for species in (name for name, share in domain.mixture.items() if share and name != LIVE):
            name = f"{letter} without {species}"
            settings[name] = Setting(
                protocol="P4",
                name=name,
                sources=(letter,),
                targets=(letter,),
                left_out_species=species,
                synthetic_only=letter != "W" or species not in WMCA_SPECIES,
            )
    return settings


PROTOCOLS: dict[str, dict[str, Setting]] = {
    # fixed modalities, leave one domain out
    "P1": _protocol("P1", _LEAVE_ONE_OUT),
    # the same runs tested without depth, without infrared, without both; papers report means over the four targets
    "P2": _protocol("P2", _LEAVE_ONE_OUT, missing=(WITHOUT_DEPTH, WITHOUT_INFRARED, WITHOUT_BOTH)),
    # limited sources
    "P3": _protocol("P3", _LIMITED_SOURCES),
    # unseen attacks
    "P4": _unseen_attacks(),
    # flexible modalities: dropped in training and at test
    "P5": _protocol(
        "P5",
        _LEAVE_ONE_OUT,
        missing=(NOTHING_MISSING, WITHOUT_DEPTH, WITHOUT_INFRARED, WITHOUT_BOTH),
        modality_dropout=0.3,
    ),
    # ours: the runs of P1 tested on frozen deployments and on reliability curves, see `data.deployments`
    "P6": _protocol("P6", _LEAVE_ONE_OUT, deployments=True),
}
