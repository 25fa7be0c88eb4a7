"""pyproject.toml, requirements.lock and environment.yml say the same, and the lock is fit for any machine it names."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.pins import with_pins

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def lines_of(lock: str) -> list[str]:
    return [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]


LOCKS = ("requirements.lock", "requirements-docs.lock")
LOCK, DOCS_LOCK = (
    {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines_of(n)} for n in LOCKS
)
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHON = {"mmdg_lite", "data_prep", "tests", "figures"}
MACHINES = [
    (python, platform, machine)
    for python in PYTHONS
    for platform, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
]

in_locked_environment = pytest.mark.skipif(
    Path(sys.prefix).resolve() != (ROOT / ".venv").resolve(), reason="not running in .venv: other versions are allowed"
)


def environment(python: str, platform: str, machine: str) -> dict[str, str]:
    system = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform]
    return {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.5",
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "nt" if platform == "win32" else "posix",
    }


def locked_version(name: str, lock: dict[str, Requirement] = LOCK) -> str:
    return next(iter(lock[canonicalize_name(name)].specifier)).version


def applies(requirement: Requirement, machine: dict[str, str], extras: frozenset[str] = frozenset()) -> bool:
    return requirement.marker is None or any(
        requirement.marker.evaluate({**machine, "extra": e}) for e in {"", *extras}
    )


def declared() -> list[Requirement]:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_lock_line_is_one_exact_pin_without_index_or_place(lock):
    lines = lines_of(lock)
    assert len({canonicalize_name(Requirement(line).name) for line in lines}) == len(lines)
    pin = r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+"
    marker = r'( ; (sys_platform|python_version) (==|<|!=) "[a-z0-9.]+")?'
    for line in lines:
        assert re.fullmatch(pin + marker, line), line
    assert "://" not in (ROOT / lock).read_text()


def test_packages_in_both_locks_have_one_version():
    shared = set(LOCK) & set(DOCS_LOCK)
    assert len(shared) > 20  # myst-nb reads notebooks with Jupyter's own packages
    assert not {name for name in shared if locked_version(name) != locked_version(name, DOCS_LOCK)}


def test_uv_takes_the_versions_of_the_locks():
    """`make pins` writes them; uv reads them for `uv sync` and `uv run`."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert with_pins(text) == text, "run `make pins`"
    versions = {
        (Requirement(p).name.lower(), str(Requirement(p).specifier))
        for p in SETTINGS["tool"]["uv"]["constraint-dependencies"]
    }
    assert versions == {(r.name.lower(), str(r.specifier)) for r in (*LOCK.values(), *DOCS_LOCK.values())}


def test_pins_are_refused_without_a_place_for_them():
    with pytest.raises(ValueError, match="0 blocks"):
        with_pins("[tool.uv]\n")


def test_uv_installs_every_extra_for_developers():
    (everything,) = map(Requirement, SETTINGS["dependency-groups"]["dev"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(PROJECT["optional-dependencies"])


def test_packages_of_the_site_are_locked_within_their_ranges():
    for requirement in map(Requirement, SETTINGS["dependency-groups"]["docs"]):
        assert requirement.specifier.contains(locked_version(requirement.name, DOCS_LOCK)), requirement


def test_no_lock_of_uv_is_committed():
    """It names the registry that it was made with."""
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


def test_lock_lies_within_the_ranges_of_pyproject():
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in LOCK, f"{name} is declared in pyproject.toml and missing from requirements.lock"
        assert requirement.specifier.contains(locked_version(name)), f"{name} {locked_version(name)}: {requirement}"


@in_locked_environment
@pytest.mark.parametrize("python, platform, machine", MACHINES)
def test_lock_is_closed_under_dependencies_on_every_machine(python, platform, machine):
    """Walks the installed packages' own metadata; what is not installed here (other systems') cannot be walked into."""
    where = environment(python, platform, machine)
    todo = [(canonicalize_name(r.name), frozenset(r.extras)) for r in declared()]
    reached: dict[str, frozenset[str]] = {}
    while todo:
        name, extras = todo.pop()
        if name in reached and extras <= reached[name]:
            continue
        reached[name] = reached.get(name, frozenset()) | extras
        assert name in LOCK, f"{name} is needed on {platform} {machine} with Python {python}, and not locked"
        assert applies(LOCK[name], where), (
            f"{name} is needed on {platform} {machine} with Python {python}: wrong marker"
        )
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue
        for r in needed:
            if applies(r, where, reached[name]):
                key = canonicalize_name(r.name)
                todo.append((key, frozenset(r.extras)))
                assert key in LOCK, f"{name} needs {r}, which is not locked"
                assert r.specifier.contains(locked_version(key), prereleases=True), f"{name} needs {r}"
    unwalked = {"aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"}  # aiohttp's own needs
    locked_here = {n for n, r in LOCK.items() if applies(r, where)}
    superfluous = locked_here - set(reached) - unwalked
    if Version(python) < Version(f"{sys.version_info.major}.{sys.version_info.minor}"):
        return  # backports for an older Python are not installed here, and what they need cannot be told
    assert not superfluous, f"locked without being needed on {platform}: {sorted(superfluous)}"


@in_locked_environment
def test_installed_environment_is_the_locked_one():
    here = default_environment()
    wrong = {}
    for name, requirement in LOCK.items():
        if applies(requirement, here):
            installed = version(name)
            if installed != locked_version(name):
                wrong[name] = f"{installed} installed, {locked_version(name)} locked"
    assert not wrong


def test_conda_environment_takes_python_from_conda_forge_and_the_rest_from_the_lock():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["name"] == PROJECT["name"]
    assert conda["channels"] == ["conda-forge"]
    plain = [d for d in conda["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock"]
    python = next(d for d in plain if d.startswith("python"))
    assert SpecifierSet(python.removeprefix("python").strip()) == SpecifierSet(PROJECT["requires-python"])
    assert {d.split()[0] for d in plain} == {"python", "pip", "make"}


@in_locked_environment
def test_torchvision_is_locked_to_the_build_of_torch():
    needed = next(Requirement(r) for r in requires("torchvision") if canonicalize_name(Requirement(r).name) == "torch")
    assert needed.specifier.contains(locked_version("torch"))
    torch, vision = (tuple(int(p) for p in locked_version(n).split(".")[:2]) for n in ("torch", "torchvision"))
    assert vision[1] - torch[1] == 14  # torch 2.15 goes with torchvision 0.29, and so on


def test_makefile_conda_and_package_agree_on_python():
    (bounds,) = re.findall(
        r"\((\d, \d+, \d+)\) <= sys.version_info\[:3\] < \((\d, \d+)\)", (ROOT / "Makefile").read_text()
    )
    lowest, beyond = (bound.replace(", ", ".") for bound in bounds)
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={lowest},<{beyond}")
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.15") if f"{v}.5" in allowed] == PYTHONS
    assert {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python ::" in c} == set(PYTHONS)


def test_continuous_integration_runs_the_linters_then_the_tests():
    script = ROOT / ".ci" / "run"
    assert script.read_text().splitlines()[-2:] == ["make lint", "exec make test"]
    assert "set -eu" in script.read_text()  # a failure of the first ends it
    assert script.stat().st_mode & 0o111
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == PYTHONS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_extras_that_workflows_install_exist(path):
    named = re.findall(r"\.\[([^\]]+)\]", path.read_text())
    assert {extra for names in named for extra in names.split(",")} <= set(PROJECT["optional-dependencies"])


def test_what_workflows_make_is_in_the_makefile():
    made = {target for path in WORKFLOWS for target in re.findall(r"run: make ([a-z-]+)", path.read_text())}
    assert {"site", "test-slow"} <= made
    assert made <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_every_package_that_is_imported_is_declared():
    """Imports anywhere in the packages and tests, functions included, against [project] dependencies and extras."""
    imported = set()
    for path in [path for folder in PYTHON for path in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module else []
            imported |= {name.split(".")[0] for name in names}
    foreign = imported - set(sys.stdlib_module_names) - PYTHON
    providers = packages_distributions()
    names = {canonicalize_name(r.name) for r in declared()}
    undeclared = {m for m in foreign if not {canonicalize_name(p) for p in providers.get(m, [m])} & names}
    assert not undeclared
