"""The diagrams: in step with their sources, well formed, legible at 700 pixels, and true to the package."""

import io
import json
import math
import re
import shlex
from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import numpy as np
import open_clip
import pytest
import torch
from matplotlib import font_manager
from PIL import Image, ImageFont

import data_prep.__main__ as preparation
import mmdg_lite.__main__ as package
from figures.diagrams import canvas, data_flow, training_step, u_adapter
from figures.diagrams.__main__ import FOLDER, SOURCES, diagrams
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import COLOURS
from mmdg_lite.regrad import regrad

ROOT = FOLDER.parents[1]
SVG = "{http://www.w3.org/2000/svg}"
DIAGRAMS = diagrams()
every_diagram = pytest.mark.parametrize("name", sorted(DIAGRAMS))
every_source = pytest.mark.parametrize("name", sorted(SOURCES))


def elements(name: str) -> ElementTree.Element:
    return ElementTree.fromstring(DIAGRAMS[name])


# files ----------------------------------------------------------------------------------------------------------------


def test_committed_files_are_those_of_the_sources():
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert sorted(committed) == sorted(DIAGRAMS)
    stale = [name for name in committed if committed[name] != DIAGRAMS[name]]
    assert not stale, "run python -m figures.diagrams"


@every_diagram
def test_title_and_description_are_for_readers_who_cannot_see(name):
    root = elements(name)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby", "").split() == [title.get("id"), description.get("id")]
    assert title.text and len(description.text.split()) > 40


def test_titles_differ():
    titles = [elements(name).find(f"{SVG}title").text for name in DIAGRAMS]
    assert len(set(titles)) == len(titles)


@every_diagram
def test_nothing_is_loaded_from_elsewhere(name):
    text = DIAGRAMS[name]
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|<script|<style|<foreignObject|<use", text)
    for element in elements(name).iter():
        for key, value in element.attrib.items():
            assert not key.endswith("href") or value.startswith("data:image/png;base64,")


# legible --------------------------------------------------------------------------------------------------------------


@cache
def font(bold: bool, mono: bool, size: float) -> ImageFont.FreeTypeFont:
    """DejaVu, the widest of the fonts that are asked for."""
    properties = font_manager.FontProperties(
        family="DejaVu Sans Mono" if mono else "DejaVu Sans", weight="bold" if bold else "normal"
    )
    return ImageFont.truetype(font_manager.findfont(properties, fallback_to_default=False), size)


def pieces(element: ElementTree.Element) -> list[tuple[str, float]]:
    """Pieces of one line of text with their sizes."""
    size = float(element.attrib["font-size"])
    found = [(element.text or "", size)]
    for span in element:
        found += [(span.text or "", float(span.get("font-size", size))), (span.tail or "", size)]
    return [(text, at) for text, at in found if text]


def extent(element: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of one line of text."""
    bold, mono = element.get("font-weight") == "bold", "font-family" in element.attrib
    width = sum(font(bold, mono, size).getlength(text) for text, size in pieces(element))
    x, y, size = (float(element.attrib[key]) for key in ("x", "y", "font-size"))
    left = x - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")]
    return left, y - 0.72 * size, left + width, y + 0.2 * size


def words(element: ElementTree.Element) -> str:
    return "".join(element.itertext())


@every_diagram
def test_text_is_large_enough_at_700_pixels(name):
    root = elements(name)
    scale = 700 / float(root.attrib["viewBox"].split()[2])
    sizes = [size * scale for element in root.iter(f"{SVG}text") for _, size in pieces(element)]
    assert len(sizes) > 20
    assert min(sizes) >= 11


@every_source
def test_no_text_lies_on_another_or_leaves_the_panel(name):
    root = elements(f"{name}.svg")
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    texts = [(words(element), extent(element)) for element in root.iter(f"{SVG}text")]
    for text, (left, top, right, bottom) in texts:
        assert left >= 8 and right <= width - 8 and top >= 8 and bottom <= height - 8, text
    for (one, a), (other, b) in combinations(texts, 2):
        assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1]), f"{one!r} on {other!r}"


@every_source
def test_text_in_a_box_fits(name):
    root = elements(f"{name}.svg")
    boxes = [tuple(float(box.attrib[key]) for key in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")]
    checked = 0
    for element in root.iter(f"{SVG}text"):
        left, top, right, bottom = extent(element)
        across, down = (left + right) / 2, (top + bottom) / 2
        for x, y, w, h in boxes:
            if x < across < x + w and y < down < y + h:
                checked += 1
                assert left >= x and right <= x + w and top >= y and bottom <= y + h, (
                    f"{words(element)} in {x, y, w, h}"
                )
    assert checked > 10


# colours --------------------------------------------------------------------------------------------------------------


def test_modalities_look_as_in_every_other_figure():
    titles = {m.value: m.title for m in MODALITIES}
    assert (COLOURS, titles) == (canvas.MODALITIES, canvas.NAMES)


def test_no_colour_means_two_things():
    style = matplotlib.rc_params_from_file(ROOT / "mmdg_lite" / "assets" / "mmdg.mplstyle", use_default_template=False)
    colours = {colour.lstrip("#").upper() for colour in style["axes.prop_cycle"].by_key()["color"]}
    assert canvas.TRAINABLE.lstrip("#") in colours
    assert len({canvas.TRAINABLE, canvas.FROZEN, *canvas.MODALITIES.values()}) == 5


def groups(name: str) -> list[tuple[str, bool, list[dict[str, str]]]]:
    """Every group of a diagram: its part, whether it is greyed, and the attributes of its shapes."""
    found = []
    for group in elements(name).iter(f"{SVG}g"):
        part, *more = group.attrib["class"].split()
        found.append((part, more == ["greyed"], [dict(shape.attrib) for shape in group]))
    return found


def is_grey(colour: str) -> bool:
    return colour == "none" or len({colour[i : i + 2] for i in (1, 3, 5)}) == 1


@every_source
def test_variants_differ_from_the_whole_in_colour_only(name):
    whole = groups(f"{name}.svg")
    assert not any(greyed for _, greyed, _ in whole)
    for variant, (_, parts) in SOURCES[name].VARIANTS.items():
        found = groups(f"{name}_{variant}.svg")
        assert len(found) == len(whole)
        for (part, greyed, shapes), (_, _, drawn) in zip(found, whole, strict=True):
            assert greyed == (part not in parts | {"legend"})
            if not greyed:
                assert shapes == drawn
            else:
                assert all(is_grey(shape[key]) for shape in shapes for key in ("fill", "stroke") if key in shape)


def test_a_part_that_is_not_there_is_refused():
    drawing = canvas.Canvas(10, title="", description="", shown=frozenset({"nowhere"}))
    with pytest.raises(ValueError, match="nowhere"):
        drawing.svg()


# truth ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", training_step.CASES)
@pytest.mark.parametrize("branch", [0, 1])
def test_drawn_vectors_are_what_regrad_computes(case, branch):
    """RGB is the fastest; depth's gradient is what RGB's is projected onto, and infrared's is zero."""
    onto, gradient = torch.tensor(training_step.BASE), torch.tensor(training_step.CASES[case])
    given = [gradient, onto, torch.zeros(2)]
    expected = regrad(given, branch, 0, [training_step.CERTAINTY, 0.1, 0.2])
    assert training_step.balanced(training_step.BASE, training_step.CASES[case]) == pytest.approx(expected.tolist())


def test_the_fastest_has_the_lowest_average():
    assert min(training_step.AVERAGES, key=training_step.AVERAGES.__getitem__) == "rgb"


def test_commands_and_subcommands_exist():
    lines = [words(element) for element in elements("data_flow.svg").iter(f"{SVG}text")]
    spoken = [shlex.split(line)[2:] for line in lines if line.startswith("python -m")]
    parsers = {"mmdg_lite": package.parser(), "data_prep": preparation._parser()}
    called = {program: {rest[0] for name, *rest in spoken if name == program and rest} for program in parsers}
    called["data_prep"] |= {command for *_, command in data_flow.SOURCES}
    assert called["mmdg_lite"] == {"train", "evaluate", "tables", "reproduce"}
    for program, *rest in spoken:
        if rest:
            parsers[program].parse_args(rest)
    commands = {
        program: set(next(action for action in parser._actions if action.dest == "command").choices)
        for program, parser in parsers.items()
    }
    assert called["data_prep"] == commands["data_prep"]


def test_sizes_of_both_clips():
    tiny = json.loads((ROOT / "mmdg_lite" / "assets" / "tiny_clip.json").read_text())["vision_cfg"]
    large = open_clip.get_model_config("ViT-B-16")["vision_cfg"]
    adapter = " ".join(words(element) for element in elements("u_adapter.svg").iter(f"{SVG}text"))
    for sizes in (tiny, large):
        grid = sizes["image_size"] // sizes["patch_size"]
        assert f"C = {sizes['width']}, N = 1 + {grid}2" in adapter
    model = " ".join(words(element) for element in elements("mmdgplusplus.svg").iter(f"{SVG}text"))
    assert f"{large['layers']} blocks in ViT-B/16, {tiny['layers']} in the tiny CLIP" in model


def test_drawn_certainty_is_that_of_the_drawn_spread():
    widths = [float(e.attrib["width"]) for e in elements("u_adapter.svg").iter(f"{SVG}rect") if e.get("height") == "20"]
    for whole, part, spread in zip(widths[::2], widths[1::2], u_adapter.SPREADS.values(), strict=True):
        assert part / whole == pytest.approx(math.exp(-2.5 * spread**2), abs=1e-3)


@pytest.mark.parametrize("species", ["live", "replay"])
def test_faces_are_the_renderers(species):
    faces = render("P", 4, 7, species=species, size=64)
    for name in canvas.NAMES:
        drawn = np.asarray(Image.open(io.BytesIO((FOLDER / "faces" / f"{species}_{name}.png").read_bytes())))
        rendered = getattr(faces, name)[3].transpose(1, 2, 0)
        assert np.array_equal(drawn.reshape(rendered.shape), rendered)
