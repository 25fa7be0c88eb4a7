"""Captions of rendered scenes: what a picture shows of the physical world, in varied English sentences.

Faces, live or not, are described by physical attributes alone: material, form, gloss, pose, light, hair, glasses,
background, sensor. No caption of a face says whether it is real. Such words stand on objects only ("a real cup",
"a cup on a screen, not a real cup"), so that their meaning has to carry over from objects to faces.

A *fact* is an attribute with a value ("material" is "paper"). `facts_of` lists the facts that a modality can show of a
scene; `write_caption` picks some of them and says them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mmdg_lite.data.renderer.scenes import OBJECTS
from mmdg_lite.data.renderer.sensors import SensorProfile
from mmdg_lite.modality import Modality
from mmdg_lite.pretraining.phrases import CAPTURED, DETAILS, FACES, FAKE, FAKE_OF, NEUTRAL, PHOTOS, REAL, SHOWN

Facts = dict[str, str]
"""Attribute to value."""

_VISIBLE: dict[Modality, frozenset[str]] = {
    Modality.RGB: frozenset(DETAILS) - {"holes", "range", "steps", "spot"},
    Modality.DEPTH: frozenset(
        ("form", "yaw", "pitch", "distance", "hair", "noise", "blur", "holes", "range", "steps"),
    ),
    Modality.INFRARED: frozenset(
        set(DETAILS)
        - {"hair_colour", "tone", "smile", "colour", "light", "brightness", "warmth", "compression", "saturation"}
        - {"holes", "range", "steps"}
    ),
}
_NUMBER_OF_DETAILS = (0.05, 0.2, 0.3, 0.25, 0.2)  # probability of 0, 1, ... details


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence and the facts that it states."""

    text: str
    stated: frozenset[tuple[str, str]]


def facts_of(attributes: Mapping[str, str | float | bool], profile: SensorProfile, modality: Modality) -> Facts:
    """What an image in this modality can show of a scene.

    Args:
        attributes: of one scene, from `Scenes.attributes`.
        profile: the sensors that took the image.
        modality: of the image.

    Returns:
        Attributes with a clear value; what is neither here nor there (a slight turn of the head) is left out. Faces
        have no attribute that tells live from attack; objects have "reality" and "presentation".
    """
    is_face = attributes["kind"] == "face"
    number = {name: float(value) for name, value in attributes.items() if isinstance(value, int | float)}
    seen: dict[str, str | None] = {
        name: str(attributes[name]) for name in ("material", "form", "hair", "glasses", "background")
    }
    seen |= {
        "gloss": _grade(number["gloss"], 0.15, 0.45, "matt", "glossy"),
        "yaw": "front" if abs(number["yaw"]) < 0.05 else _grade(number["yaw"], -0.12, 0.12, "left", "right"),
        "pitch": _grade(number["pitch"], -0.08, 0.08, "down", "up"),
        "distance": _grade(number["distance"], 0.55, 0.9, "near", "far"),
        "light": _grade(number["light_azimuth"], -0.35, 0.35, "left", "right") if number["ambient"] < 0.6 else None,
        "warmth": _grade(number["warmth"], -0.3, 0.3, "cool", "warm"),
        "brightness": _grade(number["light_strength"] * profile.rgb_exposure, 0.65, 1.3, "dark", "bright"),
        "compression": "blocky" if profile.rgb_compression > 0.35 else None,
        "saturation": _grade(profile.rgb_saturation, 0.7, 1.15, "pale", "vivid"),
        "holes": _grade(profile.depth_holes, 0.001, 0.07, "complete", "holes"),
        "range": "inverted" if profile.depth_inverted else "usual",
        "steps": _grade(profile.depth_levels, 70, 200, "coarse", "fine"),
        "spot": _grade(profile.infrared_hotspot, 0.05, 0.4, "even", "spot"),
    }
    noise, blur = {
        Modality.RGB: (profile.rgb_noise / 0.06, profile.rgb_blur / 2.5),
        Modality.DEPTH: (profile.depth_noise / 0.6, profile.depth_blur / 4),
        Modality.INFRARED: (profile.infrared_noise / 0.07, profile.infrared_blur / 2),
    }[modality]  # 0 none .. 1 the most that is usual
    seen |= {"noise": _grade(noise, 0.1, 0.6, "clean", "noisy"), "blur": _grade(blur, 0.1, 0.6, "sharp", "blurred")}
    if is_face:
        seen |= {
            "hair_colour": str(attributes["hair_colour"]) if attributes["hair"] != "none" else None,
            "beard": "beard" if attributes["beard"] else "shaven",
            "tone": _grade(number["tone"], 0.35, 0.65, "dark", "light"),
            "smile": _grade(number["smile"], -0.5, 0.5, "serious", "smiling"),
        }
    else:
        seen |= {"hair": None, "glasses": None, "colour": str(attributes["colour"])}
    facts = {name: value for name, value in seen.items() if value is not None and name in _VISIBLE[modality]}
    facts |= {"subject": str(attributes["name"]), "modality": modality.value}
    if not is_face:
        presentation = str(attributes["species"]).removeprefix("bent_")
        facts |= {"presentation": presentation, "reality": "real" if presentation == "genuine" else "fake"}
    return facts


def write_caption(facts: Facts, rng: np.random.Generator) -> Caption:
    """A sentence about a random part of the facts: always the subject, mostly the modality, and some details."""
    stated = {"subject": facts["subject"]}
    if facts["subject"] == "face":
        subject = _pick(FACES, rng)
    else:
        subject = _pick(_object_sentences(facts, stated, rng), rng).format(thing=facts["subject"])
    details = [name for name in DETAILS if name in facts]
    weights = np.array([3.0 if name in ("material", "form") else 1.0 for name in details])
    count = min(int(rng.choice(len(_NUMBER_OF_DETAILS), p=_NUMBER_OF_DETAILS)), len(details))
    chosen = [details[i] for i in rng.choice(len(details), count, replace=False, p=weights / weights.sum())]
    stated |= {name: facts[name] for name in chosen}
    parts = [subject, *(_pick(DETAILS[name][facts[name]], rng) for name in chosen)]
    style = rng.random()
    if style < 0.85:
        stated["modality"] = facts["modality"]
    if style < 0.25:
        parts.append(_pick(CAPTURED[facts["modality"]], rng))
    elif style < 0.4:
        parts[0] = f"{_pick(SHOWN[facts['modality']], rng)} {parts[0]}"
    elif style < 0.95:
        photo = _pick(PHOTOS[facts["modality"] if style < 0.85 else ""], rng)
        parts[0] = f"{photo} of {parts[0]}"
    joined = parts[0] + "".join(f", {part}" if rng.random() < 0.6 else f" {part}" for part in parts[1:])
    text = re.sub(r"\ba (?=[aeiou])", "an ", joined)
    return Caption(text=text, stated=frozenset(stated.items()))


def caption_words() -> list[str]:
    """Texts that together hold every word of every caption: what a tokenizer has to know."""
    groups: list[Iterable[str]] = [FACES, REAL, FAKE, NEUTRAL, OBJECTS, ("a an of , :",)]
    for phrases in (PHOTOS, CAPTURED, SHOWN, FAKE_OF, *DETAILS.values()):
        groups += phrases.values()
    return [phrase.format(thing="") for group in groups for phrase in group]


def _object_sentences(facts: Facts, stated: Facts, rng: np.random.Generator) -> tuple[str, ...]:
    """The sentences to choose from for an object; what they state is added to `stated`."""
    chance = rng.random()
    if chance < 0.25:
        return NEUTRAL
    stated["reality"] = facts["reality"]
    if facts["reality"] == "real":
        return REAL
    if chance < 0.6:
        return FAKE
    stated["presentation"] = facts["presentation"]
    return FAKE_OF[facts["presentation"]]


def _grade(value: float, low: float, high: float, below: str, above: str) -> str | None:
    """`below` under the low limit, `above` over the high one, None between them."""
    return below if value <= low else above if value >= high else None


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
