"""Bad input is refused before anything is written: who, expected, got, what to do.

One test for each promise; every store that writes to disk is compared before and after.
"""

from __future__ import annotations

import errno
import hashlib
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from holdfast import errors
from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.arrays import Vectors, as_vectors
from holdfast.encode.callable import CallableEncoder
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.registry import open_store
from holdfast.upgrade.config import read_config
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import GONE, ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents

SPACE, OTHER = Space("clip-b32@2", 4), Space("clip-l14@3", 6)
KINDS = [("memory", {}), ("edge", {}), ("faiss", {"index": "flat"})]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def store(request, tmp_path):
    kind, options = request.param
    one = open_store(kind, tmp_path / "store", SPACE, **options)
    one.upsert(["a", "b"], np.eye(4)[:2], [{"n": 1}, {"n": 2}], [5, 5])
    yield one
    one.close()


def everything(store):
    rows = store.scan(limit=100, vectors=True).rows
    columns = zip(rows.ids, rows.revisions.tolist(), rows.payloads, rows.hidden, strict=True)
    return sorted(columns, key=lambda row: row[0]), len(store)


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


ONE = np.ones((1, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda s: s.upsert(["c"], np.ones((1, 7))),
            errors.DimensionMismatch,
            r"upsert into clip-b32@2: expected \(n, 4\) vectors of clip-b32@2, got shape \(1, 7\)",
        ),
        (
            lambda s: s.upsert(["c", "d"], np.vstack([ONE, ONE * np.nan])),
            errors.NotFinite,
            r"expected finite numbers, got NaN or infinity in row 1 \(1 of 2 rows\)",
        ),
        (
            lambda s: s.upsert(["c", "d"], np.vstack([ONE, ONE * 0])),
            errors.ZeroVector,
            r"since the metric is cosine, got .*row 1 \(1 of 2 rows\)",
        ),
        (
            lambda s: s.upsert(["c", "d", "c"], np.ones((3, 4))),
            errors.DuplicateIds,
            "expected each id once in a call, got 'c' twice. Keep the row you mean.",
        ),
        (
            lambda s: s.upsert(["c"], Vectors(OTHER, np.ones((1, 6), np.float32))),
            errors.WrongSpace,
            r"expected vectors of clip-b32@2 .*got vectors of clip-l14@3 .*pass a Bridge",
        ),
        (
            lambda s: s.search(Vectors(OTHER, np.ones((1, 6), np.float32)), 3),
            errors.WrongSpace,
            r"search in clip-b32@2: expected vectors of clip-b32@2",
        ),
        (
            lambda s: s.upsert(["c", "d"], ONE),
            errors.InvalidInput,
            "expected 1 ids, one per row, got 2",
        ),
        (
            lambda s: s.search(ONE, 3, {"n": {"above": 1}}),
            errors.InvalidFilter,
            r"where\.n: expected gt, gte, lt or lte",
        ),
        (
            lambda s: s.upsert(["a"], ONE, None, [2**62 + 1]),
            errors.InvalidInput,
            r"expected revisions that are integers from 0 to 2\*\*62",
        ),
        (
            lambda s: s.search(ONE, sys.maxsize),
            errors.InvalidInput,
            "expected k of at most 2,147,483,647, got 9223372036854775807",
        ),
        (
            lambda s: s.scan(limit=sys.maxsize),
            errors.InvalidInput,
            "limit of at most 2,147,483,647, got 9223372036854775807",
        ),
    ],
)
def test_a_store_refuses_and_stays_as_it_was(store, call, error, message):
    before = everything(store)
    with pytest.raises(error, match=message):
        call(store)
    assert everything(store) == before


@pytest.mark.parametrize("method", ["delete", "hide", "unhide", "get", "revisions"])
def test_one_string_is_no_list_of_ids(store, method):
    before = everything(store)
    with pytest.raises(errors.InvalidInput, match=r"sequence of ids, got one string"):
        getattr(store, method)("ab")
    assert everything(store) == before


@pytest.mark.parametrize("method", ["delete", "hide", "unhide", "get", "revisions"])
def test_a_number_is_no_id_that_is_absent(store, method):
    before = everything(store)
    with pytest.raises(errors.InvalidInput, match=r"ids that are strings, got 3\. Use str"):
        getattr(store, method)(["a", 3])
    assert everything(store) == before


@pytest.mark.parametrize(("kind", "options"), [*KINDS[1:], ("qdrant", {})], ids=str)
def test_a_closed_store_tells_nothing(kind, options, tmp_path):
    store = open_store(kind, tmp_path / "store", SPACE, **options)
    store.upsert(["a"], ONE)
    assert (len(store), store.visible) == (1, 1)
    store.close()
    asks = (len, lambda s: s.visible, lambda s: s.search(ONE, 1), lambda s: s.tend())
    for ask in (*asks, lambda s: s.get(["a"]), lambda s: s.scan()):
        with pytest.raises(errors.StoreError, match=r"expected an open store, got .*Open it again"):
            ask(store)


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind[0])
def test_a_store_of_another_space_is_not_opened(kind, tmp_path):
    name, options = kind
    open_store(name, tmp_path, SPACE, **options).close()
    before = digest(tmp_path)
    with pytest.raises(
        errors.OccupiedStore, match=r"clip-l14@3.*clip-b32@2|clip-b32@2.*clip-l14@3"
    ):
        open_store(name, tmp_path, OTHER, **options)
    changed = {p for p, d in digest(tmp_path).items() if before.get(p) != d}
    assert not {p for p in changed if not p.endswith(("holder.json", "-shm", "-wal"))}


def test_an_unknown_setting_is_named(tmp_path):
    path = tmp_path / "holdfast.toml"
    path.write_text(
        'version = 1\ncolour = "red"\n[source]\nkind = "memory"\n'
        '[old]\nencoder = "wordllama"\n[new]\nencoder = "wordllama"\n'
    )
    with pytest.raises(
        errors.ConfigError,
        match=r"holdfast\.toml: colour: expected a known setting",
    ):
        read_config(path)


def test_a_missing_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(errors.MissingExtra, match=r"pip install 'holdfast\[faiss\]'"):
        open_store("faiss", tmp_path / "store", SPACE, index="flat")
    assert not list((tmp_path / "store").glob("*.sqlite"))


@pytest.fixture(scope="module")
def bridge():
    rng = np.random.default_rng(0)
    x = as_vectors(rng.normal(size=(120, 4)), SPACE, "test")
    y = as_vectors(rng.normal(size=(120, 6)), OTHER, "test")
    return Bridge.fit(Ridge(), x, y)


def test_a_bridge_in_the_wrong_direction_is_refused_by_name(bridge):
    backwards = Vectors(OTHER, np.ones((1, 6), np.float32))
    with pytest.raises(errors.WrongDirection, match=r"from clip-b32@2 to clip-l14@3"):
        bridge.transform(backwards)
    stranger = Vectors(Space("glove", 4), np.ones((1, 4), np.float32))
    with pytest.raises(errors.WrongSpace, match="expected vectors of clip-b32@2"):
        bridge.transform(stranger)
    with pytest.raises(errors.ConfigError, match=r"one that answers vectors of clip-b32@2"):
        Side(open_store("memory", "", SPACE), None, bridge)


def test_too_few_pairs_are_refused():
    x = Vectors(SPACE, np.ones((7, 4), np.float32))
    with pytest.raises(errors.NotEnoughPairs, match=r"expected at least 50 pairs, got 7"):
        Bridge.fit(Ridge(), x, Vectors(OTHER, np.ones((7, 6), np.float32)))


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_a_damaged_artefact_is_refused(bridge, tmp_path, keep):
    path = tmp_path / "bridge.safetensors"
    bridge.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(errors.ArtifactError, match=r"bridge\.safetensors: expected"):
        Bridge.load(path)


def test_an_unreadable_ledger_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"\x00 no ledger at all" * 400)
    before = digest(tmp_path)
    with pytest.raises(errors.LedgerError, match="expected a readable ledger"):
        Ledger(path, lambda: 0.0)
    assert digest(tmp_path) == before


def test_what_the_machine_refuses_is_no_damage(tmp_path, monkeypatch):
    """Nobody should put an old copy in the place of a ledger that is only locked."""
    monkeypatch.setattr("holdfast.upgrade.record.ledger_file._BUSY_SECONDS", 0.05)
    path = tmp_path / "ledger.sqlite"

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.upgrade.record.ledger_file.write_whole", full)
        with pytest.raises(errors.LedgerError) as told:
            Ledger(path, lambda: 1.0)
    room = "Make room, or let this process open and write it; then do the same again."
    assert told.value.fix == room
    Ledger(path, lambda: 1.0).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE meta SET value = value")
        other.commit()
        with pytest.raises(errors.LedgerError, match="database is locked") as told:
            Ledger(path, lambda: 1.0)
        locked = "Another program has it locked: let that end, then do the same again."
        assert told.value.fix == locked
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(errors.LedgerError) as told:
        Ledger(path, lambda: 1.0)
    assert told.value.fix.startswith("Restore it from a copy")


def _upgrade(tmp_path, model, count=40):
    items = contents(count)
    source, old_model = ToySource(dict(items)), ToyEncoder(SPACE, seed=1)
    old, new = open_store("memory", "", SPACE), open_store("memory", "", OTHER)
    old.upsert(list(items), old_model.encode(list(items.values()), "document"))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    plan = Plan(batch_size=8, max_batch_size=8)
    ledger.begin(plan.model_dump(), SPACE, OTHER)
    gallery = Gallery(Side(old, old_model), Side(new, model), ledger, clock=Clock(100))
    return gallery, Engine(gallery, ReEmbed(source, model), plan), source


def test_a_source_item_that_is_gone_is_set_aside_with_the_reason(tmp_path):
    gallery, engine, source = _upgrade(tmp_path, ToyEncoder(OTHER, seed=2))
    del source.items["i3"]
    assert engine.run().quarantined == 1
    assert gallery.ledger.quarantined() == [("i3", GONE)]
    assert "i3" in gallery.search([(1.0, 1.0, 1.0, 1.0)], 40).ids
    gallery.close()


def test_an_encoder_that_answers_the_wrong_count_writes_nothing(tmp_path):
    short = CallableEncoder(OTHER, lambda texts: np.ones((max(len(texts) - 1, 0), 6)))
    gallery, engine, _ = _upgrade(tmp_path, short)
    with pytest.raises(errors.WrongCount, match=r"expected 1 vector.*got 0"):
        short.encode(["one"], "document")
    gallery.set_state("cut over")
    with pytest.raises(errors.WrongCount):
        gallery.upsert([Item("x", (1.0, 2.0, 3.0, 4.0))])
    assert gallery.old.store.revisions(["x"])[0] == -1
    gallery.set_state("copying")
    assert engine.run().quarantined == 40
    assert len(gallery.new.store) == 0
    assert "vector" in gallery.ledger.quarantined()[0][1]
    gallery.close()


def nested(times):
    value = 1
    for _ in range(times):
        value = [value]
    return value


def test_a_write_is_refused_whole(tmp_path):
    gallery, engine, _ = _upgrade(tmp_path, ToyEncoder(OTHER, seed=2))
    engine.run(0.5)
    before = everything(gallery.old.store), everything(gallery.new.store)
    good = Item("x", (1.0, 2.0, 3.0, 4.0))
    refused = [
        [good, Item("x", (0.0, 1.0, 0.0, 1.0))],
        [good, Item("", (0.0, 1.0, 0.0, 1.0))],
        [good, Item("y", (0.0, 1.0, 0.0, 1.0), {"when": object()})],
        [good, Item("y", (float("nan"), 1.0, 0.0, 1.0))],
        [good, Item("y", (0.0, 1.0, 0.0, 1.0), {"a": nested(100)})],
        [good, Item("y", (0.0, 1.0, 0.0, 1.0), {"a": nested(5_000)})],
        [good, {"id": "y", "content": (0.0, 1.0, 0.0, 1.0)}],
        [good, None],
        {"y": (0.0, 1.0, 0.0, 1.0)},
        good,
        None,
    ]
    for items in refused:
        with pytest.raises(errors.InvalidInput):
            gallery.upsert(items)
        assert (everything(gallery.old.store), everything(gallery.new.store)) == before
        assert gallery.ledger.journal() == []
    gallery.upsert([Item("y", (0.0, 1.0, 0.0, 1.0), {"a": nested(99)})])
    assert gallery.get(["y"]).payloads[0] == {"a": nested(99)}
    gallery.close()
