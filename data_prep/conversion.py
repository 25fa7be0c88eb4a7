"""Convert one domain: read the lists, convert what is not done yet, write the manifest and the report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from data_prep.journal import Converted, Journal
from data_prep.report import REPORT, Report, make_report
from data_prep.sources import Source
from data_prep.worker import PARTIAL, Failure, OutputError, Settings, Task, convert_tasks, start, work, writing_failed
from mmdg_lite.configuration import write_json
from mmdg_lite.data.real.files import read_regular
from mmdg_lite.data.real.lists import ListRow, dataset_name, distinct
from mmdg_lite.data.real.manifest import MANIFEST, ManifestRow, write_manifest

CONVERSION = "conversion.json"
FORM = 2
"""Version of the pictures: 1 averaged holes of depth into their neighbours when it resized."""
CHUNK = 16
GROWING = ("map_frames_by_rank",)
"""Settings that may be switched on in a folder, which only adds samples, but not off again."""
EARLIER = {"map_frames_by_rank": False, "crop": "shared", "colour_order": "rgb", "rgb_range": "", "depth_holes": ""}
"""What folders of earlier versions, which do not name these settings, were converted with."""


def convert(
    source: Source,
    lists: Mapping[str, Sequence[ListRow]],
    settings: Settings,
    *,
    workers: int = 1,
    drop_repeated: bool = False,
    more: Mapping[str, str | int | bool] | None = None,
    progress: bool = True,
) -> Report:
    """Convert the samples of some splits; what an earlier run has done already is kept and not done again.

    Samples that cannot be converted are skipped and named in the report. `workers`: processes; 0 converts in this one.
    `more`: further settings of the source that one folder must not mix.
    Raises `OutputError` if the output cannot be written, `RuntimeError` if a worker dies. In both cases, as after a
    kill at any moment, the same call goes on from what is done.
    """
    wanted = {split: distinct(rows) if drop_repeated else list(rows) for split, rows in lists.items()}
    tasks = [
        Task(f"{source.domain}-{split}-{row.line:05d}", split, row) for split, rows in wanted.items() for row in rows
    ]
    with locked(settings.out), writing(settings.out), Journal(settings.out) as journal:
        dataset = dataset_name(source.domain)
        check_settings(settings, dataset=dataset, domain=source.domain, drop_repeated=drop_repeated, **(more or {}))
        remove_partial(settings.out)
        done = {task.id: entry for task in tasks if (entry := _done(journal, task, settings)) is not None}
        todo = [task for task in tasks if task.id not in done]
        failures: list[Failure] = []
        with tqdm(total=len(tasks), initial=len(done), desc=f"converting {source.domain}", disable=not progress) as bar:
            for results in _results(source, settings, todo, workers):
                converted = [result for result in results if isinstance(result, Converted)]
                failures.extend(result for result in results if isinstance(result, Failure))
                journal.append(converted)
                done.update((entry.row.id, entry) for entry in converted)
                bar.update(len(results))
        finished = [done[task.id] for task in tasks if task.id in done]
        if finished:
            write_manifest(settings.out / MANIFEST, _with_other_splits(journal, finished, wanted))
        report = make_report(source.domain, wanted, finished, failures, kept=len(tasks) - len(todo))
        write_json(settings.out / REPORT, report.as_dict())
    return report


def _done(journal: Journal, task: Task, settings: Settings) -> Converted | None:
    """The earlier conversion of a sample, if it is of the same source and still intact."""
    entry = journal.entries.get(task.id)
    if entry is None or entry.source != (*task.row.paths, str(task.row.label)):
        return None
    if (entry.row.species, entry.row.subject) != (task.row.species, task.row.subject):
        return None  # corrected in the list
    if entry.problems:
        return None  # perhaps what was missing is there now
    return entry if entry.intact(settings.out) else None


def _with_other_splits(
    journal: Journal, finished: Sequence[Converted], wanted: Mapping[str, Sequence[ListRow]]
) -> Iterator[ManifestRow]:
    """The manifest's rows: this run's, after those of splits that an earlier run converted."""
    others = [entry.row for entry in journal.entries.values() if entry.row.split not in wanted]
    yield from sorted(others, key=lambda row: row.id)
    for entry in finished:
        yield entry.row


def _results(
    source: Source, settings: Settings, todo: Sequence[Task], workers: int
) -> Iterator[list[Converted | Failure]]:
    """Convert in chunks; at most four chunks per worker are under way, so memory does not grow with the data set."""
    chunks = [todo[begin : begin + CHUNK] for begin in range(0, len(todo), CHUNK)]
    if workers == 0 or not chunks:
        yield from (convert_tasks(source, settings, chunk) for chunk in chunks)
        return
    waiting = iter(chunks)
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=start, initargs=(source, settings)
    ) as pool:
        pending: set[Future[list[Converted | Failure]]] = set()
        try:
            for chunk in waiting:
                pending.add(pool.submit(work, chunk))
                if len(pending) < 4 * workers:
                    continue
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process died (perhaps it was killed for lack of memory: try fewer --workers); "
                "what was converted before is safe, run the same command again to go on"
            ) from error
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second conversion out of a folder for as long as this one runs, however it ends.

    Raises `OutputError` if another one runs there, or if the folder cannot be written to.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"{folder}: another conversion into this folder is running; wait for it to end") from error
    except OSError as error:
        raise OutputError(writing_failed(folder, error)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Failures to write the journal, manifest or report stop the run with a message, as those of images do."""
    try:
        yield
    except OSError as error:
        raise OutputError(writing_failed(Path(error.filename or folder), error)) from error


def check_settings(settings: Settings, *, dataset: str, domain: str, **more: str | int) -> None:
    """Refuse to mix two data sets, sizes or formats in one folder. Raises `OutputError` naming what differs."""
    now = {"form": FORM, "dataset": dataset, "domain": domain, "size": settings.size, "format": settings.format, **more}
    path = settings.out / CONVERSION
    if not path.exists():
        write_json(path, now)
        return
    before = read_settings(settings.out)
    if before.get("form") == 1:
        raise OutputError(
            f"{path}: this folder was converted by an earlier version, which averaged holes of depth into their "
            "neighbours; it can still be trained on, but to convert choose another --out"
        )
    for name, value in now.items():
        found = before.get(name, EARLIER.get(name))
        if found != value and (name not in GROWING or found):
            raise OutputError(
                f"{path}: this folder was converted with {name} {found}, not {value}; "
                "ask for the same, or choose another --out"
            )
    if before | now != before:
        write_json(path, before | now)


def read_settings(folder: Path) -> dict[str, Any]:
    """How a folder was converted. Raises `OutputError` if the file is not there or not JSON."""
    path = folder / CONVERSION
    try:
        values = json.loads(read_regular(path).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise OutputError(f"{path}: not readable ({error}); convert into another --out") from error
    if not isinstance(values, dict):
        raise OutputError(f"{path}: not the settings of a conversion; convert into another --out")
    return values


def remove_partial(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in (folder / "images").rglob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)
