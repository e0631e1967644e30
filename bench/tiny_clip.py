"""Small CLIP models: made of random weights, trained on one thread, kept as folders.

A folder holds what one from the hub holds (weights, tokenizer, image processor), so the library
opens it as it opens a real model. The tokenizer knows whole words.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from transformers import (
    AutoImageProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
)

PAD, BOS, UNKNOWN, EOS = "[PAD]", "[BOS]", "[UNK]", "[EOS]"
SPECIAL = (PAD, BOS, UNKNOWN, EOS)  # ids 0 to 3: CLIP reads an end of id 2 in another way
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Size:
    """How large a model is, and how long it learns.

    Args:
        width: Of both towers.
        layers: Of both towers.
        dim: Of the vectors.
        image: Side of a picture in pixels.
        patch: Side of a patch.
        steps: Of training.
        tokens: Most tokens of a caption, with its two ends.
        batch: Pairs in a step.
        rate: AdamW's learning rate at its highest.
    """

    width: int
    layers: int
    dim: int
    image: int = 32
    patch: int = 8
    steps: int = 0
    tokens: int = 20
    batch: int = 128
    rate: float = 1e-3


def build(folder: Path, words: Sequence[str], size: Size, seed: int) -> None:
    """Write a model of random weights.

    Args:
        folder: Where; made.
        words: What its tokenizer knows, apart from the special tokens.
        size: How large.
        seed: Of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(_config(len(SPECIAL) + len(words), size))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor = CLIPProcessor(image_processor=_pictures(size), tokenizer=_tokenizer(words, size))
    processor.save_pretrained(folder)


def _config(vocabulary: int, size: Size) -> CLIPConfig:
    shared = {
        "hidden_size": size.width,
        "intermediate_size": 2 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": 4,
        "projection_dim": size.dim,
    }
    text = {
        **shared,
        "vocab_size": vocabulary,
        "max_position_embeddings": size.tokens,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 3,
    }
    vision = {**shared, "image_size": size.image, "patch_size": size.patch}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=size.dim)


def _pictures(size: Size) -> Any:
    # The kind without torchvision has another name in newer versions of the library.
    import transformers

    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    side = {"height": size.image, "width": size.image}
    return kind(size=side, do_center_crop=False, image_mean=list(MEAN), image_std=list(STD))


def _tokenizer(words: Sequence[str], size: Size) -> PreTrainedTokenizerFast:
    ids = {word: place for place, word in enumerate([*SPECIAL, *words])}
    plain = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    plain.normalizer = normalizers.Lowercase()
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(BOS, ids[BOS]), (EOS, ids[EOS])]
    plain.post_processor = processors.TemplateProcessing(f"{BOS} $A {EOS}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token=PAD,
        bos_token=BOS,
        unk_token=UNKNOWN,
        eos_token=EOS,
        model_max_length=size.tokens,
    )


def words_of(texts: Sequence[str]) -> list[str]:
    """Every word of some texts, as the tokenizer cuts them, sorted."""
    cut, lower = pre_tokenizers.Whitespace(), normalizers.Lowercase()
    found = {w for text in texts for w, _ in cut.pre_tokenize_str(lower.normalize_str(text))}
    return sorted(found)


def pixels(images: Sequence[np.ndarray], side: int) -> torch.Tensor:
    """(n, 3, side, side) bytes: what the image processor answers before it scales them."""
    out = np.empty((len(images), side, side, 3), dtype=np.uint8)
    for place, image in enumerate(images):
        small = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        out[place] = np.asarray(small)
    return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class Lessons:
    """What a model learns from.

    Args:
        images: (n) pictures, (h, w, 3) bytes.
        captions: For each picture the texts that fit it.
        kinds: (n,) numbers; pictures of one number are no rivals of each other.
        moved: Share of the side by which pictures are moved and stretched at random.
    """

    images: Sequence[np.ndarray]
    captions: Sequence[Sequence[str]]
    kinds: np.ndarray
    moved: float = 0.0


def train(
    folder: Path,
    lessons: Lessons,
    size: Size,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Train the model of a folder, and write it back when done.

    Symmetric InfoNCE with a learned scale; AdamW, a warm-up of a twentieth, cosine decay.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = CLIPModel.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    shown = pixels(lessons.images, size.image)
    texts = sorted({text for own in lessons.captions for text in own})
    places = {text: place for place, text in enumerate(texts)}
    own = [[places[text] for text in captions] for captions in lessons.captions]
    ids = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")["input_ids"]
    adam = torch.optim.AdamW(model.parameters(), lr=size.rate, weight_decay=0.01)
    warm = max(1, size.steps // 20)
    model.train()
    for step in range(size.steps):
        rate = min(1.0, (step + 1) / warm) * 0.5 * (1 + np.cos(np.pi * step / size.steps))
        for group in adam.param_groups:
            group["lr"] = size.rate * rate
        rows = rng.choice(len(own), size=min(size.batch, len(own)), replace=False)
        told = torch.tensor([own[row][rng.integers(len(own[row]))] for row in rows])
        seen = moved(scaled(shown[rows]), lessons.moved, rng)
        loss = contrast(model, seen, ids[told], torch.from_numpy(lessons.kinds[rows]))
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)
        if step % 200 == 0 or step == size.steps - 1:
            say(f"step {step}: loss {loss.item():.3f}")
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(folder, fresh)
    model.eval().save_pretrained(fresh)
    shutil.rmtree(folder)
    fresh.rename(folder)


def contrast(
    model: CLIPModel, seen: torch.Tensor, ids: torch.Tensor, kinds: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE; pictures of one kind share each other's captions."""
    images = functional.normalize(feature(model.get_image_features(pixel_values=seen)))
    texts = functional.normalize(feature(model.get_text_features(input_ids=ids)))
    logits = model.logit_scale.exp() * images @ texts.T
    same = (kinds[:, None] == kinds[None, :]).float()
    goal = same / same.sum(1, keepdim=True)
    return 0.5 * (functional.cross_entropy(logits, goal) + functional.cross_entropy(logits.T, goal))


def feature(answer: Any) -> torch.Tensor:
    """(n, d) rows of either kind of answer."""
    return answer if isinstance(answer, torch.Tensor) else answer.pooler_output


def scaled(images: torch.Tensor) -> torch.Tensor:
    """Bytes to numbers from -1 to 1."""
    return images.float() / 127.5 - 1.0


def moved(images: torch.Tensor, share: float, rng: np.random.Generator) -> torch.Tensor:
    """Each picture moved and stretched a little, its border repeated."""
    if not share:
        return images
    count = len(images)
    drawn = rng.uniform(-share, share, size=(count, 4)).astype(np.float32)
    frames = np.zeros((count, 2, 3), dtype=np.float32)
    frames[:, 0, 0], frames[:, 1, 1] = 1 + drawn[:, 0], 1 + drawn[:, 1]
    frames[:, :, 2] = 2 * drawn[:, 2:]
    grid = functional.affine_grid(torch.from_numpy(frames), list(images.shape), False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def image_processor(folder: Path) -> Any:
    """What the library itself would read there."""
    return AutoImageProcessor.from_pretrained(folder)
