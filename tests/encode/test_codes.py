"""Vectors of codes: information against a slow count, and two trainings that only turned."""

from math import log

import numpy as np
import pytest

from holdfast.align.procrustes import Procrustes
from holdfast.encode.check import encoder_checks
from holdfast.encode.codes import CodeModel, CodesEncoder, _information
from holdfast.encode.registry import open_encoder
from holdfast.errors import ArtifactError, EncoderError, InvalidInput


def visits(seed=0, count=600, topics=8, each=25):
    """Sequences of codes of one topic, and some of any."""
    rng = np.random.default_rng(seed)
    told = []
    for _ in range(count):
        topic = rng.integers(topics)
        own = rng.integers(each, size=6) + topic * each
        told.append([f"c{code}" for code in [*own, *rng.integers(topics * each, size=2)]])
    return told


MODEL = CodeModel.fit(visits(), dim=16)


@pytest.mark.parametrize("at_once", [1, 4, 10**6])
@pytest.mark.parametrize("window", [None, 2])
def test_information_is_that_of_counting_pairs(window, at_once, monkeypatch):
    monkeypatch.setattr("holdfast.encode.codes._PAIRS", at_once)
    rows = [[0, 1, 2, 1], [2, 3], [0, 3, 1]]
    counts = np.zeros((4, 4))
    for row in rows:
        for i, a in enumerate(row):
            for j, b in enumerate(row):
                if i != j and (window is None or abs(i - j) <= window):
                    counts[a, b] += 1
    sums = counts.sum(axis=0)
    wanted = [
        [
            max(0.0, log(c * counts.sum() / (sums[i] * sums[j]))) if c else 0.0
            for j, c in enumerate(row)
        ]
        for i, row in enumerate(counts)
    ]
    np.testing.assert_allclose(_information(rows, 4, window).toarray(), wanted, atol=1e-12)


def test_vectors_are_the_best_of_their_rank():
    table = _information([[0, 1, 2], [1, 2, 3], [0, 3], [2, 3, 4], [4, 0]], 5, None).toarray()
    model = CodeModel.fit([list("abc"), list("bcd"), list("ad"), list("cde"), list("ea")], 3)
    u, s, _ = np.linalg.svd(table)
    wanted = (u[:, :3] * s[:3]) @ u[:, :3].T
    np.testing.assert_allclose(model.vectors @ model.vectors.T, wanted, atol=1e-5)


def test_two_trainings_turn_the_space_and_procrustes_turns_it_back():
    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    cosines, kept, mended = [], [], []
    one = unit(MODEL.vectors)
    for seed in range(1, 7):
        other = unit(CodeModel.fit(visits(), dim=16, seed=seed).vectors)
        cosines.append((one * other).sum(axis=1).mean())
        near = [np.argsort(-(rows @ rows.T), axis=1)[:, 1:11] for rows in (one, other)]
        sets = [(set(a), set(b)) for a, b in zip(*near, strict=True)]
        kept.append(np.mean([len(a & b) / len(a | b) for a, b in sets]))
        back = unit(Procrustes().fit(one, other).transform(one))
        mended.append((back * other).sum(axis=1).mean())
    assert abs(np.mean(cosines)) < 0.5
    assert min(np.abs(cosines)) < 0.3
    assert min(kept) >= 0.8
    assert min(mended) >= 0.9


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check):
    check(lambda: CodesEncoder(MODEL), ["c1 c2", "c30 c31 unknown", "c199", ["c7", "c8"]])


def test_a_model_is_kept_in_a_file(tmp_path):
    path = tmp_path / "monday.safetensors"
    MODEL.save(path)
    opened = open_encoder("codes", path=str(path), name="monday")
    assert opened.space == CodesEncoder(MODEL).space
    rows = opened.encode(["c1 c2 c2"], "query").array
    wanted = sum(MODEL.vectors[MODEL.codes.index(c)] * MODEL.idf[MODEL.codes.index(c)]
                 for c in ("c1", "c2", "c2"))  # fmt: skip
    np.testing.assert_allclose(rows[0], wanted / np.linalg.norm(wanted), atol=1e-5)
    with pytest.raises(ArtifactError):
        CodesEncoder(tmp_path / "tuesday.safetensors")


def test_what_it_cannot_read_is_refused():
    encoder = CodesEncoder(MODEL)
    for wrong in ("nothing known here", 7, [["c1"]]):
        with pytest.raises(EncoderError):
            encoder.encode([wrong], "query")
    with pytest.raises(InvalidInput):
        CodeModel.fit([["a"], ["b"]])
