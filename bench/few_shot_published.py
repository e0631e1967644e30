"""The published protocol of CPE-CLIP on CIFAR-100, for who has the weights of CLIP ViT-B/16.

    model         a folder that transformers opens as a `CLIPModel`, with tokenizer and image
                  processor
    photographs   train*.parquet and test*.parquet: a column `image` of encoded pictures, a
                  column `fine_label`, and `label_names` in the metadata, joined by commas
    lists         session_2.txt and so on, a row number of the training table in each line;
                  without them the few pictures are drawn

Expected: Avg 83.4 +- 0.5 and PD about 7.3 over the five published seeds.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from holdfast.measure.sessions import SessionReport
from holdfast.train.few_shot.base import sessions
from holdfast.train.few_shot.blend import Blend
from holdfast.train.few_shot.prompted import Prompted, PromptRecipe
from holdfast.train.few_shot.prototypes import Prototypes, Teen
from holdfast.train.few_shot.zero_shot import ZeroShot
from holdfast.train.interface import Interface
from holdfast.train.prompts.clip import PromptedClip
from holdfast.train.scenarios import few_shot

from .record import Record, say


class Photographs:
    """Encoded pictures that become what the model wants when they are asked for."""

    def __init__(self, images: Sequence[bytes], processor: Any) -> None:
        self.images, self.processor = images, processor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, items: Any) -> torch.Tensor:
        shown = [
            Image.open(io.BytesIO(self.images[int(item)])).convert("RGB")
            for item in torch.as_tensor(items).reshape(-1)
        ]
        found: torch.Tensor = self.processor(images=shown, return_tensors="pt")["pixel_values"]
        return found


def read(folder: Path, part: str) -> tuple[list[bytes], np.ndarray, list[str]]:
    """Pictures, class numbers and names of classes."""
    import pyarrow.parquet as pq

    (path,) = sorted(folder.glob(f"{part}*.parquet"))
    table = pq.read_table(path)
    names = table.schema.metadata[b"label_names"].decode().replace("_", " ").split(",")
    return table["image"].to_pylist(), table["fine_label"].to_numpy().astype(np.int64), names


def lists_of(folder: Path | None, count: int) -> list[np.ndarray] | None:
    """Row numbers of the pictures of each later session."""
    if folder is None:
        return None
    paths = [folder / f"session_{t + 2}.txt" for t in range(count)]
    return [np.array(path.read_text().split(), dtype=np.int64) for path in paths]


def published(
    record: Record,
    model: Path,
    photographs: Path,
    lists: Path | None,
    device: str,
    seeds: Sequence[int],
    *,
    base: int = 60,
    ways: int = 5,
    depth: int = 12,
    recipe: PromptRecipe | None = None,
) -> None:
    """Run it with every seed; classes come in the order of their numbers."""
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    tokenizer, pictures = (
        AutoTokenizer.from_pretrained(model),
        AutoImageProcessor.from_pretrained(model),
    )

    def tokenize(texts: list[str]) -> Any:
        return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")

    shown, numbers, names = read(photographs, "train")
    tested, truth, _ = read(photographs, "test")
    steps = [names[:base]] + [names[n : n + ways] for n in range(base, len(names), ways)]
    chosen, train = lists_of(lists, len(steps) - 1), Photographs(shown, pictures)
    found: dict[str, list[SessionReport]] = {}
    for seed in seeds:
        scenario = few_shot(
            np.array(names)[numbers], Interface("few-shot", capacity=1024), steps, 5, seed, chosen
        )
        clip = CLIPModel.from_pretrained(model).to(device)
        frozen = PromptedClip(clip, tokenize, prompts=0, depth=depth)
        made = PromptedClip(clip, tokenize, depth=depth, seed=seed)
        given = recipe or PromptRecipe(seed=seed)
        methods = {"CPE-CLIP": Prompted(made, given, device=device, size=64)}
        if seed == seeds[0]:  # the others hardly depend on it
            photo = ("a photo of a {}.",)
            methods |= {
                "zero-shot": ZeroShot(frozen, photo, device, 64),
                "image prototypes": Prototypes(frozen, device=device, size=64),
                "TEEN": Teen(frozen, device=device, size=64),
                "blend of names and prototypes": Blend(
                    frozen, templates=photo, device=device, size=64
                ),
            }
        for name, method in methods.items():
            begun = time.perf_counter()
            answers = [
                done.predict(Photographs(tested, pictures))
                for done in sessions(method, train, scenario)
            ]
            report = SessionReport.of(answers, truth, [len(step) for step in steps])
            found.setdefault(name, []).append(report)
            say(f"seed {seed} {name}: {time.perf_counter() - begun:.0f} s")
    for name, reports in found.items():
        for metric, values in (
            ("Avg", [report.average().value for report in reports]),
            ("PD", [report.drop().value for report in reports]),
            ("HM", [report.harmonic().value for report in reports]),
        ):
            data = f"CIFAR-100 from {len(shown):,} photographs"
            record.mean(metric, name, values, data=data, seed=seeds[0])
