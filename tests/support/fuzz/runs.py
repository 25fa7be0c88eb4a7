"""Readers of run folders and archives: configuration, result, logs, scores, checkpoints, and the folders as a whole."""

import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mmdg_lite.configuration import ConfigurationError, read_json, to_dict
from mmdg_lite.data.statistics import PictureStatistics
from mmdg_lite.inference.judge import open_judge
from mmdg_lite.inference.predict import predict
from mmdg_lite.modality import MODALITIES
from mmdg_lite.reproduce.progress import RunTimes
from mmdg_lite.results.archive import archive, unpack
from mmdg_lite.results.collect import collect, collect_species, read_history
from mmdg_lite.results.deployments import collect_deployments
from mmdg_lite.results.dynamics import dynamics
from mmdg_lite.results.one_run import run_findings, test_table, validations
from mmdg_lite.runs.checkpoints import CheckpointError, read_checkpoint
from mmdg_lite.runs.data_description import note_data
from mmdg_lite.runs.folder import RunFolder, read_run, read_threshold
from mmdg_lite.runs.packed import packed_names, read_packed, read_packed_list
from mmdg_lite.runs.plugins import PluginError
from mmdg_lite.runs.scores import Scores, read_scores
from mmdg_lite.training.log import TrainingLog
from mmdg_lite.training.rescoring import evaluate
from mmdg_lite.training.trainer import Trainer
from tests.support.fuzz.mutations import (
    Mutation,
    mutated_bytes,
    mutated_gzip,
    mutated_json,
    mutated_json_lines,
    mutated_table,
)
from tests.support.fuzz.reader import Case, Reader
from tests.support.fuzz.tensors import mutated_checkpoint
from tests.support.small_runs import SIZE, small_config, small_data, small_run


def run_readers(folder: Path, *, method: str = "mmdg++") -> dict[str, Reader]:
    """The readers of runs, with their files, of a run of this method, below a folder."""
    run = RunFolder(small_run(folder / "runs" / "run", method))
    packed = folder / "archive"
    archive(folder / "runs", packed)
    return _parts(run, method) | _checkpoints(run, method) | _logs(run) | _scores(run, packed) | _whole(run, packed)


def _one(path: Path, mutation: Mutation = mutated_bytes) -> tuple[Case, ...]:
    return (Case(path, path.read_bytes(), mutation),)


def _parts(run: RunFolder, method: str) -> dict[str, Reader]:
    """The JSON files of a run, one by one."""
    described = json.loads(run.data.read_text())

    def noted_data() -> Any:
        note_data(run.data, described)
        return run.data.read_bytes()

    def noted_environment() -> Any:
        with run.claimed(small_config(method)):
            return json.loads(run.environment.read_text())

    def result() -> Any:
        threshold = read_threshold(run.path)
        assert 0 <= threshold <= 1
        return threshold, read_run(run.path)[1]

    def unfinished() -> Any:
        kept = run.result.read_bytes()
        run.result.unlink()  # a finished run notes nothing
        try:
            return noted_environment()
        finally:
            run.result.write_bytes(kept)

    return {
        "configuration": Reader(
            _one(run.config, mutated_json),
            lambda: to_dict(run.read_config()),
            (ConfigurationError, PluginError),
            weight=3,
        ),
        "configuration (tables)": Reader(_one(run.config, mutated_json), lambda: read_run(run.path)[0], (ValueError,)),
        "result": Reader(_one(run.result, mutated_json), result, (ValueError,)),
        "picture statistics": Reader(
            _one(run.pictures, mutated_json),
            lambda: to_dict(read_json(PictureStatistics, run.pictures)),
            (ConfigurationError,),
        ),
        "data description": Reader(
            _one(run.data, mutated_json), noted_data, (ConfigurationError, RuntimeError), weight=0.6
        ),
        "environment": Reader(_one(run.environment, mutated_json), unfinished, (ConfigurationError,), weight=0.3),
    }


def _checkpoints(run: RunFolder, method: str) -> dict[str, Reader]:
    """Parameters, and the state that a training goes on from."""
    config = small_config(method)
    data = small_data(config)

    def model() -> Any:
        judge = open_judge(run.path)
        state = judge.model.trainable_state_dict()
        assert all(value.isfinite().all() for value in state.values())
        return {name: value.numpy() for name, value in state.items()}

    def state() -> Any:
        trainer = Trainer(config, run, data, progress=False)
        assert 0 <= trainer.step <= config.training.steps
        parameters = trainer.model.trainable_state_dict()
        assert all(value.isfinite().all() for value in parameters.values())
        return {name: value.numpy() for name, value in parameters.items()}, trainer.step, trainer.regrad.state_dict()

    return {
        "checkpoint": Reader(
            _one(run.model, mutated_checkpoint),
            lambda: {name: value.numpy() for name, value in read_checkpoint(run.model).tensors.items()},
            (CheckpointError,),
        ),
        "model of a run": Reader(_one(run.model, mutated_checkpoint), model, (CheckpointError,), weight=0.4),
        "state to resume": Reader(_one(run.state, mutated_checkpoint), state, (CheckpointError,), weight=0.4),
    }


def _logs(run: RunFolder) -> dict[str, Reader]:
    """The log, as tables read it (plain and compressed), and as a training goes on with it."""
    other = run.path.parent.parent / "logs"
    other.mkdir()
    plain, packed, resumed = other / "metrics.jsonl", other / "gz" / "metrics.jsonl.gz", other / "resumed.jsonl"
    packed.parent.mkdir()
    content = run.metrics.read_bytes()

    def history(folder: Path) -> Any:
        frames = [read_history(folder, event=event) for event in ("train", "validation")]
        for frame in frames:
            assert frame.empty or frame["step"].map(lambda step: type(step) is int).all()
            frame.drop(columns=["event", "fastest", "improved"], errors="ignore").astype(float)
        return [frame.to_dict("records") for frame in frames]

    def shortened() -> Any:
        TrainingLog(resumed).shorten(8)
        return resumed.read_bytes()

    compressed = gzip.compress(content, mtime=0)
    return {
        "log": Reader((Case(plain, content, mutated_json_lines),), lambda: history(other), (ValueError,)),
        "log, compressed": Reader(
            (Case(packed, compressed, mutated_gzip(mutated_json_lines)),),
            lambda: history(packed.parent),
            (ValueError,),
            names=("metrics.jsonl",),
        ),
        "log to resume": Reader((Case(resumed, content, mutated_json_lines),), shortened, (ValueError,)),
    }


def _checked(scores: Scores) -> Any:
    assert ((scores.scores >= 0) & (scores.scores <= 1)).all() and len(set(scores.ids)) == len(scores)
    assert all((label == 1) == (kind == "live") for label, kind in zip(scores.labels, scores.species, strict=True))
    return [list(scores.ids), scores.labels, list(scores.species), scores.scores]


def _scores(run: RunFolder, packed: Path) -> dict[str, Reader]:
    """Score files, and the packed scores of an archive."""
    file = run.scores / "validation.csv.gz"
    (hdf5,) = packed.rglob("*.h5")

    def read_all() -> Any:
        lists = {}
        for name, of in packed_names(hdf5).items():
            for test in of:
                every = {other: _checked(scores) for other, scores in read_packed_list(hdf5, test).items()}
                assert len(every[name][3]) == len(read_packed(hdf5, name, test))
                lists[name, test] = every[name]
        return lists

    return {
        "scores": Reader(
            _one(file, mutated_gzip(mutated_table(","))), lambda: _checked(read_scores(file)), (ValueError,)
        ),
        "packed scores": Reader(_one(hdf5, mutated_packed), read_all, (ValueError, OSError), weight=2),
    }


def mutated_packed(rng: np.random.Generator, content: bytes) -> bytes:
    """Values of packed scores changed, or whole parts removed, renamed or linked; or some bytes changed."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, content)
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "a") as file:
        group = file[str(rng.choice(sorted(file)))]
        name = str(rng.choice(sorted(group)))
        kind = rng.integers(0, 6)
        values = group[name][()]
        if kind <= 2 and values.dtype.kind in "iuf":
            odd = [0, 1, 7, 100] + ([-1.0, np.nan, np.inf, 1.5, 1e-300] if values.dtype.kind == "f" else [])
            values[tuple(int(rng.integers(0, size)) for size in values.shape)] = rng.choice(odd)
        elif kind <= 2:
            values[int(rng.integers(0, len(values)))] = rng.choice([b"", b"\xff", b"live", b"a\nb", values[0]])
        elif kind == 3:
            values = values[..., : int(rng.integers(0, values.shape[-1]))]
        elif kind == 4:
            values = (
                values.T if values.ndim > 1 else values.reshape(1, -1) if rng.random() < 0.5 else values.astype("S")
            )
        del group[name]
        if kind < 5:
            group[name] = values
        elif rng.random() < 0.5:
            group[name] = h5py.SoftLink("/validation/ids")
    return buffer.getvalue()


def _whole(run: RunFolder, packed: Path) -> dict[str, Reader]:
    """Whole folders through the doors that people use, any one of their files mutated."""
    root, folder = run.path.parent, str(run.path)
    texts = {run.config: mutated_json, run.result: mutated_json, run.metrics: mutated_json_lines}
    scores = {path: mutated_gzip(mutated_table(",")) for path in sorted(run.scores.iterdir())}
    models = {run.config: mutated_json, run.result: mutated_json, run.model: mutated_checkpoint}
    pictures = [np.full((SIZE, SIZE, 3), 120, np.uint8), *(np.full((SIZE, SIZE), 120, np.uint8) for _ in range(2))]
    named = dict(zip((modality.value for modality in MODALITIES), pictures, strict=True))
    out = root.parent / "out"

    def cases(files: dict[Path, Mutation]) -> tuple[Case, ...]:
        return tuple(Case(path, path.read_bytes(), mutation) for path, mutation in files.items())

    def tabled() -> Any:
        frame = collect(root)
        looks = validations(run.path)
        assert frame["hter"].between(0, 1).all() and looks["kept"].sum() == 1
        dynamics(frame)
        RunTimes.recorded(root)
        collect_deployments(root)
        values = [frame, collect_species(root), test_table(run.path)]
        return [value.to_dict("records") for value in values] + [run_findings(run.path)]

    def predicted() -> Any:
        made = predict(**named, model=run.path)  # type: ignore[arg-type]
        assert np.isfinite(made.score) and 0 <= made.threshold <= 1
        return made.score, made.threshold, [note.text for note in made.notes]

    def evaluated() -> Any:
        shutil.rmtree(out, ignore_errors=True)
        return evaluate(run.path, out=out, progress=False)

    def unpacked() -> Any:
        shutil.rmtree(out, ignore_errors=True)
        unpack(packed, out)
        return {
            path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()
        }

    in_archive = {path: _mutation_of(path) for path in sorted(packed.rglob("*")) if path.is_file()}
    return {
        "run folder (tables)": Reader(cases(texts | scores), tabled, (ValueError, OSError), names=(folder,)),
        "run folder (predict)": Reader(
            cases(models | {run.pictures: mutated_json}), predicted, (ValueError, OSError), names=(folder,)
        ),
        "run folder (evaluate)": Reader(
            cases(models), evaluated, (ValueError, OSError), names=(folder, "manifest.csv"), weight=0.4
        ),
        "archive of runs": Reader(cases(in_archive), unpacked, (ValueError, OSError), names=(str(packed),), weight=0.6),
    }


def _mutation_of(path: Path) -> Mutation:
    by_ending: dict[str, Mutation] = {
        ".json": mutated_json,
        ".gz": mutated_gzip(mutated_json_lines),
        ".h5": mutated_packed,
    }
    return by_ending.get(path.suffix, mutated_bytes)
