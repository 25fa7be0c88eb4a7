"""A package index on the disk: wheels without code, for trying what an installer would choose without a network."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name


def add_wheel(index: Path, name: str, version: str, *, needs: Sequence[str] = ()) -> None:
    """An empty wheel `name==version` that requires `needs`, and its line on the index's page of the package."""
    stem = f"{name.replace('-', '_').replace('.', '_')}-{version}"
    page = index / canonicalize_name(name)
    page.mkdir(parents=True, exist_ok=True)
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    files = {
        "METADATA": "\n".join(metadata) + "\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    wheel = page / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in files.items():
            archive.writestr(f"{stem}.dist-info/{file}", text)
        archive.writestr(f"{stem}.dist-info/RECORD", "".join(f"{stem}.dist-info/{file},,\n" for file in files))
    links = "".join(
        f'<a href="{path.name.replace("+", "%2B")}">{path.name}</a>\n' for path in sorted(page.glob("*.whl"))
    )
    (page / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>\n", encoding="utf-8")


def add_wheels(index: Path, versions: Mapping[str, str]) -> None:
    """Wheels without needs for every name."""
    for name, version in versions.items():
        add_wheel(index, name, version)
