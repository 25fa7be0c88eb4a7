"""HOG against scikit-image, PLGF against its definition, and what both are for: not to see brightness."""

import numpy as np
import pytest
import torch
from skimage.feature import hog

from mmdg_lite.models.infrared_channels import (
    draw_histograms,
    hog_channel,
    infrared_channels,
    orientation_histograms,
    plgf_channel,
)


@pytest.mark.parametrize("shape", [(64, 64), (61, 45), (24, 80)])
@pytest.mark.parametrize("orientations, cell", [(9, 8), (8, 16), (12, 5)])
def test_hog_is_drawn_as_scikit_image_draws_it(rng, shape, orientations, cell):
    image = rng.random(shape)
    _, expected = hog(
        image, orientations=orientations, pixels_per_cell=(cell, cell), cells_per_block=(1, 1), visualize=True
    )
    histograms = orientation_histograms(torch.from_numpy(image)[None], orientations=orientations, cell=cell)
    drawn = draw_histograms(histograms, cell=cell)[0].numpy()
    rows, columns = drawn.shape
    np.testing.assert_allclose(drawn, expected[:rows, :columns], atol=1e-6)
    assert expected.max() > 0.1 and not expected[rows:].any() and not expected[:, columns:].any()


def test_hog_of_grey_levels_in_float32_is_scikit_image_s(rng):
    """With whole grey levels many gradients lie exactly between two bins, or are exactly zero."""
    levels = rng.integers(0, 6, size=(3, 32, 32)) * 20
    drawn = draw_histograms(orientation_histograms(torch.from_numpy(levels / 255).float())).numpy()
    for image, ours in zip(levels / 255, drawn, strict=True):
        expected = hog(image, pixels_per_cell=(8, 8), cells_per_block=(1, 1), visualize=True)[1]
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_hog_channel_is_scaled_image_by_image_and_ignores_gain_and_offset(generator):
    images = torch.rand(2, 40, 44, generator=generator)
    channel = hog_channel(images)
    assert channel.shape == images.shape
    torch.testing.assert_close(channel.amax(dim=(1, 2)), torch.ones(2))
    assert channel.min() == 0 and not channel[:, :, 40:].any()  # 44 = 5 cells of 8 and 4 pixels
    torch.testing.assert_close(hog_channel(0.4 * images + 0.3), channel, atol=1e-4, rtol=0)
    torch.testing.assert_close(hog_channel(images[1:])[0], channel[1])


def test_hog_channel_of_a_nearly_flat_image_stays_dark(generator):
    assert hog_channel(torch.full((1, 16, 16), 0.7)).max() == 0
    assert hog_channel(0.5 + 1e-4 * torch.rand(1, 16, 16, generator=generator)).max() < 0.05


def test_images_smaller_than_a_cell_are_refused():
    with pytest.raises(ValueError, match=r"\(6, 20\) pixels are smaller than a cell of 8 x 8"):
        infrared_channels(torch.zeros(1, 6, 20))


def slow_plgf(image, radius, floor):
    """The definition, pixel by pixel: Newton's law between the centre and each neighbour."""
    masses = np.maximum(image, floor)
    height, width = image.shape
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            force = np.zeros(2)
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    if dy == dx == 0:
                        continue
                    neighbour = masses[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
                    size = masses[y, x] * neighbour / (dx * dx + dy * dy)
                    angle = np.arctan2(dy, dx)
                    force += size * np.array([np.cos(angle), np.sin(angle)])
            out[y, x] = np.arctan(np.linalg.norm(force / masses[y, x] ** 2)) / (np.pi / 2)
    return out


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_plgf_is_its_definition(rng, radius):
    image = rng.random((9, 12))
    image[2:4, 3:6] = 0  # black: below the floor of two grey levels
    ours = plgf_channel(torch.from_numpy(image)[None], radius=radius)[0]
    np.testing.assert_allclose(ours.numpy(), slow_plgf(image, radius, 2 / 255), atol=1e-12)


def test_plgf_of_one_heavier_neighbour():
    """In a flat field only the excess mass pulls: at distance 2 with excess 3 times the centre, |F| / I^2 = 3 / 4."""
    image = torch.full((1, 11, 11), 0.2, dtype=torch.float64)
    image[0, 5, 7] = 0.8
    assert plgf_channel(image)[0, 5, 5].item() == pytest.approx(np.arctan(0.75) / (np.pi / 2), abs=1e-12)


def test_plgf_ignores_gain_and_sees_no_structure_in_flat_or_black_images(generator):
    images = 0.2 + 0.8 * torch.rand(2, 16, 16, generator=generator)
    channel = plgf_channel(images)
    assert channel.min() >= 0 and channel.max() < 1 and channel.std() > 0.05
    torch.testing.assert_close(plgf_channel(0.25 * images), channel)
    for level in (0.0, 0.5, 1.0):
        assert plgf_channel(torch.full((1, 8, 8), level)).max() < 1e-5


@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
def test_channels_are_infrared_hog_and_plgf(generator, size):
    images = torch.rand(3, *size, generator=generator).requires_grad_()
    channels = infrared_channels(images)
    assert channels.shape == (3, 3, *size) and not channels.requires_grad
    assert channels.min() >= 0 and channels.max() <= 1
    for number, expected in enumerate((images, hog_channel(images), plgf_channel(images))):
        torch.testing.assert_close(channels[:, number], expected.detach())


def test_descriptors_keep_their_precision_under_autocast(generator):
    images = torch.rand(1, 16, 16, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        channels = infrared_channels(images)
    assert channels.dtype == torch.float32
    torch.testing.assert_close(channels, infrared_channels(images))
