"""Pictures of samples show what they are given."""

import io

import numpy as np
import pytest
from PIL import Image

from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import make_batch
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots import faces


def test_a_sheet_shows_every_image_and_says_what_is_missing():
    images = {m: np.full((6, 4, 3 if m is Modality.RGB else 1), 9, np.uint8) for m in MODALITIES}
    del images[Modality.DEPTH]
    figure = faces.sheet([("one", images), ("two", images)])
    assert len(figure.axes) == 6
    assert [axes.images[0].get_array().shape[:2] for axes in figure.axes if axes.images] == [(6, 4)] * 4
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["missing"] * 2
    assert "RGB, 4 x 6" in {axes.get_title(loc="left") for axes in figure.axes}
    with pytest.raises(ValueError, match="at least one sample"):
        faces.sheet([])


def test_a_grid_has_its_rows_and_columns():
    image = np.zeros((5, 5, 1), np.uint8)
    assert len(faces.grid([[image, image]], rows=["a"], columns=["b", "c"]).axes) == 2
    with pytest.raises(ValueError, match="1 rows of 2 images"):
        faces.grid([[image]], rows=["a"], columns=["b", "c"])


def test_holes_and_saturated_pixels_are_measured():
    depth = [np.array([[0, 0], [0, 5]], np.uint8), np.array([[0, 5], [5, 5]], np.uint8), np.full((2, 2), 5, np.uint8)]
    infrared = [np.array([[250, 249], [1, 1]], np.uint8)] * 3
    assert faces.measure(depth, infrared) == ([0.75, 0.25, 0.0], [0.25] * 3)


def test_pixels_undo_the_normalisation():
    dataset = ArrayDataset.from_faces(render("W", 2, 0, size=32), domain="W", split="test")
    batch = make_batch(dataset.read([0, 1]), source_domains=("W",))
    for modality in MODALITIES:
        shown = faces.pixels(batch, modality, 1)
        assert np.array_equal(shown[..., :1], dataset[1][modality.value].transpose(1, 2, 0)[..., :1])


def test_a_photo_is_a_jpeg_of_the_figure():
    figure = faces.grid([[np.full((5, 5, 3), 200, np.uint8)]], rows=["a"], columns=["b"])
    with Image.open(io.BytesIO(faces.photo(figure, dpi=50).data)) as image:
        assert image.format == "JPEG" and image.size[0] > 40
        narrow = image.size[0]
    with Image.open(io.BytesIO(faces.photo(figure).data)) as image:
        assert image.size[0] == pytest.approx(3 * narrow, rel=0.05)  # 150 dpi by default
