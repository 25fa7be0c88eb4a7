"""The reproduction in one call: notebooks, every run of a grid, tables and figures from their scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.reproduce.execution import FAILURE, Outcome
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK, overview, plan, run_grid
from mmdg_lite.reproduce.last_screen import last_screen
from mmdg_lite.reproduce.notebooks import execute
from mmdg_lite.reproduce.progress import RunTimes, estimate
from mmdg_lite.results.collect import collect
from mmdg_lite.results.deployments import collect_deployments
from mmdg_lite.results.table_text import grid
from mmdg_lite.results.tables import deployments, table
from mmdg_lite.runs.paper_settings import paper_settings

NOTEBOOKS = REPOSITORY / "notebooks"
FIGURES = REPOSITORY / "figures"
COMMITTED = FIGURES / "scores"  # runs whose times are known
INTRODUCTION = ("00_quickstart.ipynb", "01_data_preparation.ipynb")
TABLES_NOTEBOOK = "07_reproduction.ipynb"
MOST_LINES, LONGEST_LINE = 12, 300  # of each failed run's message
P1_METHODS = ("mmdg++", "fusion", "linear_probe")  # the longest first
SHORT = "short"  # the profile of `make reproduce`, whose runs are compared with committed ones
SHORT_SETTINGS = ("CPS->W",)  # that of the shipped model


class ReproductionFailed(RuntimeError):
    """Some runs failed; the message says which and where their notebooks are. The others are finished and kept."""


def reproduce(
    profile: str = SHORT,
    *,
    protocols: Sequence[str] = ("P1",),
    settings: Sequence[str] | None = None,
    methods: Sequence[str] = P1_METHODS,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str = "auto",
    workers: int = 2,
    scheduler: str | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    plugins: Sequence[str | Path] = (),
    progress: bool = True,
) -> Path:
    """Execute the introductory notebooks, the grid's runs and the notebook of tables, going on from what is finished.

    The short profile leaves out the introductory notebooks, and ends in `last_screen`.

    Args:
        profile: "short" (ten minutes, one setting), "quick" (as long, but hardly trained), "full" (hours on CPU) or
            "paper" (ViT-B/16 on converted data sets).
        protocols: any of P1 to P6.
        settings: names such as "CPS->W"; None: every setting of the protocols, in the short profile CPS->W alone.
        methods: names of `methods.METHODS`, or of a plugin; a group of `methods.GROUPS` ("baselines", "parts", "peers",
            "rules"), or "all".
        seeds: one run per seed.
        out: folder for runs, executed notebooks, tables and figures; None: runs/PROFILE.
        data_root: folder of converted data sets; None: the synthetic domains.
        device: "auto", "cpu", "cuda" or "mps".
        workers: runs at a time on this machine.
        scheduler: address of a running Dask scheduler whose workers make the runs instead; they need this environment
            and the same folders.
        changes: settings of the profile to change, by part ("data", "model", "training") and name.
        plugins: your own files with methods and rules, see YOUR_METHOD.md.
        progress: show plan, progress and the table.

    Returns:
        The folder `out`.

    Raises:
        ReproductionFailed: some runs failed; what is finished is kept and a second call goes on from there.
        FileNotFoundError: the notebooks are not there (an installation without the repository).
    """
    out = Path(out or Path("runs", profile)).resolve()
    settings = settings or (SHORT_SETTINGS if profile == SHORT and tuple(protocols) == ("P1",) else None)
    if not (NOTEBOOKS / TRAINING_NOTEBOOK).is_file():
        raise FileNotFoundError(f"{NOTEBOOKS} has no notebooks: run from a clone of the repository (pip install -e .)")
    root = str(Path(data_root).resolve()) if data_root is not None else None
    planned = plan(
        profile, protocols=protocols, methods=methods, seeds=seeds, out=out, settings=settings, device=device,
        data_root=root, changes=changes, plugins=plugins,
    )  # fmt: skip
    times = RunTimes.recorded(COMMITTED, out / "runs")
    if progress:
        print(overview(planned).to_string(index=False))
        print(estimate(planned, workers=workers, times=times))
        if profile == "paper":
            print(
                f"\nsettings of {planned[0].config.name}\n{paper_settings(planned[0].config).to_string(index=False)}\n"
            )
    common = {"profile": profile, "seed": seeds[0], "device": device, "data_root": root or ""}
    introduction = () if profile == SHORT else INTRODUCTION  # their committed outputs are there to read
    for name in tqdm(introduction, desc="introduction", unit="notebook", disable=not (progress and introduction)):
        _execute_once(name, common, out)
    outcomes = run_grid(
        planned, notebooks=NOTEBOOKS, workers=workers, scheduler=scheduler, times=times, progress=progress
    )
    failures = [outcome for outcome in outcomes if outcome.error]
    if failures:
        shown = "\n\n".join(_shown(failure) for failure in failures[:2])
        raise ReproductionFailed(
            f"{len(failures)} of {len(planned)} runs failed; the others are kept. Executed notebooks are in "
            f"{out / 'notebooks'}, tracebacks in {FAILURE} of each run's folder; the same command tries the failed "
            f"runs again.\n\n{shown}"
        )
    tables = out / "notebooks" / TABLES_NOTEBOOK
    parameters = common | {"runs": str(out / "runs"), "out_dir": str(out)}
    execute(NOTEBOOKS / TABLES_NOTEBOOK, parameters=parameters, out=tables, progress=progress)
    if progress:
        same = {(run.config.setting, run.config.seed) for run in planned}
        comparable = (
            profile == SHORT
            and tuple(protocols) == ("P1",)
            and len(same) == 1
            and next(iter(same))[0] in SHORT_SETTINGS
            and {run.config.method for run in planned} <= set(P1_METHODS)
            and not (changes or root)
        )
        print(last_screen(out / "runs", committed=FIGURES, out=out) if comparable else _closing(out, protocols))
    return out


def _shown(failure: Outcome) -> str:
    """A failed run in few enough lines that two of them fit on one screen."""
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..." for line in failure.error.splitlines()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 3], "...", *lines[-2:]]
    return f"{failure.name}: " + "\n".join(lines)


def _execute_once(name: str, parameters: dict[str, object], out: Path) -> None:
    """Execute a notebook unless its findings are there already."""
    findings = out / f"{name[:2]}_findings.json"
    if not findings.is_file():
        execute(
            NOTEBOOKS / name,
            parameters=parameters | {"out_dir": str(out)},
            out=out / "notebooks" / name,
            progress=False,
        )


def _closing(out: Path, protocols: Sequence[str]) -> str:
    """Our tables as text, and where everything is."""
    frame = collect(out / "runs")
    made = [
        deployments(collect_deployments(out / "runs")) if protocol == "P6" else table(frame, protocol)
        for protocol in protocols
    ]
    texts = [f"{caption}\n{grid(block)}" for one in made for caption, block in one.blocks if caption.startswith("ours")]
    places = {
        "notebooks": "executed notebooks, and their kernels' messages (.log)",
        "runs": "runs with scores",
        "tables": "tables",
        "figures": "figures",
    }
    listed = "\n".join(f"  {text}: {out / name}" for name, text in places.items() if (out / name).is_dir())
    return "\n" + "\n\n".join([*texts, listed])
