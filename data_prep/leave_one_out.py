"""WMCA's own leave-one-out protocols: `PROTOCOL-LOO_<species>.csv`, with the columns `file` and `group`.

Groups `train`, `dev` and `eval` become the splits train, val and test. A file of these tables is a recording; its
frames are chosen here, evenly spaced over those that both of its HDF5 files hold.
"""

import re
from pathlib import Path

from data_prep.wmca import Wmca
from mmdg_lite.data.real.csv_table import read_csv_table
from mmdg_lite.data.real.lists import MODALITY_FOLDERS, SPLITS, ListError, ListRow
from mmdg_lite.data.real.species import wmca_species

SPLIT_OF_GROUP = {"train": "train", "dev": "val", "eval": "test"}
FRAMES = 3
"""Frames of each recording, about as many as the benchmark's lists of WMCA take."""
_TOP = "WMCA-Image/R_CDIT"


def read_leave_one_out(path: str | Path, source: Wmca, *, frames: int = FRAMES) -> dict[str, list[ListRow]]:
    """The rows of such a table by their splits, `frames` for each recording; fewer where a recording has fewer.

    A recording that is not among the source's files keeps one row, so that the conversion reports it as missing.
    Raises `ListError` (file, line, reason) for other columns or groups, a name that is none of WMCA's, or a recording
    that stands there twice; `OSError` if the table cannot be read.
    """
    path = Path(path)
    table = read_csv_table(path, cure="is this one of WMCA's tables?")
    if not {"file", "group"} <= set(table.columns):
        raise ListError(path, table.line, f"the columns file and group are needed; found {table.found}")
    rows: dict[str, list[ListRow]] = {split: [] for split in SPLITS}
    seen: dict[str, int] = {}
    for line, fields in table.records():
        if fields["group"] not in SPLIT_OF_GROUP:
            raise ListError(path, line, f"the group must be train, dev or eval, got {fields['group'][:40]!r}")
        video = re.split(r"[/\\]", fields["file"])[-1].removesuffix(".hdf5")
        if video in seen:
            raise ListError(path, line, f"{video[:80]}: listed for the second time (line {seen[video]})")
        seen[video] = line
        rows[SPLIT_OF_GROUP[fields["group"]]].extend(_rows(path, line, video, source, frames))
    if not seen:
        raise ListError(path, 1, "the table has no recordings")
    return {split: part for split, part in rows.items() if part}


def _rows(path: Path, line: int, video: str, source: Wmca, frames: int) -> list[ListRow]:
    """The chosen frames of one recording. Their lines are numbered below that of the recording: 7 gives 7000, 7001."""
    clip = f"{_TOP}/{video}"
    try:
        label = int(re.fullmatch(r"[0-9]{3}_[0-9]{2}_[0-9]{3}_0_[0-9]{2}", video) is not None)
        species, subject = wmca_species(clip, label)
    except ValueError as error:
        raise ListError(path, line, str(error)) from error
    common = source.common_frames(video) or (0,)
    count = min(frames, len(common))
    chosen = sorted({common[(2 * number + 1) * len(common) // (2 * count)] for number in range(count)})
    rows = []
    for number, frame in enumerate(chosen):
        rgb, depth, infrared = (f"{clip}/{folder}/{frame:04d}.jpg" for folder in MODALITY_FOLDERS["W"])
        name = f"{frame:04d}"
        row = ListRow(1000 * line + number, (rgb, depth, infrared), label, species, subject, clip, (name, name, name))
        rows.append(row)
    return rows
