"""`python -m figures.diagrams`: write every diagram beside its source."""

from pathlib import Path
from types import ModuleType

from figures.diagrams import data_flow, model, training_step, u_adapter
from figures.diagrams.canvas import Canvas

FOLDER = Path(__file__).parent
SOURCES = {"mmdgplusplus": model, "u_adapter": u_adapter, "training_step": training_step, "data_flow": data_flow}


def diagrams() -> dict[str, str]:
    """Every file's name with what it holds: the whole diagrams, and each with the part of one notebook in colour."""
    made = {}
    for name, source in SOURCES.items():
        made[f"{name}.svg"] = _svg(source)
        for variant, (words, parts) in source.VARIANTS.items():
            made[f"{name}_{variant}.svg"] = _svg(source, words=words, shown=frozenset(parts))
    return made


def _svg(source: ModuleType, *, words: str = "", shown: frozenset[str] | None = None) -> str:
    """One diagram; with parts in colour and the rest in grey if they are given, `words` saying what they are."""
    title = f"{source.TITLE}: {words}, the rest in grey" if words else source.TITLE
    canvas = Canvas(source.HEIGHT, title=title, description=source.DESCRIPTION, shown=shown and shown | {"legend"})
    source.draw(canvas)
    return canvas.svg()


def main() -> None:
    for name, text in diagrams().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
