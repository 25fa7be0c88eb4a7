"""The phrases that captions are made of."""

_SAYS_REAL = ("live", "living", "alive", "real", "genuine", "authentic", "bona", "fide", "bonafide", "true", "truth")
_SAYS_FAKE = ("false", "fake", "faked", "spoof", "spoofed", "spoofing", "attack", "attacks", "presentation")
_SAYS_HOW = ("imitation", "replica", "replay", "replayed", "mask", "masked")
REALITY_WORDS = frozenset((*_SAYS_REAL, *_SAYS_FAKE, *_SAYS_HOW))
"""Words that no caption of a face contains."""

PHOTOS: dict[str, tuple[str, ...]] = {
    "rgb": ("an RGB photo", "a color photo", "an RGB image", "a color picture", "an RGB picture"),
    "depth": ("a depth photo", "a depth image", "a depth map", "a depth picture"),
    "infrared": ("an infrared photo", "an infrared image", "a near infrared photo", "an infrared picture"),
    "": ("a photo", "an image", "a picture"),
}
"""How a picture of a modality is called; "" leaves the modality open."""

CAPTURED: dict[str, tuple[str, ...]] = {
    "rgb": ("in the RGB modality", "captured by an RGB camera", "seen by a color camera", "recorded by an RGB sensor"),
    "depth": ("in the depth modality", "captured by a depth camera", "recorded by a depth sensor", "seen as depth"),
    "infrared": (
        "in the infrared modality",
        "captured by an infrared camera",
        "recorded by an infrared sensor",
        "seen in infrared light",
    ),
}

SHOWN: dict[str, tuple[str, ...]] = {
    "rgb": ("the RGB camera shows", "this is an RGB photo of", "the color camera shows"),
    "depth": ("the depth camera shows", "this is a depth photo of"),
    "infrared": ("the infrared camera shows", "this is an infrared photo of"),
}

DETAILS: dict[str, dict[str, tuple[str, ...]]] = {
    "material": {
        "skin": ("of skin", "with skin", "the surface is skin"),
        "paper": ("of paper", "printed on paper", "on plain paper", "the surface is paper"),
        "photo paper": ("of photo paper", "printed on photo paper", "on shiny photo paper"),
        "screen": ("on a screen", "shown on a screen", "displayed by a screen"),
        "cardboard": ("of cardboard", "made of cardboard", "the surface is cardboard"),
        "plastic": ("of plastic", "made of plastic", "the surface is plastic"),
        "resin": ("of resin", "made of resin", "the surface is resin"),
        "silicone": ("of silicone", "made of silicone", "the surface is silicone"),
        "plaster": ("of plaster", "made of plaster", "the surface is plaster"),
        "ceramic": ("of ceramic", "made of ceramic"),
        "metal": ("of metal", "made of metal"),
        "wood": ("of wood", "made of wood"),
        "glass": ("of glass", "made of glass"),
        "rubber": ("of rubber", "made of rubber"),
        "fruit": ("of fruit", "grown as fruit"),
    },
    "form": {
        "relief": ("in full relief", "with a solid shape", "in three dimensions"),
        "flat": ("flat", "without relief", "on a flat sheet", "flat like a sheet"),
        "bent": ("on a bent sheet", "curved like a bent sheet", "on a curved sheet"),
        "folded": ("folded from a sheet", "with a folded shape"),
        "cut": ("on a sheet with holes", "with holes cut into a flat sheet"),
    },
    "gloss": {
        "glossy": ("glossy", "shiny", "with a shiny surface"),
        "matt": ("matt", "dull", "with a matt surface"),
    },
    "yaw": {
        "left": ("turned to the left", "looking left"),
        "right": ("turned to the right", "looking right"),
        "front": ("facing the camera", "seen from the front"),
    },
    "pitch": {"up": ("tilted up", "looking up"), "down": ("tilted down", "looking down")},
    "distance": {
        "near": ("close to the camera", "near and large"),
        "far": ("far from the camera", "distant and small"),
    },
    "hair": {
        "none": ("bald", "without hair"),
        "short": ("with short hair",),
        "long": ("with long hair",),
    },
    "hair_colour": {
        "black": ("with black hair",),
        "brown": ("with brown hair",),
        "blond": ("with blond hair",),
        "grey": ("with grey hair",),
        "red": ("with red hair",),
    },
    "beard": {"beard": ("with a beard", "bearded"), "shaven": ("without a beard", "shaven")},
    "glasses": {
        "none": ("without glasses",),
        "thin": ("with thin glasses", "wearing thin glasses"),
        "thick": ("with thick glasses", "wearing thick glasses"),
        "patterned": ("with patterned paper glasses", "wearing patterned glasses"),
    },
    "tone": {"dark": ("with a dark complexion",), "light": ("with a light complexion", "with a pale complexion")},
    "smile": {"smiling": ("smiling", "with a smile"), "serious": ("serious", "with a serious mouth")},
    "colour": {
        name: (f"painted {name}", f"of {name} color")
        for name in ("red", "orange", "yellow", "green", "blue", "purple", "white", "black", "brown")
    },
    "background": {
        "plain": ("before a plain wall", "with a plain background"),
        "gradient": ("with a shaded background",),
        "textured": ("with a textured background",),
        "shelves": ("before shelves", "with shelves behind"),
        "window": ("before a window", "with a window behind"),
    },
    "light": {
        "left": ("lit from the left", "with light from the left"),
        "right": ("lit from the right", "with light from the right"),
    },
    "brightness": {"dark": ("in the dark", "underexposed"), "bright": ("in bright light", "overexposed")},
    "warmth": {"warm": ("in warm light",), "cool": ("in cool light", "in bluish light")},
    "noise": {"noisy": ("with noise", "grainy", "noisy"), "clean": ("clean", "without noise")},
    "blur": {"blurred": ("blurred", "out of focus"), "sharp": ("sharp", "in focus")},
    "compression": {"blocky": ("compressed", "with blocks of compression")},
    "saturation": {"pale": ("with pale colors",), "vivid": ("with vivid colors",)},
    "holes": {"holes": ("with missing patches", "with gaps in the depth"), "complete": ("without gaps",)},
    "range": {"inverted": ("where near is dark",), "usual": ("where near is bright",)},
    "steps": {"coarse": ("in coarse steps",), "fine": ("in fine steps",)},
    "spot": {"spot": ("with a bright spot of light in the middle",), "even": ("evenly lit",)},
}
"""What can be said of each attribute and value after the subject of a sentence; the first is used for retrieval."""

FACES = ("a face", "a human face", "the face of a person", "a person", "a human", "the face of a human")

REAL: tuple[str, ...] = (
    "a real {thing}",
    "a genuine {thing}",
    "an authentic {thing}",
    "a true {thing}",
    "a bona fide {thing}",
    "a real live {thing}",
    "a live view of a real {thing}",
    "a {thing} that is real",
    "a real {thing}, not a fake one",
    "a genuine {thing}, not an imitation",
    "a real {thing}, no presentation attack",
)
FAKE: tuple[str, ...] = (
    "a fake {thing}",
    "a false {thing}",
    "a spoof {thing}",
    "a spoof of a {thing}",
    "an imitation of a {thing}",
    "a {thing} that is fake",
    "a fake {thing}, not a real one",
    "a presentation attack, not a real {thing}",
    "a presentation attack with a {thing}",
)
FAKE_OF: dict[str, tuple[str, ...]] = {
    "print": (
        "a fake {thing}: a printed picture of a {thing}",
        "a printed {thing}, not a real {thing}",
        "a spoof: a {thing} printed on a sheet",
        "a printed imitation of a {thing}",
    ),
    "replay": (
        "a {thing} on a screen, not a real {thing}",
        "a fake {thing}: a {thing} replayed on a screen",
        "a spoof: a {thing} shown on a screen",
        "a replayed {thing}",
    ),
    "replica": (
        "a plastic replica of a {thing}",
        "a fake {thing}: a plastic replica",
        "a plastic {thing}, not a real one",
        "a spoof: a {thing} of plastic",
    ),
}
NEUTRAL = ("a {thing}", "the {thing}")
