"""The sentences that describe a live face and a spoof to CLIP, nine of each per modality.

They paraphrase "a photo of a real / spoof face in the M modality, captured by an M camera". Every sentence ends in a
suffix with placeholder tokens, where the learnable context vectors of a domain are put.
"""

from mmdg_lite.modality import MODALITIES, Modality

PLACEHOLDER = "x"

LIVE_TEMPLATES: tuple[str, ...] = (
    "a photo of a real face in the {name} modality, captured by {article} {name} camera",
    "{article} {name} photo of the face of a live person",
    "a real human face, seen by {article} {name} camera",
    "this is a genuine face in the {name} modality",
    "a bona fide face, recorded by {article} {name} sensor",
    "{article} {name} image of a real living person",
    "a true face of skin in {article} {name} picture",
    "the {name} camera shows a real face, not a fake one",
    "an authentic face in a photo of the {name} modality",
)

SPOOF_TEMPLATES: tuple[str, ...] = (
    "a photo of a spoof face in the {name} modality, captured by {article} {name} camera",
    "{article} {name} photo of a fake face",
    "a fake human face, seen by {article} {name} camera",
    "this is a presentation attack in the {name} modality",
    "a spoof face, recorded by {article} {name} sensor",
    "{article} {name} image of a printed, replayed or masked face",
    "a false face of paper or plastic in {article} {name} picture",
    "the {name} camera shows a fake face, not a real one",
    "an imitation of a face in a photo of the {name} modality",
)

SUFFIX = "within the deployment environment of {placeholders}"

_SPOKEN = {Modality.RGB: ("an", "RGB"), Modality.DEPTH: ("a", "depth"), Modality.INFRARED: ("an", "infrared")}


def sentences(modality: Modality, *, live: bool, context: int = 0) -> list[str]:
    """The nine sentences for one modality and class, each with `context` placeholders at its end (none: no suffix)."""
    article, name = _SPOKEN[modality]
    templates = LIVE_TEMPLATES if live else SPOOF_TEMPLATES
    bare = [template.format(article=article, name=name) for template in templates]
    if context == 0:
        return bare
    suffix = SUFFIX.format(placeholders=" ".join([PLACEHOLDER] * context))
    return [f"{sentence}, {suffix}" for sentence in bare]


def all_sentences(context: int) -> list[list[list[str]]]:
    """Sentences indexed by modality, then 0 live / 1 spoof, then template."""
    return [[sentences(modality, live=live, context=context) for live in (True, False)] for modality in MODALITIES]
