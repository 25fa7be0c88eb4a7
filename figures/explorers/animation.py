"""README's moving picture of the ReGrad explorer: `python figures/explorers/animation.py` writes regrad.gif.

Depth's gradient turns from RGB's direction to against it, and back: ReGrad's result jumps at 90 degrees (D14).
"""

import io
from pathlib import Path

from PIL import Image

from mmdg_lite.configuration import write_bytes
from mmdg_lite.explorers.regrad import draw, sliders
from mmdg_lite.plots.style import save

ANGLES = (30, 50, 70, 80, 85, 89, 91, 95, 100, 110, 130, 150)  # degrees between depth's gradient and RGB's
WIDTH = 760  # pixels
MILLISECONDS = 700
PLACE = Path(__file__).with_name("regrad.gif")


def frame(angle: float, scratch: Path) -> Image.Image:
    """The explorer's picture with depth at an angle to RGB, infrared absent."""
    drawn = draw(branch="rgb", **sliders(angle=(0, angle, 0), length=(1, 1, 0), certainty=(1, 1, 1)))
    picture = Image.open(save(drawn.figure, scratch)).convert("RGB")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)


def main() -> None:
    """There and back, with one palette for all frames."""
    scratch = PLACE.with_suffix(".frame.png")
    try:
        frames = [frame(angle, scratch) for angle in ANGLES]
    finally:
        scratch.unlink(missing_ok=True)
    palette = frames[len(frames) // 2].quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    indexed = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in frames]
    written = io.BytesIO()
    first, *others = [*indexed, *indexed[-2:0:-1]]
    first.save(written, "GIF", save_all=True, append_images=others, duration=MILLISECONDS, loop=0, optimize=True)
    write_bytes(PLACE, written.getvalue())
    print(PLACE.name, round(len(written.getvalue()) / 1024), "kB")


if __name__ == "__main__":
    main()
