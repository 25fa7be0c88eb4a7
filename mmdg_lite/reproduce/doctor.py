"""Checks the environment: one line per check, [OK] or [FAIL], and beside each failure what to do about it."""

import hashlib
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from mmdg_lite.configuration import ASSETS

REINSTALL = "run `make setup`, or `pip install -r requirements.lock`"
FREE_BYTES = 2 * 10**9  # a full grid of runs with its executed notebooks fits in this


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report: what was looked at, whether it is as it should be, what was found, what to do if
    not."""

    name: str
    ok: bool
    found: str
    cure: str = ""

    def __str__(self) -> str:
        line = f"[{'OK' if self.ok else 'FAIL'}] {self.name}: {self.found}"
        return line if self.ok else f"{line}\n       -> {self.cure}"


def doctor(*, out_dir: str | Path = "runs", quiet: bool = False) -> bool:
    """Print every check as it is made and return whether all passed. Never raises: a check that breaks is a failed
    check.

    `out_dir`: where runs would be written. `quiet`: print failures only.
    """
    all_ok = True
    for check in checks(out_dir=Path(out_dir)):
        all_ok &= check.ok
        if not (quiet and check.ok):
            print(check, flush=True)
    return all_ok


def checks(*, out_dir: Path) -> Iterator[Check]:
    """The checks in their order, each made when it is asked for."""
    yield python_version()
    yield from packages()
    for name, look in (
        ("torch and torchvision", torchvision_matches_torch),
        ("device", compute_device),
        ("open_clip vocabulary", clip_vocabulary),
        ("shipped weights", shipped_weights),
        ("jupyter kernel", jupyter_kernel),
        ("disk", lambda: disk_space(out_dir)),
        ("output folder", lambda: writable(out_dir)),
    ):
        yield _guarded(name, look)


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # a broken installation may raise anything; the doctor reports and goes on
        return Check(name=name, ok=False, found=f"{type(error).__name__}: {error}", cure=REINSTALL)


def python_version(found: tuple[int, int] | None = None) -> Check:
    """Python 3.11 to 3.14; `found` (major, minor) defaults to the running interpreter."""
    major, minor = found or sys.version_info[:2]
    return Check(
        name="python",
        ok=(3, 11) <= (major, minor) <= (3, 14),
        found=f"{major}.{minor} ({sys.executable})",
        cure="`uv python install 3.13` gets one that works; then `make distclean`, `make setup PYTHON=python3.13`",
    )


def packages(declared: list[str] | None = None) -> Iterator[Check]:
    """Every package that mmdg_lite requires, against its range; `declared` defaults to the project's own
    metadata."""
    if declared is None:
        try:
            declared = requires("mmdg_lite") or []
        except PackageNotFoundError:
            yield Check(name="mmdg_lite", ok=False, found="not installed", cure="pip install --no-deps -e .")
            return
    for requirement in map(Requirement, declared):
        optional = requirement.marker is not None and "extra" in str(requirement.marker)
        wanted = f"wanted {requirement.specifier or 'any version'}"
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            if not optional:
                yield Check(name=requirement.name, ok=False, found=f"missing, {wanted}", cure=REINSTALL)
            continue
        ok = requirement.specifier.contains(installed, prereleases=True)
        yield Check(name=requirement.name, ok=ok, found=f"{installed} ({wanted})", cure=REINSTALL)


def torchvision_matches_torch() -> Check:
    """torchvision must have been built against the torch beside it; a mismatch shows when its operators are
    loaded."""
    torch = importlib.import_module("torch")
    cure = f"their wheels must be of one release: {REINSTALL}"
    found = f"{torch.__version__} and {version('torchvision')}"
    try:
        operators = importlib.import_module("torchvision.ops")
        kept = operators.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        return Check(name="torch and torchvision", ok=False, found=f"{found}: {error}", cure=cure)
    return Check(name="torch and torchvision", ok=kept.tolist() == [0], found=found, cure=cure)


def compute_device() -> Check:
    """A matrix product on the device that `device="auto"` would take."""
    torch = importlib.import_module("torch")
    name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    total = torch.ones(8, 8, device=name).mm(torch.ones(8, 8, device=name)).sum().item()
    label = (
        torch.cuda.get_device_name() if name == "cuda" else f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    )
    return Check(
        name="device",
        ok=total == 512.0,
        found=f"{name} ({label})",
        cure="the driver and torch's build do not fit; device=cpu always works",
    )


def clip_vocabulary() -> Check:
    """The tokenizer's vocabulary is part of open_clip's wheel: no download."""
    tokens = importlib.import_module("open_clip").tokenize(["a live face"])
    length = int((tokens[0] != 0).sum())
    return Check(
        name="open_clip vocabulary", ok=length == 5, found=f"'a live face' is {length} tokens, wanted 5", cure=REINSTALL
    )


def shipped_weights(folder: Path = ASSETS) -> Check:
    """SHA-256 of every file that `SHA256SUMS` in the package's assets lists."""
    cure = "the files are part of the package: check the repository out again, or reinstall mmdg_lite"
    if not (folder / "SHA256SUMS").is_file():
        return Check(name="shipped weights", ok=False, found=f"{folder / 'SHA256SUMS'} is missing", cure=cure)
    listed = [line.split(maxsplit=1) for line in (folder / "SHA256SUMS").read_text().splitlines()]
    for digest, name in listed:
        path = folder / name.strip().lstrip("*")
        if not path.is_file():
            return Check(name="shipped weights", ok=False, found=f"{path} is missing", cure=cure)
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return Check(name="shipped weights", ok=False, found=f"{path} differs from its checksum", cure=cure)
    return Check(name="shipped weights", ok=bool(listed), found=f"{len(listed)} files as recorded", cure=cure)


def jupyter_kernel() -> Check:
    """The Jupyter kernel: the one named python3 that papermill finds runs this interpreter."""
    kernelspec = importlib.import_module("jupyter_client.kernelspec")
    notebooks = importlib.import_module("mmdg_lite.reproduce.notebooks")
    with notebooks.own_kernel():
        spec = kernelspec.KernelSpecManager().get_kernel_spec("python3")
    command = str(spec.argv[0])
    same = command in ("python", f"python{sys.version_info[0]}") or (
        Path(command).exists() and (Path(command).resolve() == Path(sys.executable).resolve())
    )
    return Check(
        name="jupyter kernel",
        ok=same,
        found=f"python3 runs {sys.executable if same else command}",
        cure="python -m ipykernel install --sys-prefix",
    )


def disk_space(out_dir: Path) -> Check:
    """Two gigabytes free where runs are written."""
    place = next(p for p in (out_dir.resolve(), *out_dir.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    return Check(
        name="disk",
        ok=free >= FREE_BYTES,
        found=f"{free / 1e9:.1f} GB free at {place}",
        cure=f"free {FREE_BYTES / 1e9:.0f} GB, or write runs elsewhere with --out",
    )


def writable(out_dir: Path) -> Check:
    """Write access: a file can be written, renamed and read in `out_dir`; nothing is left behind."""
    name, cure = "output folder", "choose another with --out, or set its permissions"
    place = next(p for p in (out_dir.resolve(), *out_dir.resolve().parents) if p.exists())
    try:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            partial = Path(folder) / "probe.partial"
            partial.write_text(json.dumps({"ok": True}))
            ok = bool(json.loads(partial.replace(Path(folder) / "probe.json").read_text())["ok"])
    except OSError as error:
        return Check(name=name, ok=False, found=f"{place}: {error}", cure=cure)
    return Check(name=name, ok=ok, found=str(out_dir.resolve()), cure=cure)
