"""Models for the tests of the command line: bags of words, projected at random.

Named in configuration files as "tests.cli.toys:old", in other processes too.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np

from holdfast.errors import EncoderError, EncoderUnavailable

OLD_DIM, NEW_DIM = 16, 24
_CALLS: list[int] = []  # of the slow model, in this process


def _row(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(f"{word}/{dim}".encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=dim)


def _bags(texts, dim):
    rows = np.array([sum(_row(word, dim) for word in text.split()) for text in texts])
    rows = rows.reshape(len(texts), dim)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def old(texts):
    return _bags(texts, OLD_DIM)


def new(texts):
    return _bags(texts, NEW_DIM)


def slow(texts):
    """As `new`, and as slow as the environment says; it may be stuck from the second call on.

    It says so by a file. One that hangs does not even answer to Ctrl-C. What it is asked is
    noted in a file, and what speaks of a gate waits until there is one, where the environment
    names them.
    """
    _CALLS.append(len(texts))
    if "TOY_NOTES" in os.environ:
        with Path(os.environ["TOY_NOTES"]).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(list(texts)) + "\n")
    while "TOY_GATE" in os.environ and any("gate" in text for text in texts):
        if Path(os.environ["TOY_GATE"]).exists():
            break
        time.sleep(0.01)
    while "TOY_HUNG" in os.environ and len(_CALLS) > 1:
        Path(os.environ["TOY_HUNG"]).touch()
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(60.0)
    if "TOY_STUCK" in os.environ and len(_CALLS) > 1:
        Path(os.environ["TOY_STUCK"]).touch()
        time.sleep(600.0)
    time.sleep(float(os.environ.get("TOY_SECONDS", "0.05")))
    return new(texts)


def awful(texts):
    """Says nothing about the words, so that it answers no query."""
    return _bags([text.replace(" ", "-") for text in texts], NEW_DIM)


def picky(texts):
    """Cannot read one word."""
    rows = new(texts)
    for place, text in enumerate(texts):
        if "w13" in text.split() and not os.environ.get("TOY_MENDED"):
            rows[place] = np.nan
    return rows


def away(texts):
    """As `new`, while the environment does not say that it is away."""
    if os.environ.get("TOY_AWAY"):
        raise EncoderUnavailable("toys:away", "an answer", "none: token=abc123")
    return new(texts)


def broken(texts):
    """Answers nothing, whatever is asked."""
    raise EncoderError("toys:broken", "an answer", "none: the model is gone")
