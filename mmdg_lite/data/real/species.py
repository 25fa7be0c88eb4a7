"""Attack species and subject of a clip, read from its folder's name, for the three data sets whose names tell them."""

import re

LIVE = "live"

_WMCA_CLIP = re.compile(r"WMCA-Image/R_CDIT/(\d{3})_(\d{2})_(\d{3})_(\d)_(\d{2})")
_SURF_CLIP = re.compile(r"CASIA-SURF-CROP/(real_part|fake_part)/[A-Za-z_]+/([A-Za-z0-9_-]+)/(\w+)\.rssdk")
_CEFA_RACE_CLIP = re.compile(r"CeFA/CeFA-Race/(?:AF|CA|EA)/([A-Z]{2}-\d+)/\d+_\d+_\d_\d_(\d)")
_CEFA_MASK_CLIP = re.compile(r"CeFA/CeFA-Mask/(3D-Mask|Silicone-Mask)/(\d+)/\d+(?:_\d+)+")

# Presentation instruments (PAI) of WMCA by presentation type.
_WMCA_PAI: dict[int, dict[str, frozenset[int]]] = {
    1: {
        "rigid_mask": frozenset({2, 13, 14}),
        "glasses": frozenset({1, 4, 5, 6, 7, 15, 16}),
    },
    2: {
        "fake_head": frozenset(range(1, 8)),
        "paper_mask": frozenset(range(8, 12)),
        "rigid_mask": frozenset(range(12, 18)),
        "flexible_mask": frozenset({18, *range(75, 100)}),
    },
    3: {
        "print": frozenset({*range(1, 5), *range(6, 10), *range(11, 15)}),
        "replay": frozenset({5, 10, 15}),
    },
    4: {"replay": frozenset(range(100))},
}

# what the last number of a CeFA clip says: real, printed on cloth, printed on paper, shown on a screen
_CEFA_KINDS = {"1": LIVE, "2": "print", "3": "print", "4": "replay"}

# what was cut out of the printed face, and how the sheet was held
_SURF_KINDS = ("01_e_s", "02_e_b", "03_en_s", "04_en_b", "05_enm_s", "06_enm_b")


def wmca_kind(presentation: int, instrument: int) -> str:
    """Species of a WMCA video from its type and PAI number: "live" for type 0, "other" if neither is known."""
    if presentation == 0:
        return LIVE
    kinds = _WMCA_PAI.get(presentation, {})
    return next((species for species, numbers in kinds.items() if instrument in numbers), "other")


def wmca_species(clip: str, label: int) -> tuple[str, str]:
    """(species, subject) of `WMCA-Image/R_CDIT/<client>_<session>_<presenter>_<type>_<pai>`.

    Raises `ValueError` if the name has another form, or if it says live where the list says spoof or the reverse.
    """
    found = _WMCA_CLIP.fullmatch(clip)
    if not found:
        raise ValueError(f"{clip!r} is not of the form WMCA-Image/R_CDIT/<client>_<session>_<presenter>_<type>_<pai>")
    client, _, _, presentation, instrument = found.groups()
    species = wmca_kind(int(presentation), int(instrument))
    _agree(clip, live=species == LIVE, label=label)
    return species, client


def surf_species(clip: str, label: int) -> tuple[str, str]:
    """(species, subject) of `CASIA-SURF-CROP/<real_part|fake_part>/<split>/<client>/<kind>.rssdk`.

    The species of an attack is its kind, `01_e_s` (eyes cut out, sheet still) to `06_enm_b` (eyes, nose and mouth cut
    out, sheet bent). Raises `ValueError` for another form, an unknown kind, or a label that the folder contradicts.
    """
    found = _SURF_CLIP.fullmatch(clip)
    if not found:
        raise ValueError(f"{clip!r} is not of the form CASIA-SURF-CROP/<part>/<split>/<client>/<kind>.rssdk")
    part, client, kind = found.groups()
    if (part == "real_part") != (kind == "real") or (part == "fake_part") != (kind in _SURF_KINDS):
        raise ValueError(f"{clip!r}: {part} does not hold clips of kind {kind!r}")
    _agree(clip, live=kind == "real", label=label)
    return (LIVE if kind == "real" else kind), client


def cefa_species(clip: str, label: int) -> tuple[str, str]:
    """(species, subject) of a clip of CeFA.

    The last number of a Race clip says what it shows: 1 a live face, 2 a print on cloth, 3 one on paper (both `print`),
    4 a screen (`replay`). Mask clips are `3d_mask` or `silicone_mask`. Raises `ValueError` for another form or number,
    or a label that the name contradicts.
    """
    if found := _CEFA_RACE_CLIP.fullmatch(clip):
        subject, kind = found.groups()
        if kind not in _CEFA_KINDS:
            raise ValueError(f"{clip!r}: the last number must be one of {', '.join(_CEFA_KINDS)}")
        species = _CEFA_KINDS[kind]
        _agree(clip, live=species == LIVE, label=label)
        return species, subject
    if found := _CEFA_MASK_CLIP.fullmatch(clip):
        _agree(clip, live=False, label=label)
        return {"3D-Mask": "3d_mask", "Silicone-Mask": "silicone_mask"}[found[1]], f"{found[1]}-{found[2]}"
    raise ValueError(f"{clip!r} is neither a clip of CeFA/CeFA-Race nor of CeFA/CeFA-Mask")


def _agree(clip: str, *, live: bool, label: int) -> None:
    """Raise if the name of a clip contradicts the list's label."""
    if live != bool(label):
        kinds = ("an attack", "live")
        raise ValueError(
            f"{clip!r} is {kinds[live]} by its name but {kinds[label]} by its label; if all lines are so, the list "
            "counts live as 0 and attacks as 1: write 1 for live and 0 for attacks"
        )
