"""Pictures with captions, and what an old and a new model learn of them.

    digits    two of scikit-learn's handwritten digits in colour, side by side; made here
    emoji     the old model saw one drawing of each, small; the new one another as well, larger,
              and a third of some. Searched is the third drawing of the others
    icons     the old model saw half of the icons, small; the new one all but those searched
    cifar100  photographs with the word each was collected with; the old model saw fewer

Every world has captions for text-only training, support pairs that no model was trained on, and
a test part that nothing else shares a picture with.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image

from .judged import DATA
from .tiny_clip import Lessons, Size

COLOURS = MappingProxyType(
    {
        "red": (230, 50, 50),
        "green": (50, 200, 70),
        "blue": (70, 90, 240),
        "yellow": (230, 220, 50),
        "purple": (180, 60, 210),
        "white": (245, 245, 245),
    }
)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FORMS = (
    "a {a} left of a {b}",
    "a {b} to the right of a {a}",
    "there is a {a} and then a {b}",
    "a picture of a {a} beside a {b}",
)


@dataclass(frozen=True)
class Split:
    """Pictures and the captions of all of them.

    Args:
        images: (n) pictures, (h, w, 3) bytes.
        captions: Distinct texts.
        of: For each picture the places of its captions.
    """

    images: Sequence[np.ndarray]
    captions: Sequence[str]
    of: Sequence[Sequence[int]]

    @classmethod
    def told(cls, images: Sequence[np.ndarray], texts: Sequence[Sequence[str]]) -> Split:
        """From the texts of each picture."""
        distinct = list(dict.fromkeys(text for own in texts for text in own))
        places = {text: place for place, text in enumerate(distinct)}
        of = [sorted({places[text] for text in own}) for own in texts]
        return cls(images, distinct, of)

    def texts(self) -> list[list[str]]:
        """The captions of each picture."""
        return [[self.captions[place] for place in own] for own in self.of]


@dataclass(frozen=True)
class World:
    """One data set, as two models see it.

    Args:
        name: Of the set.
        old, new: What each model learns from.
        sizes: Of the old and of the new model.
        texts: Captions for text-only training of a bridge.
        support: Pairs to choose and adapt on.
        test: What is searched.
        told: What it is, for the page.
    """

    name: str
    old: Lessons
    new: Lessons
    sizes: tuple[Size, Size]
    texts: Sequence[str]
    support: Split
    test: Split
    told: str

    @property
    def words(self) -> list[str]:
        """Every text that a tokenizer must know."""
        own = [text for lessons in (self.old, self.new) for o in lessons.captions for text in o]
        return [*own, *self.texts, *self.support.captions, *self.test.captions]


def present() -> bool:
    """Whether the real pictures are here."""
    return all((DATA / name).exists() for name in ("emoji", "icons", "cifar100"))


def digits(seed: int, quick: bool = False) -> World:
    """Scenes of two digits: 3,600 of them, 1,000 for the test alone."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    found = load_digits()
    glyphs = [found.images[found.target == number] for number in range(10)]
    train = [g[: int(0.7 * len(g))] for g in glyphs]  # other hands write the test
    last = [g[int(0.7 * len(g)) :] for g in glyphs]
    scenes = rng.permutation(3600)
    held, known = scenes[:1000], scenes[1000:]
    if quick:
        held, known = held[:120], known[:600]
    many = (600, 800, 200) if quick else (8000, 12000, 1200)

    def drawn(rows: np.ndarray, hands: Sequence[np.ndarray], forms: int) -> tuple[list, list]:
        images = [scene(int(row), hands, rng) for row in rows]
        texts = []
        for row in rows:
            chosen = rng.choice(4, size=forms, replace=False)
            texts.append([_caption(int(row), FORMS[form]) for form in chosen])
        return images, texts

    lessons = []
    for count in many[:2]:
        rows = rng.choice(known, size=count)
        lessons.append(Lessons(*drawn(rows, train, 4), kinds=rows))
    support = Split.told(*drawn(rng.choice(known, size=many[2]), last, 1))
    test = Split.told(*drawn(held, last, 1))
    texts = [_caption(int(row), form) for row in known for form in FORMS]
    texts = [texts[place] for place in rng.permutation(len(texts))[:8000]]
    old, new = Size(32, 2, 32, steps=900), Size(64, 2, 64, steps=2200)
    if quick:
        old, new = Size(16, 1, 16, steps=60), Size(32, 2, 24, steps=150)
    told = "scenes of two handwritten digits in 6 colours, 32 x 32, one caption each"
    return World("digits", lessons[0], lessons[1], (old, new), texts, support, test, told)


def scene(number: int, hands: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Scene of a number below 3,600: digit, colour, digit, colour; by hands of each digit."""
    canvas = rng.integers(0, 60, size=(32, 32, 3)).astype(np.float32)
    for half, part in enumerate(divmod(number, 60)):
        digit, colour = divmod(part, 6)
        glyph = hands[digit][rng.integers(len(hands[digit]))] / 16.0
        side = int(rng.integers(12, 16))
        ink = Image.fromarray((glyph * 255).astype(np.uint8)).resize((side, side))
        mask = np.asarray(ink, dtype=np.float32)[..., None] / 255.0
        top, left = int(rng.integers(0, 33 - side)), half * 16 + int(rng.integers(0, 17 - side))
        paint = np.array(list(COLOURS.values())[colour], dtype=np.float32)
        place = canvas[top : top + side, left : left + side]
        place[:] = (1 - mask) * place + mask * paint
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _caption(number: int, form: str) -> str:
    names = []
    for part in divmod(number, 60):
        digit, colour = divmod(part, 6)
        names.append(f"{list(COLOURS)[colour]} {NUMBERS[digit]}")
    return form.format(a=names[0], b=names[1])


def emoji(seed: int) -> World:
    """Noto, small, for the old model; two more drawings for the new one; Twemoji is searched."""
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "emoji" / "emoji_images.parquet").to_pylist()
    rows = [row for row in table if not row["skin_tone"]]
    noto, other, searched = (
        [_decoded(row[kind]) for row in rows] for kind in ("noto", "openmoji", "twemoji")
    )
    texts = [_emoji_texts(row) for row in rows]
    order = np.random.default_rng(seed).permutation(len(rows))
    test, support, rest = np.split(order, [800, 1100])
    everyone = np.arange(len(rows))
    old = Lessons(noto, texts, everyone, 0.12)
    new = Lessons(
        [*noto, *other, *(searched[place] for place in rest)],
        [*texts, *texts, *(texts[place] for place in rest)],
        np.concatenate([everyone, everyone, rest]),
        0.12,
    )
    parts = [
        Split.told([searched[place] for place in part], [texts[place] for place in part])
        for part in (support, test)
    ]
    sizes = Size(32, 2, 32, 24, 8, 600, 16), Size(64, 2, 64, 32, 8, 1500, 16)
    told = "800 emoji in a drawing that no model saw of them, names and tags as captions"
    known = sorted({text for own in texts for text in own})
    return World("emoji", old, new, sizes, known, parts[0], parts[1], told)


def _emoji_texts(row: Mapping) -> list[str]:
    tags = [tag for tag in row["tags"] or [] if tag not in row["label"]]
    return [row["label"], *([" ".join(tags[:5])] if tags else [])]


def _decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def icons(seed: int) -> World:
    """Half of the icons at 24 pixels for the old model; the searched ones are new to both."""
    folder = DATA / "icons"
    with gzip.open(folder / "icons.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    ink = 255 - np.load(folder / "icons40.npz")["images"]
    images = list(np.repeat(ink[..., None], 3, axis=3))
    texts = [_icon_texts(row) for row in rows]
    order = np.random.default_rng(seed).permutation(len(rows))
    parts = np.split(order, [1000, 1800, 1800 + (len(rows) - 1800) // 2])

    def lessons(places: np.ndarray) -> Lessons:
        own = [texts[p] for p in places]
        return Lessons([images[p] for p in places], own, places, 0.1)

    def split(places: np.ndarray) -> Split:
        return Split.told([images[p] for p in places], [texts[p] for p in places])

    seen = np.concatenate(parts[2:])
    known = sorted({text for p in seen for text in texts[p]})
    sizes = Size(32, 2, 32, 24, 8, 600, 14), Size(64, 2, 64, 40, 8, 1500, 14)
    told = "1,000 icons that no model saw, names, aliases and tags as captions"
    tested, support = split(parts[0]), split(parts[1])
    return World("icons", lessons(parts[2]), lessons(seen), sizes, known, support, tested, told)


def _icon_texts(row: Mapping) -> list[str]:
    names = [row["name"], *row["aliases"][:2]]
    texts = [name.replace("-", " ") for name in names]
    if row["set"] == "lucide" and row["tags"]:
        texts.append(" ".join(row["tags"][:5]))
    return list(dict.fromkeys(texts))


def cifar(seed: int) -> World:
    """The old model saw 8,000 photographs, the new one 25,000."""
    seen, texts, labels = _cifar("train", 27_000)
    shown, own, _ = _cifar("test", 4_000)
    order = np.random.default_rng(seed).permutation(27_000)
    parts = order[:8_000], order[:25_000], order[25_000:]

    def lessons(places: np.ndarray) -> Lessons:
        told = [texts[p] for p in places]
        return Lessons([seen[p] for p in places], told, labels[places], 0.1)

    support = Split.told([seen[p] for p in parts[2]], [texts[p] for p in parts[2]])
    known = sorted({text for told in texts for text in told})
    sizes = Size(32, 2, 32, 32, 8, 600, 14), Size(64, 2, 64, 32, 8, 1500, 14)
    told = "4,000 photographs of CIFAR-100, the word of their search and their class as captions"
    test = Split.told(shown, own)
    old, new = lessons(parts[0]), lessons(parts[1])
    return World("cifar100", old, new, sizes, known, support, test, told)


def _cifar(part: str, count: int) -> tuple[list[np.ndarray], list[list[str]], np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "cifar100" / f"{part}_webp92.parquet")
    names = table.schema.metadata[b"label_names"].decode().split(",")
    rows = table.slice(0, count)
    labels = rows["fine_label"].to_numpy().astype(np.int64)
    nouns = rows["noun"].to_pylist()
    texts = [
        [f"a photo of a {noun}", f"a picture of the kind {names[label].replace('_', ' ')}"]
        for noun, label in zip(nouns, labels, strict=True)
    ]
    return [_decoded(data) for data in rows["image"].to_pylist()], texts, labels


WORLDS: Mapping[str, Callable[[int], World]] = MappingProxyType(
    {"digits": digits, "emoji": emoji, "icons": icons, "cifar100": cifar}
)
