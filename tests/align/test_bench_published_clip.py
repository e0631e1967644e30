"""The script for published figures, on a stand-in: tiny models and a dozen pictures."""

import argparse
import json

import numpy as np
import pytest

from bench import published_clip
from bench.published_clip import MODELS, PUBLISHED, compared, measured, read_set
from bench.record import Record
from holdfast.encode.clip import ClipEncoder
from holdfast.measure.cross_modal import DEPTHS, DIRECTIONS
from tests.encode.tiny import KINDS, NEW, OLD, clip_folder, photographs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    home = tmp_path_factory.mktemp("published")
    folder = home / "flickr30k"
    names = photographs(folder / "images", each=3)
    lines = []
    for name in names:
        colour, _, shape = name.partition("/")
        told = [f"a {colour} {shape[:4]}", f"picture of the {colour} {shape[:4]}"]
        lines.append(json.dumps({"image": f"images/{name}", "captions": told}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")
    support = photographs(home / "support", each=10, seed=2)
    rows = [{"image": f"support/{n}", "text": "a " + n[:-7].replace("/", " ")} for n in support]
    (home / "support.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return home


@pytest.fixture(scope="module")
def models(data):
    return {"old": clip_folder(data, OLD), "large": clip_folder(data, NEW)}


def test_the_set_is_read_with_all_its_captions(data):
    images, captions, pairing = read_set(data / "flickr30k")
    assert len(images) == 3 * len(KINDS)
    assert len(captions) == 2 * len(images) == pairing.texts
    assert pairing.captions[1] == [2, 3]
    assert all(path.is_file() for path in images)


def test_figures_are_those_of_the_models_own_vectors(data, models):
    encoders = {name: ClipEncoder(folder) for name, folder in models.items()}
    found = measured(data, encoders, ["flickr30k"])
    cells = ("old/old", "large: new/new", "large: procrustes", "large: procrustes + slerp")
    assert list(found) == [("flickr30k", cell) for cell in cells]
    images, captions, _ = read_set(data / "flickr30k")
    for cell, name in (("old/old", "old"), ("large: new/new", "large")):
        shown, told = (encoders[name].encode(c, "document").array for c in (images, captions))
        ranks = []
        for place, scores in enumerate(shown @ told.T):
            own = scores[[2 * place, 2 * place + 1]].max()  # others have the same captions
            ranks.append(1 + np.sum(scores > own + 1e-6))
        np.testing.assert_array_equal(found["flickr30k", cell].ranks["I2T"], ranks)


def test_each_recall_stands_beside_the_published_one(data, models, capsys):
    options = argparse.Namespace(
        data=data, cache=data / "cache", sets="flickr30k", new="large", quick=False,
        model=[f"{name}={folder}" for name, folder in models.items()],
        write=False, no_write=True,
    )  # fmt: skip
    assert published_clip.run(options) == 1  # models of random weights miss the published figures
    printed = capsys.readouterr().out
    assert "I2T R@1 off 0.4062" in printed
    assert "MISSED" in printed


def test_the_published_rows_are_what_they_were():
    """mR of rows as the literature computes it."""
    means = {key: np.mean(row) for key, row in PUBLISHED.items()}
    assert means["flickr30k", "old/old"] == pytest.approx(48.91, abs=0.005)
    assert means["coco", "old/old"] == pytest.approx(37.09, abs=0.006)
    assert means["nocaps", "old/old"] == pytest.approx(77.36, abs=0.005)
    assert means["flickr30k", "large: procrustes + slerp"] == pytest.approx(53.43, abs=0.005)
    assert means["flickr30k", "huge: procrustes + slerp"] == pytest.approx(57.21, abs=0.005)
    assert means["nocaps", "huge: procrustes + slerp"] == pytest.approx(81.66, abs=0.006)
    assert {name for name, _ in PUBLISHED} == set(published_clip.SETS)
    assert len(PUBLISHED) == 3 * 7
    assert len(DIRECTIONS) * len(DEPTHS) == 6
    assert set(MODELS) == {"old", "large", "huge"}


def test_a_difference_is_shown(data, models):
    encoders = {name: ClipEncoder(folder) for name, folder in models.items()}
    record = Record("published_clip", "t", "d")
    found = measured(data, encoders, ["flickr30k"])
    compared(record, found)
    here = found["flickr30k", "old/old"].recall("I2T", 1).value
    off = next(r for r in record.rows if r.metric == "I2T R@1 off 0.4062")
    assert off.value == pytest.approx(abs(here - 0.4062))
