"""What a pre-trained CLIP can do with rendered pictures: retrieval by attribute, zero-shot and linear separation.

Everything is measured on scenes that were not trained on and is reported beside chance, whatever it is.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from mmdg_lite.data.renderer.sensors import Images
from mmdg_lite.data.synthetic import BENCHMARK_VERSION, DOMAINS, benchmark_split, render
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import encode_text, load_clip, normalise, tokenize
from mmdg_lite.pretraining.captions import Facts
from mmdg_lite.pretraining.pairs import PairBatches
from mmdg_lite.pretraining.phrases import DETAILS, FACES, FAKE, PHOTOS, REAL
from mmdg_lite.prompts import sentences

Features = NDArray[np.float32]

HELD_OUT_SEED = 1_000_003
"""Seed of everything that is measured on; pre-training seeds are to be smaller."""
SKIN = ("{photo} of a face of skin", "{photo} of a human face of skin, with a solid shape")
NOT_SKIN = (
    "{photo} of a face printed on paper, on a flat sheet",
    "{photo} of a face on a screen",
    "{photo} of a face of cardboard, folded from a sheet",
    "{photo} of a face of plastic",
    "{photo} of a face of silicone",
    "{photo} of a face of plaster",
)


def report(
    clip: CLIP,
    *,
    batches: int = 24,
    faces: int = 40,
    objects: int = 24,
    domain_samples: int = 600,
    probe_samples: int = 600,
    domains: Sequence[str] | None = None,
    seed: int = HELD_OUT_SEED,
) -> dict[str, Any]:
    """Measures a CLIP on rendered pictures; returns plain numbers, ready for JSON.

    Args:
        clip: the frozen model, for 64-pixel images.
        batches, faces, objects: held-out batches for retrieval, and scenes of each kind in one.
        domain_samples: faces per domain for zero-shot separation.
        probe_samples: faces per domain to fit the linear probe on, and to test it on.
        domains: letters of the evaluation domains; None for all.
        seed: of the held-out scenes.
    """
    letters = tuple(DOMAINS) if domains is None else tuple(domains)
    return {
        "benchmark_version": BENCHMARK_VERSION,
        "held_out_seed": seed,
        "held_out_scenes": {"faces": batches * faces, "objects": batches * objects},
        "retrieval": retrieval(clip, batches=batches, faces=faces, objects=objects, seed=seed),
        "zero_shot": zero_shot(clip, letters, samples=domain_samples, seed=seed),
        "linear_probe": {
            "samples_per_domain": probe_samples,
            "trained": linear_probe(clip, letters, samples=probe_samples, seed=seed),
            "random": linear_probe(load_clip("tiny", checkpoint="random"), letters, samples=probe_samples, seed=seed),
        },
    }


def retrieval(clip: CLIP, *, batches: int, faces: int, objects: int, seed: int) -> list[dict[str, Any]]:
    """How often the right value of an attribute is the one whose phrases are closest to the picture.

    Returns:
        One entry per kind of scene, attribute and modality: `accuracy` is the mean over the values of the share
        of their pictures that retrieve them, `chance` is 1 / number of values, `pictures` how many were asked.
    """
    source = PairBatches(seed=seed, faces=faces, objects=objects)
    features: list[Features] = []
    facts: list[Facts] = []
    for number in tqdm(range(batches), desc="retrieval", unit="batch"):
        pairs = source[number]
        features.append(image_features(clip, pairs.images))
        facts += pairs.facts
    pictures = np.concatenate(features)
    asked: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, known in enumerate(facts):
        kind = "face" if known["subject"] == "face" else "object"
        for attribute in known:
            if attribute in DETAILS or (kind == "object" and attribute in ("subject", "reality")):
                asked[kind, attribute, known["modality"]].append(i)
    results = []
    for (kind, attribute, modality), chosen in sorted(asked.items()):
        truth = np.array([facts[i][attribute] for i in chosen])
        values = sorted(set(truth))
        if len(values) < 2:
            continue
        found = np.empty_like(truth)
        for subject in sorted({facts[i]["subject"] for i in chosen}):
            prompts = [_prompts(attribute, value, subject, Modality(modality)) for value in values]
            own = np.array([facts[i]["subject"] == subject or attribute == "subject" for i in chosen])
            found[own] = np.array(values)[(pictures[chosen][own] @ class_features(clip, prompts).T).argmax(axis=1)]
        recalls = [float((found[truth == value] == value).mean()) for value in values]
        results.append(
            {
                "kind": kind,
                "attribute": attribute,
                "modality": modality,
                "accuracy": float(np.mean(recalls)),
                "chance": 1 / len(values),
                "pictures": len(chosen),
            }
        )
    return results


def zero_shot(clip: CLIP, letters: Sequence[str], *, samples: int, seed: int) -> list[dict[str, Any]]:
    """Area under the ROC curve of live against spoof by text alone, per domain and modality; chance is 0.5.

    `words`: the sentences of `templates.py`, which say real, fake and so on. `materials`: sentences that name what live
    and presented faces are made of.
    """
    results = []
    for letter in tqdm(letters, desc="zero-shot", unit="domain"):
        drawn = render(letter, samples, seed)
        for modality in MODALITIES:
            pictures = image_features(clip, drawn[modality.value])
            photo = PHOTOS[modality.value][0]
            pairs = {
                "words": [sentences(modality, live=live) for live in (True, False)],
                "materials": [[text.format(photo=photo) for text in group] for group in (SKIN, NOT_SKIN)],
            }
            entry: dict[str, Any] = {"domain": letter, "modality": modality.value, "chance": 0.5}
            for name, prompts in pairs.items():
                similarity = pictures @ class_features(clip, prompts).T
                live, spoof = similarity[:, 0], similarity[:, 1]
                entry[name] = float(roc_auc_score(drawn.label, live - spoof))
            results.append(entry)
    return results


def linear_probe(clip: CLIP, letters: Sequence[str], *, samples: int, seed: int) -> list[dict[str, Any]]:
    """Converged logistic regression on the frozen features of all three modalities, trained on the other domains.

    Also, as "inside", trained and tested in the same domain with disjoint subjects. `eer` is the equal error rate
    on the test samples.
    """

    def features(faces: Images) -> Features:
        return np.concatenate([image_features(clip, faces[modality.value]) for modality in MODALITIES], axis=1)

    fit = {letter: benchmark_split(letter, "train", samples, seed) for letter in letters}
    test = {letter: benchmark_split(letter, "val", samples, seed) for letter in letters}
    fitted = {letter: features(faces) for letter, faces in fit.items()}
    results = []
    for letter in tqdm(letters, desc="linear probe", unit="domain"):
        tested = features(test[letter])
        entry: dict[str, Any] = {"domain": letter}
        for name, sources in (("across", [other for other in letters if other != letter]), ("inside", [letter])):
            if not sources:
                continue
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
            probe.fit(np.concatenate([fitted[s] for s in sources]), np.concatenate([fit[s].label for s in sources]))
            metrics = evaluate_scores(probe.predict_proba(tested)[:, 1], test[letter].label)
            entry |= {f"{name}_auc": metrics.auc, f"{name}_eer": metrics.eer}
        results.append(entry)
    return results


@torch.no_grad()
def image_features(clip: CLIP, images: NDArray[np.uint8], *, block: int = 256) -> Features:
    """Unit-length features, n x D, of uint8 images n x 3 x H x W or n x 1 x H x W."""
    device = clip.logit_scale.device
    parts = [
        clip.encode_image(normalise(images[i : i + block], device), normalize=True).cpu().numpy()
        for i in range(0, len(images), block)
    ]
    return np.concatenate(parts)


@torch.no_grad()
def class_features(clip: CLIP, prompts: Sequence[Sequence[str]]) -> Features:
    """Unit-length mean of the unit-length features of each class's sentences, classes x D."""
    means = []
    for group in prompts:
        tokens = tokenize(list(group)).to(clip.logit_scale.device)
        mean = encode_text(clip, tokens, normalize=True).mean(dim=0)
        means.append((mean / mean.norm()).cpu().numpy())
    return np.stack(means)


def _prompts(attribute: str, value: str, subject: str, modality: Modality) -> list[str]:
    """Sentences that state one value of one attribute of a picture."""
    photo = PHOTOS[modality.value][0]
    if attribute == "subject":
        return [f"{photo} of a {value}"]
    if attribute == "reality":
        return [f"{photo} of {text.format(thing=subject)}" for text in (REAL if value == "real" else FAKE)]
    thing = FACES[0] if subject == "face" else f"a {subject}"
    return [f"{photo} of {thing}, {phrase}" for phrase in DETAILS[attribute][value]]
