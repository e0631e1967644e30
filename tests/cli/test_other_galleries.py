"""Galleries that hold no text: places, records and codes, upgraded by commands alone."""

import json

import numpy as np
import pytest

from holdfast.encode.codes import CodeModel, CodesEncoder
from holdfast.encode.places import PlacesEncoder
from holdfast.encode.records import RecordsEncoder
from tests.cli.conftest import Home
from tests.encode.test_codes import visits

CONFIG = """\
version = 1
[source]
kind = "jsonl"
path = "docs.jsonl"
text = "{text}"
[old]
{old}
[new]
{new}
[upgrade]
batch_size = 32
{plan}
"""


def gallery(tmp_path, records, old, new, plan, text="text"):
    """A home with a gallery that was built with the old encoder."""
    folder = tmp_path / "home"
    folder.mkdir(exist_ok=True)
    lines = "".join(json.dumps({"id": name, **record}) + "\n" for name, record in records.items())
    (folder / "docs.jsonl").write_text(lines)
    home = Home(folder, {}, {})
    settings = CONFIG.replace("{text}", text)
    home.config.write_text(
        settings.replace("{old}", old).replace("{new}", new).replace("{plan}", plan)
    )
    assert home.data("build")["items"] == len(records)
    return home


def ranked(home, query, k=10):
    return [name for name, _ in home.found(query, k)]


def by_hand(encoder, records, query, k=10):
    """The nearest items by brute force, and their scores."""
    names = list(records)
    scores = (
        encoder.encode(list(records.values()), "document").array
        @ encoder.encode([query], "query").array[0]
    )
    order = np.argsort(-scores, kind="stable")[:k]
    return [names[row] for row in order], scores[order]


@pytest.fixture
def places():
    rng = np.random.default_rng(0)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    lon = rng.uniform(-180, 180, 300)
    return {f"p{row}": (f"{lat[row]:.4f}", f"{lon[row]:.4f}") for row in range(300)}


def test_places_gain_degrees_and_owe_no_backfill(tmp_path, places):
    records = {name: {"lat": lat, "lon": lon} for name, (lat, lon) in places.items()}
    texts = {name: f"{lat}, {lon}" for name, (lat, lon) in places.items()}
    home = gallery(
        tmp_path,
        records,
        'encoder = "places"\ndegree = 10',
        'encoder = "places"\ndegree = 20\nextends = 10',
        'merge = "compatible"',
        text="{lat}, {lon}",
    )
    query = "48.85, 2.35"
    old, _ = by_hand(PlacesEncoder(10), texts, query)
    assert ranked(home, query) == old
    home.done("plan")
    assert home.data("inspect")["relation"] == "extends"
    whole, _ = by_hand(PlacesEncoder(10), texts, query, 300)
    home.done("backfill", "--until", "50%")
    mixed, gone = ranked(home, query, 300), moved(home)
    assert sorted(mixed) == sorted(places)
    assert 140 < len(gone) < 180
    # Asked in the new space, items that wait keep the order of the old one.
    assert [n for n in mixed if n not in gone] == [n for n in whole if n not in gone]
    home.done("backfill")
    home.done("cutover")
    new, scores = by_hand(PlacesEncoder(20, extends=10), texts, query)
    assert ranked(home, query) == new
    np.testing.assert_allclose([s for _, s in home.found(query)], scores, atol=1e-4)
    home.done("rollback")
    assert ranked(home, query) == old


def test_records_gain_a_chunk(tmp_path):
    rng = np.random.default_rng(1)
    texts = {
        f"r{row}": f"brand=b{rng.integers(30)}; colour=c{rng.integers(8)}; size={rng.integers(6)}"
        for row in range(200)
    }
    old = 'encoder = "records"\nwidth = 32\nlayout = ["brand", "colour", "size"'
    home = gallery(
        tmp_path,
        {name: {"text": text} for name, text in texts.items()},
        old + "]",
        old + ', "brand", "colour", "size"]\nextends = 3',
        'merge = "compatible"',
    )
    fields = ["brand", "colour", "size"]
    query = texts["r7"]
    names, scores = by_hand(RecordsEncoder(fields, 32), texts, query, 200)
    before = dict(zip(names, scores.tolist(), strict=True))
    np.testing.assert_allclose([s for _, s in home.found(query, 200)], scores, atol=1e-4)
    home.done("plan")
    home.done("backfill", "--until", "50%")
    half, gone = ranked(home, query, 200), moved(home)
    assert sorted(half) == sorted(texts)
    waiting = np.array([before[name] for name in half if name not in gone])
    assert (np.diff(waiting) < 1e-6).all()  # those that wait keep the order of the old space
    home.done("backfill")
    home.done("cutover")
    _, scores = by_hand(RecordsEncoder(fields * 2, 32, extends=3), texts, query)
    np.testing.assert_allclose([s for _, s in home.found(query)], scores, atol=1e-4)


def moved(home):
    """Ids that are read on the new side."""
    from holdfast.upgrade.project import Project

    gallery = Project(home.config).gallery()
    try:
        store = gallery.new.store
        rows = store.scan(limit=1_000).rows
        return {name for name, hidden in zip(rows.ids, rows.hidden, strict=True) if not hidden}
    finally:
        gallery.close()


def test_a_nightly_retraining_of_codes_is_translated_without_reading_anything_again(tmp_path):
    told = visits()
    texts = {f"v{row}": " ".join(codes) for row, codes in enumerate(told[:400])}
    folder = tmp_path / "home"
    folder.mkdir()
    monday, tuesday = (CodeModel.fit(told, dim=16, seed=seed) for seed in (0, 3))
    monday.save(folder / "monday.safetensors")
    tuesday.save(folder / "tuesday.safetensors")
    home = gallery(
        tmp_path,
        {name: {"text": text} for name, text in texts.items()},
        'encoder = "codes"\npath = "monday.safetensors"',
        'encoder = "codes"\npath = "tuesday.safetensors"',
        'mover = "translate"',
    )
    query = texts["v5"]
    before = ranked(home, query)
    # Without a bridge the new model's vectors mean nothing in the old gallery.
    asked = CodesEncoder(tuesday).encode([query], "query").array[0]
    stored = CodesEncoder(monday).encode(list(texts.values()), "document").array
    blind = [list(texts)[row] for row in np.argsort(-(stored @ asked))[:10]]
    assert len(set(blind) & set(before)) <= 3
    (bridge,) = home.data("plan")["bridges"]
    chosen = next(rung for rung in bridge["tried"] if rung["chosen"])
    assert chosen["cosine"] > 0.95
    home.done("backfill")
    home.done("cutover")
    new, _ = by_hand(CodesEncoder(tuesday), texts, query)
    assert len(set(ranked(home, query)) & set(new)) >= 8
