"""Write the synthetic domains in the common form: rendered rather than read, otherwise like any converted data set."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from einops import rearrange
from tqdm.auto import tqdm

from data_prep.conversion import check_settings, locked, remove_partial, writing
from data_prep.journal import Journal
from data_prep.sources import Reading
from data_prep.worker import Settings, Task, write_sample
from mmdg_lite.data.real.lists import SPLITS, ListRow
from mmdg_lite.data.real.manifest import MANIFEST, ManifestRow, write_manifest
from mmdg_lite.data.synthetic import BENCHMARK_VERSION, Faces, benchmark_split
from mmdg_lite.modality import MODALITIES

# those of the full profile, so that a run on the written files equals one on faces in memory
SIZES = {"train": 240, "val": 400, "test": 2000}
SEED = 2026


def synthetic(
    out: Path,
    *,
    domain: str,
    samples: Mapping[str, int] = SIZES,
    seed: int = SEED,
    size: int = 64,
    format: str = "png",
    progress: bool = True,
) -> Path:
    """Render one domain into `out`, in the common form; what is there already is not written again.

    Ids are those of the same samples rendered in memory. Returns the manifest's path. Raises `OutputError` if the
    folder holds something else or cannot be written to.
    """
    settings = Settings(out=out, size=size, format=format)
    rows: list[ManifestRow] = []
    with locked(out), writing(out), Journal(out) as journal:
        check_settings(settings, dataset="synthetic", domain=domain, benchmark=BENCHMARK_VERSION, seed=seed)
        remove_partial(out)
        for split in SPLITS:
            ids = [f"{domain}-{split}-{number:05d}" for number in range(samples[split])]
            done = {id for id in ids if id in journal.entries and journal.entries[id].intact(out)}
            todo = [number for number, id in enumerate(ids) if id not in done]
            if todo:
                faces = benchmark_split(domain, split, samples[split], seed, size=size)
                for number in tqdm(todo, desc=f"writing synthetic {domain} {split}", disable=not progress):
                    task = Task(ids[number], split, _row(faces, number))
                    entry = write_sample(settings, _reading(faces, number), task, domain=domain)
                    journal.append([replace(entry, row=replace(entry.row, list_line=0))])
            rows.extend(journal.entries[id].row for id in ids)
        write_manifest(out / MANIFEST, rows)
    return out / MANIFEST


def _reading(faces: Faces, number: int) -> Reading:
    images = {m: rearrange(getattr(faces, m.value)[number], "c h w -> h w c") for m in MODALITIES}
    return Reading(images=images)


def _row(faces: Faces, number: int) -> ListRow:
    """A rendered sample described like a list's row."""
    return ListRow(
        line=number,
        paths=("synthetic", "synthetic", "synthetic"),
        label=int(faces.label[number]),
        species=faces.species[number],
        subject=faces.subject[number],
        clip="synthetic",
        frames=("0", "0", "0"),
    )
