"""The numbers of MODEL_CARD.md, from the committed scores of the shipped models (command `model-card`).

`figures/model_card.json` is measured anew, and what stands between the card's marks is rewritten from it.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from mmdg_lite.configuration import ASSETS, REPOSITORY, read_json, write_json
from mmdg_lite.results.collect import collect_with_species
from mmdg_lite.results.marked_text import rewrite_measured_part
from mmdg_lite.results.table_text import grid, interval, percent
from mmdg_lite.runs.scores import missing_words
from mmdg_lite.studies.quickstart import RECORD, Record

RATES = ("hter", "hter_low", "hter_high", "hter_at_eer", "auc", "apcer", "bpcer", "acer")


def measure(run: str | Path) -> dict[str, Any]:
    """Metrics of the shipped MMDG++ from the scores of the run that made it, fractions.

    Raises ValueError if the run is not the one that the shipped record tells of.
    """
    record = read_json(Record, ASSETS / RECORD)
    rows, species = collect_with_species(run)
    tests: dict[Any, float] = rows.set_index(["target", "missing"])["hter"].to_dict()
    for name, hter in record.test_hter.items():
        target, _, missing = name.removeprefix("test_").partition("_without_")
        if abs(tests[target, missing] - hter) > 1e-9:
            raise ValueError(f"{run} is not the run that the shipped model comes from: {name} has another HTER")
    columns = ["target", "missing", "live", "spoof", *RATES]
    complete = species[species["missing"] == ""]
    probe = json.loads((ASSETS / "tiny_clip_record.json").read_text(encoding="utf-8"))["report"]["linear_probe"]
    return {
        "setting": record.config.setting,
        "method": record.config.method,
        "seed": record.config.seed,
        "threshold": record.threshold,
        "kept_step": record.kept_step,
        "tests": json.loads(rows[columns].to_json(orient="records", double_precision=15)),
        "apcer_per_species": {str(s): float(a) for s, a in zip(complete["species"], complete["apcer"], strict=True)},
        "tiny_clip_probe": probe["trained"],
    }


def card_text(report: dict[str, Any]) -> str:
    """The measured part of the card as Markdown."""
    tests = [
        {
            "test domain": test["target"],
            "missing": missing_words(test["missing"]),
            "faces": f"{test['live']} live, {test['spoof']} attacks",
            "HTER": percent(test["hter"]),
            "95 % interval": interval(test["hter_low"], test["hter_high"]),
            "HTER at EER point": percent(test["hter_at_eer"]),
            "AUC": percent(test["auc"]),
            "APCER": percent(test["apcer"]),
            "BPCER": percent(test["bpcer"]),
        }
        for test in report["tests"]
    ]
    species = sorted(report["apcer_per_species"].items(), key=lambda item: (-item[1], item[0]))
    accepted = [{"attack species": name.replace("_", " "), "APCER": percent(value)} for name, value in species]
    columns = [(where, metric) for where in ("across", "inside") for metric in ("eer", "auc")]
    probe = [
        {"domain": p["domain"]} | {f"{where}, {metric}": percent(p[f"{where}_{metric}"]) for where, metric in columns}
        for p in report["tiny_clip_probe"]
    ]
    return "\n\n".join(
        [
            f"**{report['method']}**, {report['setting']}, seed {report['seed']}, kept step {report['kept_step']}, "
            f"threshold {report['threshold']:.4f} from the sources' validation lists; one run; percent.",
            grid(pd.DataFrame(tests)),
            "Accepted attacks by species, everything present:",
            grid(pd.DataFrame(accepted)),
            "**Tiny CLIP**, converged linear probe on frozen features, the domain left out (across) or not (inside):",
            grid(pd.DataFrame(probe)),
        ]
    )


def renew_card(
    card: str | Path = REPOSITORY / "MODEL_CARD.md",
    *,
    report: str | Path = REPOSITORY / "figures" / "model_card.json",
    run: str | Path = REPOSITORY / "figures/scores/full/P1/CPS-to-W/mmdg++/seed0",
) -> list[Path]:
    """Measure the shipped models anew, and rewrite the report and the measured part of the card; returns both paths."""
    values = measure(run)
    write_json(Path(report), values)
    rewrite_measured_part(Path(card), card_text(values))
    return [Path(report), Path(card)]
