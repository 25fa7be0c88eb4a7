"""The ways to an environment: make with and without CUDA, uv, devcontainer, Binder and Colab, all from the one lock.

PyTorch's own index is played by a small one on the disk, which holds the same versions with `+cpu`.
"""

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.pins import pins
from tests.support.small_index import add_wheel, add_wheels

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LOCK_TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCK = {canonicalize_name(r.name): r for r in map(Requirement, (x for x in LOCK_TEXT.splitlines() if x[0] != "#"))}
OF_CUDA = {name for name in LOCK if name.startswith(("nvidia-", "cuda-")) or name == "triton"}
INDEX = "https://download.pytorch.org/whl/cpu"
SYSTEMS = ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin", "x86_64-pc-windows-msvc"]
PLATFORM = {"manylinux_2_28": "linux", "apple-darwin": "darwin", "windows-msvc": "win32"}


def version(name: str) -> str:
    return next(iter(LOCK[name].specifier)).version


def run(*command: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PIP_", "UV_", "VIRTUAL_ENV"))}
    return subprocess.run(command, cwd=folder, env={**own, **environment}, capture_output=True, text=True, check=False)


def make(*words: str, venv: Path) -> subprocess.CompletedProcess[str]:
    return run("make", *words, f"VENV={venv}", f"PYTHON={sys.executable}")


def recipe(*words: str, venv: Path) -> str:
    shown = make("-n", "setup", *words, venv=venv)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.fixture
def no_network(tmp_path) -> dict[str, str]:
    """Two indexes: the usual one with every pin, its torch with CUDA's libraries; PyTorch's own with `+cpu` alone."""
    usual, pytorch = tmp_path / "usual", tmp_path / "pytorch"
    add_wheels(usual, dict(pin.split("==") for pin in pins()))  # of the site's lock too: uv resolves every group
    add_wheel(usual, "torch", version("torch"), needs=[f"{name}=={version(name)}" for name in sorted(OF_CUDA)])
    add_wheel(usual, "torchvision", version("torchvision"), needs=[f"torch=={version('torch')}"])
    add_wheel(pytorch, "torch", version("torch") + "+cpu")
    add_wheel(pytorch, "torchvision", version("torchvision") + "+cpu", needs=[f"torch=={version('torch')}"])
    add_wheel(pytorch, "numpy", "2.0.0")  # PyTorch's index has some other packages too, often older
    return {"usual": usual.as_uri(), "pytorch": pytorch.as_uri()}


def chosen(command: str, report: Path, usual: str, *, folder: Path) -> dict[str, str]:
    """Names and versions that a pip command would install in `folder`, by pip's own report."""
    dry = f"{command} --dry-run --ignore-installed --report {report}"
    result = run("sh", "-c", dry, folder=folder, PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=usual)
    assert result.returncode == 0, result.stderr
    entries = json.loads(report.read_text())["install"]
    return {canonicalize_name(e["metadata"]["name"]): e["metadata"]["version"] for e in entries}


def test_the_usual_setup_knows_no_other_index(tmp_path):
    text = recipe(venv=tmp_path / "venv")
    assert "pip install --no-deps -r requirements.lock" in text
    assert "index-url http" not in text
    assert "about 7 GB" in text


def commands_without_cuda(folder: Path, *words: str) -> tuple[str, str, str]:
    """Of `make setup TORCH=cpu` in `folder`: install torch, select the other pins, install these."""
    venv = folder / "venv"
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    shown = run("make", "-n", "setup", "TORCH=cpu", *words, f"VENV={venv}", f"PYTHON={sys.executable}", folder=folder)
    assert shown.returncode == 0, shown.stderr
    return re.search(
        r"(\S+ -m pip install [^&]+?) && (grep [^&]+) && (\S+ -m pip install --no-deps -r \S+)", shown.stdout
    ).groups()


def few_lines_of_the_lock(folder: Path) -> Path:
    """Makefile, pyproject.toml, and the lock's lines of a few packages, since pip takes its time with each."""
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copyfile(ROOT / name, folder / name)
    few = {"torch", "torchvision", "torchjd", "triton", "cuda-toolkit", "nvidia-cublas", "numpy", "einops"}
    (folder / "requirements.lock").write_text("".join(f"{r}\n" for name, r in LOCK.items() if name in few))
    return folder


def test_setup_without_cuda_takes_torch_from_pytorchs_index_alone(tmp_path, no_network):
    project = few_lines_of_the_lock(tmp_path / "project")
    first, selection, second = commands_without_cuda(project, f"TORCH_INDEX={no_network['pytorch']}")
    torch = chosen(first, tmp_path / "torch.json", no_network["usual"], folder=project)
    assert torch == {name: f"{version(name)}+cpu" for name in ("torch", "torchvision")}
    assert run("sh", "-c", selection, folder=project).returncode == 0
    others = chosen(second, tmp_path / "others.json", no_network["usual"], folder=project)
    assert others == {name: version(name) for name in ("torchjd", "numpy", "einops")}


def test_setup_without_cuda_leaves_out_the_lines_of_cuda_and_no_others(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    first, selection, second = commands_without_cuda(tmp_path)
    assert f"--index-url {INDEX} " in first
    assert run("sh", "-c", selection, folder=tmp_path).returncode == 0
    kept = Path(second.split()[-1]).read_text().splitlines()
    lines = {canonicalize_name(Requirement(line).name) for line in kept if not line.startswith("#")}
    assert len(OF_CUDA) > 15
    assert lines == set(LOCK) - OF_CUDA - {"torch", "torchvision"}


def test_an_environment_keeps_its_build_of_torch(tmp_path):
    venv = tmp_path / "venv"
    venv.mkdir()
    for built, asked, word in (
        ("cpu", "", ""),
        ("cpu", "TORCH=cpu", ""),
        ("", "TORCH=cpu", "other build"),
        ("", "", ""),
    ):
        (venv / ".ready").write_text(f"{built}\n")
        result = make("-n", "-W", "requirements.lock", "setup", *asked.split(), venv=venv)
        if word:
            assert result.returncode != 0
            assert word in result.stderr
        else:
            assert ("--index-url" in result.stdout) == (built == "cpu"), result.stderr


def test_unknown_builds_of_torch_are_refused(tmp_path):
    result = make("setup", "TORCH=cuda12", venv=tmp_path / "venv")
    assert result.returncode != 0
    assert "TORCH=cuda12 is unknown" in result.stderr


@pytest.mark.parametrize("release", ["(3, 10, 14)", "(3, 11, 4)", "(3, 15, 0)"])
def test_a_python_without_wheels_gets_names_of_those_that_work(tmp_path, release):
    fake = tmp_path / "python"
    pretended = f"import sys; sys.version_info = type('V', (tuple,), {{}})({release}); exec(sys.argv[1])"
    fake.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "Python of the test"; exit; fi\n'
        f'exec {sys.executable} -c "{pretended}" "$2"\n'
    )
    fake.chmod(0o755)
    result = run("make", "setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={fake}")
    assert result.returncode != 0
    for words in ("3.11.5 or newer, 3.12, 3.13 or 3.14", "is Python of the test", "uv python install 3.13"):
        assert words in result.stdout
    assert not (tmp_path / "venv").exists()


def test_this_python_is_accepted(tmp_path):
    condition = re.search(r"^FITS := (.*)$", MAKEFILE, re.MULTILINE)[1]
    assert run(sys.executable, "-c", condition).returncode == 0


def test_targets_are_commands_that_a_user_without_make_can_type():
    """Set-up, cleaning and the site aside, every line is `python -m ...` in the environment, on any system."""
    rules = dict(re.findall(r"^([a-z-]+):[^=\n]*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE))
    aside = {"help", "setup", "clean", "distclean", "site", "links", "spelling"}
    assert {"reproduce", "test", "lint", "doctor", "lab"} <= set(rules) - aside
    for target in set(rules) - aside:
        for line in rules[target].splitlines():
            command = r"\t@(\w+=\w+ )*\$\(BIN\)/python -m |\t@\$\(MAKE\) --no-print-directory test-notebooks$"
            assert re.match(command, line), f"{target}: {line}"


def test_what_a_user_runs_needs_neither_bash_nor_fcntl():
    assert "SHELL := /bin/sh\n" in MAKEFILE
    assert "pipefail" not in MAKEFILE
    sources = [path for folder in ("mmdg_lite", "data_prep") for path in (ROOT / folder).rglob("*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in sources}
    assert not [path for path, text in texts.items() if "/bin/bash" in text]
    unix = re.compile(r"^(import|from) (fcntl|resource|pwd|grp|termios|posix)\b", re.MULTILINE)
    assert not [path for path, text in texts.items() if unix.search(text)], "import it where it is used, guarded"


COMMITTED = [
    path
    for pattern in ("*", ".github/**/*", ".devcontainer/*", ".binder/*", "docs/*", "notebooks/*.py", ".ci/*")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name not in ("uv.lock", ".git")
]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_address_of_a_package_index_but_pytorchs(path):
    text = path.read_text(encoding="utf-8").lower()
    hosts = re.findall(r"(?:pypi\.org|pythonhosted\.org|conda\.anaconda\.org|index-url\s+\S+//\S+|/simple/)", text)
    assert not hosts
    if path.name not in ("Makefile", "README.md"):
        assert "download.pytorch.org" not in text


def test_devcontainer_and_binder_are_made_by_make_from_the_lock():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make setup TORCH=cpu"
    image, python = container["image"].split(":")
    assert image == "python"
    binder = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text())
    assert {d.split()[0] for d in binder["dependencies"]} == {"python", "pip", "make"}
    assert f"python ={python}" in binder["dependencies"]
    script = ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().splitlines()[-1] == 'make setup TORCH=cpu VENV="$NB_PYTHON_PREFIX"'


@pytest.fixture(scope="module")
def colab():
    spec = importlib.util.spec_from_file_location("colab", ROOT / "notebooks" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_colab_keeps_what_it_has_and_its_torch(colab):
    everything = {Requirement(pin).name.lower() for pin in colab.missing(LOCK_TEXT, set())}
    assert not {"torch", "torchvision", "triton"} & everything
    assert not [name for name in everything if name.startswith(("nvidia-", "cuda-"))]
    assert {"torchjd", "einops", "open_clip_torch", "ipykernel"} <= everything
    assert colab.missing("einops==0.8.2\ntimm==1.0.31\n", {"einops"}) == ["timm==1.0.31"]
    assert colab.missing('# a comment\nappnope==1.0.0 ; sys_platform == "nowhere"\n', set()) == []
    assert colab.missing(LOCK_TEXT, set(LOCK)) == []


def test_colab_installs_its_pins_and_then_the_package(colab, monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(colab.subprocess, "run", lambda command, check: commands.append(command))
    monkeypatch.setattr(colab, "missing", lambda lock, installed: ["einops==0.8.2"] if "pytest" in installed else [])
    colab.main()
    assert [command[-1] for command in commands] == ["einops==0.8.2", str(ROOT)]
    assert all("--no-deps" in command for command in commands)
    assert "1 packages installed" in capsys.readouterr().out


# What follows asks a package index, or needs uv, and is slow.


@pytest.fixture(scope="session")
def uv(tmp_path_factory) -> str:
    """uv from the PATH, else from the index, in an environment of its own."""
    if found := shutil.which("uv"):
        return found
    venv = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    place = venv / ("Scripts" if sys.platform == "win32" else "bin")
    if subprocess.run([place / "python", "-m", "pip", "install", "--quiet", "uv"], check=False).returncode:
        pytest.skip("uv is not here, and no package index can be reached")
    return str(place / "uv")


def locked_for(python: str, platform: str) -> set[str]:
    """Names in the lock whose markers hold there."""
    where = {"python_version": python, "sys_platform": platform}
    return {name for name, r in LOCK.items() if r.marker is None or r.marker.evaluate(where)}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11.5", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lock_is_what_an_installer_resolves_from_wheels(uv, tmp_path, python, system):
    """uv's resolution of pyproject.toml with all extras, for that Python and system, is the lock, name by name."""
    out = tmp_path / "resolved.txt"
    platform = next(value for key, value in PLATFORM.items() if system.endswith(key))
    result = run(
        *(uv, "pip", "compile", "pyproject.toml", "--all-extras", "--only-binary", ":all:", "--quiet"),
        *("--python-version", python, "--python-platform", system, "--no-header", "--no-annotate", "-o", str(out)),
        MACOSX_DEPLOYMENT_TARGET="14.0",  # PyTorch's wheels need this release of macOS
    )
    if re.search("connect|timed out|dns", result.stderr, re.IGNORECASE):
        pytest.skip(f"no package index: {result.stderr}")
    assert result.returncode == 0, result.stderr
    resolved = {canonicalize_name(r.name): r for r in map(Requirement, out.read_text().splitlines())}
    short = ".".join(python.split(".")[:2])
    assert set(resolved) == locked_for(short, platform) - {"pip"}
    assert {name: str(r.specifier) for name, r in resolved.items()} == {n: str(LOCK[n].specifier) for n in resolved}


def project_copy(folder: Path) -> Path:
    """What uv reads of the project."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def synced(uv: str, folder: Path, **environment: str) -> dict[str, str]:
    """Names and versions that `uv sync` would install."""
    result = run(uv, "sync", "--dry-run", "--python", sys.executable, folder=folder, **environment)
    if "UV_INDEX" not in environment and re.search("connect|timed out|dns", result.stderr, re.IGNORECASE):
        pytest.skip(f"no package index: {result.stderr}")
    assert result.returncode == 0, result.stderr
    return dict(re.findall(r"^ \+ ([\w.-]+)==(\S+)", result.stderr, re.MULTILINE))


@pytest.mark.slow
def test_uv_sync_installs_the_lock(uv, tmp_path):
    got = synced(uv, project_copy(tmp_path / "project"))
    assert got.pop("mmdg-lite", None) != "0"
    platform = sys.platform
    assert got == {n: version(n) for n in locked_for(f"{sys.version_info[0]}.{sys.version_info[1]}", platform)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there the usual build comes with CUDA")
def test_uv_sync_without_cuda(uv, tmp_path, no_network):
    """The variables that README.md names, with PyTorch's index played by the small one."""
    project = project_copy(tmp_path / "project")
    usual = {"UV_DEFAULT_INDEX": no_network["usual"], "UV_NO_CACHE": "1"}
    small = {"UV_INDEX": no_network["pytorch"], "UV_INDEX_STRATEGY": "unsafe-best-match"}
    with_cuda = synced(uv, project, UV_INDEX=no_network["usual"], **usual)
    assert with_cuda["torch"] == version("torch")
    assert set(with_cuda) >= OF_CUDA
    without = synced(uv, project, **usual, **small)
    assert without["torch"] == f"{version('torch')}+cpu"
    assert without["torchvision"] == f"{version('torchvision')}+cpu"
    assert without["numpy"] == version("numpy")
    assert not set(without) & OF_CUDA
