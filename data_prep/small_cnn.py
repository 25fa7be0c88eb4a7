"""A small late-fusion CNN: the baseline with which the synthetic domains' difficulty was set and is measured."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmdg_lite.data.synthetic import Faces
from mmdg_lite.modality import Modality

WIDTHS = (16, 32, 48, 64)


class SmallCNN(nn.Module):
    """One convolutional encoder per modality; their features are concatenated before one linear layer."""

    def __init__(self, modalities: Sequence[Modality]) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.encoders = nn.ModuleDict({m.value: _encoder(3 if m is Modality.RGB else 1) for m in modalities})
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(4 * WIDTHS[-1] * len(self.modalities), 1))

    def forward(self, images: dict[str, Tensor]) -> Tensor:
        """Logits of live, B, from uint8 images B x 1 or 3 x H x W by the modality's name."""
        features = [self.encoders[m.value](images[m.value].float() / 255 - 0.5) for m in self.modalities]
        logits: Tensor = self.head(torch.cat(features, dim=1))
        return logits[:, 0]


def _encoder(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in WIDTHS:
        layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())


def _tensors(faces: Faces, modalities: Sequence[Modality]) -> dict[str, Tensor]:
    return {m.value: torch.from_numpy(faces[m.value]) for m in modalities}


def train_small_cnn(
    faces: Sequence[Faces], modalities: Sequence[Modality], *, seed: int, samples_seen: int, batch_size: int = 64
) -> SmallCNN:
    """Trains on all faces with random flips (AdamW, one-cycle rate), until so many samples have been seen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmallCNN(modalities)
        parts = [_tensors(part, modalities) for part in faces]
        images = {m.value: torch.cat([part[m.value] for part in parts]) for m in modalities}
        labels = torch.cat([torch.from_numpy(part.label) for part in faces]).float()
        steps = samples_seen // batch_size
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
        order = torch.cat([torch.randperm(len(labels)) for _ in range(samples_seen // len(labels) + 1)])
        for rows in order[: steps * batch_size].split(batch_size):
            batch = {name: values[rows] for name, values in images.items()}
            if torch.rand(()) < 0.5:
                batch = {name: values.flip(-1) for name, values in batch.items()}
            loss = nn.functional.binary_cross_entropy_with_logits(model(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def cnn_scores(model: SmallCNN, faces: Faces) -> NDArray[np.float64]:
    """P(live) of every face."""
    return np.asarray(torch.sigmoid(model(_tensors(faces, model.modalities)).double()).numpy())
