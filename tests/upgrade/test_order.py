"""Orders: the fair sample stays first, promises are kept behind it, plans name what they need."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from holdfast.errors import ConfigError
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.order import RANKED, arrange, fair_sample, fair_size, read_ids
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.priority.centers import Centers
from holdfast.upgrade.priority.gain import expected_gain
from holdfast.upgrade.priority.log import read_log
from holdfast.upgrade.priority.rank import Ranking, check_known, check_order
from holdfast.upgrade.priority.searched import most_searched, without_self
from holdfast.upgrade.priority.uncertain import Uncertainty
from holdfast.upgrade.side import Side
from tests.upgrade.toys import ToyEncoder, ToySource, contents

OLD, NEW = Space("old", 6), Space("new", 5)
IDS = np.array([f"i{n}" for n in range(1000)], dtype=object)
NONE = np.zeros(1000, dtype=np.int64)


# arranging


@pytest.mark.parametrize("name", RANKED)
def test_every_order_starts_with_the_same_fair_sample_and_loses_nobody(name):
    wanted = [f"i{n}" for n in range(999, -1, -1)]
    order = arrange(name, IDS, NONE, 3, wanted)
    assert order[:200] == arrange("random", IDS, NONE, 3)[:200] == fair_sample(IDS, 3)
    assert sorted(order) == sorted(IDS)
    assert order == arrange(name, IDS, NONE, 3, wanted)
    with pytest.raises(ConfigError, match="plan: order"):
        arrange(name, IDS, NONE, 3)


@drawn(st.permutations(range(40)), st.integers(0, 40))
def test_what_is_ranked_comes_behind_the_sample_in_its_order(wanted, known):
    ids = IDS[:40]
    ranked = [f"i{n}" for n in wanted[:known]]
    order = arrange("searched", ids, NONE[:40], 3, ranked)
    rest = [item for item in ranked if item not in order[:8]]
    assert order[8 : 8 + len(rest)] == rest
    shuffled = arrange("random", ids, NONE[:40], 3)
    assert order[8 + len(rest) :] == [item for item in shuffled[8:] if item not in rest]


@pytest.mark.parametrize(
    ("count", "merge", "size"),
    [
        (60, "calibrated", 12),
        (60, "fused", 12),
        (400, "fused", 64),
        (1400, "fused", 70),
        (1400, "cascade", 70),
        (1400, "calibrated", 256),
        (100_000, "fused", 256),
        (100_000, "calibrated", 256),
    ],
)
def test_only_a_merge_that_calibrates_needs_a_large_sample(count, merge, size):
    ids = np.array([f"i{n}" for n in range(count)], dtype=object)
    wanted = [f"i{n}" for n in range(count - 1, -1, -1)]
    order = arrange("gain", ids, np.zeros(count, dtype=np.int64), 3, wanted, merge)
    sample = fair_sample(ids, 3, merge)
    assert order[:size] == sample
    assert len(sample) == fair_size(count, merge) == size
    assert order[size] == next(name for name in wanted if name not in sample)


def test_an_id_given_twice_has_its_first_place():
    order = arrange("given", IDS[:20], NONE[:20], 3, ["i9", "i7", "i8", "i9", "i8"])
    kept = [item for item in ("i9", "i7", "i8") if item not in order[:4]]
    assert len(kept) > 1
    assert order[4 : 4 + len(kept)] == kept


def test_ids_of_another_gallery_are_refused():
    with pytest.raises(ConfigError, match="ids of the gallery, got none, the first one 'id,title'"):
        arrange("given", IDS, NONE, 3, ["id,title", "i9,Otters"])
    assert len(arrange("given", IDS[:0], NONE[:0], 3, ["i9"])) == 0
    assert len(arrange("searched", IDS, NONE, 3, ["gone"])) == 1000  # deleted since it was logged


# what a plan names


def place(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_log_adds_up_and_is_sorted_by_how_often(tmp_path):
    lines = ["red fox", '{"text": "otter", "count": 3}', "", "red fox", '{"id": "a", "count": 0.5}']
    log = read_log(place(tmp_path, "\n".join([*lines, '{"id": "a"}', "otter"])))
    assert log.searches == {"otter": 4, "red fox": 2}
    assert list(log.searches) == ["otter", "red fox"]
    assert log.items == {"a": 1.5}


def test_lines_end_at_line_breaks_only_and_a_mark_is_no_part_of_the_first(tmp_path):
    odd = "next\x85line\u2028par"
    path = place(tmp_path, "")
    path.write_bytes(f"\ufeffi1\r\n\r\n{odd}\n i2 \n".encode())
    assert read_ids(path) == ["i1", odd, "i2"]
    line = json.dumps({"text": odd, "count": 2}, ensure_ascii=False)
    path.write_bytes(f"\ufeff{line}\r\n{line}".encode())
    assert read_log(path).searches == {odd: 4}
    path.write_bytes(b"i1\nZ\xfcrich\n")
    with pytest.raises(ConfigError, match="a readable text file"):
        read_ids(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing in log.jsonl"),
        ('{"text": "a", "count": -1}', "line 1: expected a number from 0"),
        ('ok\n{"text": "a", "count": true}', "line 2"),
        ('{"text": ""}', "line 1: expected a string"),
        ('{"id": 7}', "line 1: expected a string"),
        ('{"text": "a"', "line 1: expected a JSON object"),
    ],
)
def test_a_log_that_cannot_be_is_refused_by_its_line(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        read_log(place(tmp_path, text))


@pytest.mark.parametrize(
    ("order", "words"),
    [("gain", "log of past searches"), ("given", "file of ids"), ("slice", "field")],
)
def test_a_plan_without_what_its_order_needs_is_refused(tmp_path, order, words):
    with pytest.raises(ConfigError, match=words):
        check_order(Plan(order=order), tmp_path)
    if order == "slice":
        check_order(Plan(order=order, order_field="language"), tmp_path)
        return
    there = {"order": order, "order_file": "log.jsonl"}
    with pytest.raises(ConfigError, match=r"log\.jsonl"):
        check_order(Plan(**there), tmp_path)
    place(tmp_path, "otter")
    check_order(Plan(**there), tmp_path)
    place(tmp_path, '{"id": "i7"}')
    if order == "gain":
        with pytest.raises(ConfigError, match="texts of searches"):
            check_order(Plan(**there), tmp_path)


@pytest.mark.parametrize(
    ("setting", "order", "readers"),
    [
        ("order_file", "random", "given, gain, searched"),
        ("order_file", "central", "given, gain, searched"),
        ("order_field", "newest", "slice, balanced, central"),
        ("order_field", "searched", "slice, balanced, central"),
    ],
)
def test_what_an_order_would_not_look_at_is_refused(tmp_path, setting, order, readers):
    plan = Plan(order=order, **{setting: "language"})
    words = f"{setting}: expected an order that reads it, one of {readers}, got '{order}'"
    with pytest.raises(ConfigError, match=words):
        check_order(plan, tmp_path)


def test_counted_reads_of_items_of_another_gallery_are_refused(home, tmp_path):
    plan = Plan(order="searched", order_file="log.jsonl")
    place(tmp_path, '{"id": "doc-1"}\n{"id": "doc-2", "count": 3}')
    with pytest.raises(ConfigError, match="ids of the gallery, got none, the first one 'doc-2'"):
        check_known(plan, tmp_path, home.store)
    for known in (json.dumps({"id": home.names[7]}), '{"text": "otter"}'):
        place(tmp_path, '{"id": "doc-1"}\n' + known)
        check_known(plan, tmp_path, home.store)


# ranking a gallery


class Home:
    """A gallery of points, in six groups, and its two models."""

    def __init__(self, count=300):
        self.items = contents(count, seed=1)
        self.names = list(self.items)
        self.old, self.new = ToyEncoder(OLD, seed=2), ToyEncoder(NEW, seed=3)
        self.store = MemoryStore(OLD)
        payloads = [{"group": n % 6 if n % 2 else 1} for n in range(count)]
        self.vectors = self.old.encode(list(self.items.values()), "document")
        self.store.upsert(self.names, self.vectors, payloads, [1] * count)
        ids = np.array(self.store.scan(limit=count).rows.ids, dtype=object)
        self.known = [int(name[1:]) for name in fair_sample(ids, 0, "fused")]
        self.mover = ReEmbed(ToySource(dict(self.items)), self.new)

    def ranking(self, tmp_path, order, alive=True, **plan):
        old = Side(self.store, self.old if alive else None, None if alive else Mirror(self.old))
        new = Side(MemoryStore(NEW), self.new)
        named = {"order_file": "log.jsonl", "order_field": "group", **plan}
        return Ranking(Plan(order=order, **named), tmp_path, old, new, self.mover)


class Mirror:
    """A bridge that answers what the old model would have, for the one search it knows."""

    origin, target = NEW, OLD

    def __init__(self, old):
        self._old = old

    def transform(self, vectors):
        return self._old.encode([(1.0, 0.0, 0.0, 0.0)] * len(vectors), "query")


@pytest.fixture
def home():
    return Home()


class Parsed:
    """A model whose searches are texts of numbers."""

    def __init__(self, inner):
        self._inner, self.space = inner, inner.space

    def encode(self, texts, role):
        return self._inner.encode([tuple(map(float, t.split())) for t in texts], role)


LOG = {"1 0 0 0": 5.0, "0 1 0 0": 2.0, "0 0 -1 1": 1.0}


def write_log(tmp_path):
    lines = [json.dumps({"text": text, "count": count}) for text, count in LOG.items()]
    place(tmp_path, "\n".join(lines))


def test_most_searched_of_a_store_is_that_of_the_whole_table(home, tmp_path):
    write_log(tmp_path)
    home.old = Parsed(home.old)
    asked = home.old.encode(list(LOG), "query").array
    rows = home.vectors.array
    wanted = np.zeros(300)
    for row, times in zip(asked @ rows.T, LOG.values(), strict=True):
        for at, item in enumerate(np.argsort(-row)[:100]):
            wanted[item] += times / np.log2(at + 2)
    for own, row in enumerate(rows @ rows.T):
        others = [item for item in np.argsort(-row)[:101] if item != own]
        for at, item in enumerate(others):
            wanted[item] += 256.0 / 300.0 / np.log2(at + 2)
    ranked = home.ranking(tmp_path, "searched")()
    assert len(ranked) == np.count_nonzero(wanted)
    got = wanted[[int(name[1:]) for name in ranked]]
    assert (np.diff(got) <= 1e-6).all()
    assert got[0] == wanted.max()


class Written(MemoryStore):
    """Whose first row is deleted right before rows are read, as somebody else may do; once."""

    gone = None

    def get(self, ids, vectors=True):
        if self.gone is None:
            self.gone = ids[0]
            self.delete([self.gone])
        return super().get(ids, vectors)


@pytest.mark.parametrize("order", ["searched", "gain", "uncertain", "central"])
def test_an_item_that_is_deleted_meanwhile_stops_no_ranking(home, tmp_path, order):
    write_log(tmp_path)
    home.old, home.new, store = Parsed(home.old), Parsed(home.new), Written(OLD)
    store.upsert(home.names, home.vectors)
    home.store = store
    ranked = home.ranking(tmp_path, order, order_field=None)()
    left = set(home.names) - {store.gone}
    assert len(left) == 299
    if order in ("uncertain", "central"):  # the other orders may have found it before
        assert set(ranked) == left
    assert len(left.intersection(ranked)) > 100


def test_a_log_that_is_named_is_read_at_once_though_an_order_can_do_without(tmp_path):
    check_order(Plan(order="searched"), tmp_path)
    with pytest.raises(ConfigError, match=r"log\.jsonl"):
        check_order(Plan(order="searched", order_file="log.jsonl"), tmp_path)


def test_without_a_log_items_ask(home, tmp_path):
    rows = home.vectors.array
    wanted = np.zeros(300)
    for own, row in enumerate(rows @ rows.T):
        for at, item in enumerate([item for item in np.argsort(-row)[:101] if item != own]):
            wanted[item] += 1.0 / np.log2(at + 2)
    calls = home.old.calls
    ranked = home.ranking(tmp_path, "searched", order_file=None)()
    got = wanted[[int(name[1:]) for name in ranked]]
    assert (np.diff(got) <= 1e-6).all()
    assert home.old.calls == calls


def test_a_long_log_drowns_what_items_find(home, tmp_path):
    home.old = Parsed(home.old)
    for count, most in ((1e9, True), (1e-9, False)):
        place(tmp_path, json.dumps({"text": "1 0 0 0", "count": count}))
        ranked = home.ranking(tmp_path, "searched")()
        asked = home.old.encode(["1 0 0 0"], "query")
        found = home.store.search(asked, 20).ids[0].tolist()
        assert (ranked[:20] == found) is most


def test_items_that_were_counted_need_no_model(home, tmp_path):
    place(tmp_path, '{"id": "i7"}\n{"id": "i3", "count": 4}\n{"id": "nobody", "count": 2}')
    ranking = home.ranking(tmp_path, "searched")
    calls = home.old.calls, home.new.calls
    assert ranking() == ["i3", "nobody", "i7"]
    assert calls == (home.old.calls, home.new.calls)


def test_a_dead_model_searches_the_log_over_its_bridge(home, tmp_path):
    place(tmp_path, "1 0 0 0")
    model = home.old
    home.new = Parsed(home.new)
    dead = home.ranking(tmp_path, "searched", alive=False)()
    home.old = Parsed(model)
    assert dead == home.ranking(tmp_path, "searched")()


def test_gain_is_that_of_the_candidates_the_fair_sample_and_what_items_find(home, tmp_path):
    write_log(tmp_path)
    home.old, home.new = Parsed(home.old), Parsed(home.new)
    home.mover = ReEmbed(ToySource(dict(home.items)), ToyEncoder(NEW, seed=3))
    known = home.known
    assert len(known) == 60
    new = ToyEncoder(NEW, seed=3).encode([home.items[f"i{n}"] for n in known], "document")
    asked = tuple(side.encode(list(LOG), "query") for side in (home.old, home.new))
    seen = np.unique(np.argsort(-(asked[0].array @ home.vectors.array.T), axis=1)[:, :100])
    wanted = np.zeros(300)
    wanted[seen] = expected_gain(
        asked, list(LOG.values()), home.vectors.take(seen), (home.vectors.take(known), new)
    )
    assert 20 <= np.count_nonzero(wanted) <= 60
    for own, row in enumerate(home.vectors.array @ home.vectors.array.T):
        for at, item in enumerate([item for item in np.argsort(-row)[:101] if item != own]):
            wanted[item] += 256.0 / 300.0 / np.log2(at + 2)
    ranked = home.ranking(tmp_path, "gain")()
    assert len(ranked) == np.count_nonzero(wanted)
    got = wanted[[int(name[1:]) for name in ranked]]
    assert (np.diff(got) <= 1e-6).all()
    assert got[0] == wanted.max()
    place(tmp_path, '{"id": "i7"}')
    with pytest.raises(ConfigError, match="texts of searches"):
        home.ranking(tmp_path, "gain")()


def test_orders_by_vectors_and_by_slices_rank_everybody(home, tmp_path):
    known = home.known
    new = home.new.encode([home.items[f"i{n}"] for n in known], "document")
    uncertain = Uncertainty(home.vectors.take(known), new)(home.vectors.array)
    ranked = home.ranking(tmp_path, "uncertain")()
    assert sorted(ranked) == sorted(home.names)
    got = uncertain[[int(name[1:]) for name in ranked]]
    assert (np.diff(got) <= 1e-9).all()

    ids = home.store.scan(limit=1000).rows.ids
    drawn_rows = [int(ids[n][1:]) for n in np.random.default_rng(0).permutation(300)]
    centers = Centers(home.vectors.array[drawn_rows], seed=0)
    far = centers.distances(home.vectors.array)
    got = far[[int(name[1:]) for name in home.ranking(tmp_path, "central", order_field=None)()]]
    assert (np.diff(got) >= -1e-9).all()

    group = {name: n % 6 if n % 2 else 1 for n, name in enumerate(home.names)}
    rows, own = home.vectors.array, np.array(list(group.values()))
    off = np.array(
        [((rows[n] - rows[own == g].mean(axis=0)) ** 2).sum() for n, g in enumerate(own)]
    )
    got = off[[int(name[1:]) for name in home.ranking(tmp_path, "central")()]]
    assert len(got) == 300
    assert (np.diff(got) >= -1e-6).all()

    turns = [group[name] for name in home.ranking(tmp_path, "slice")()]
    assert list(dict.fromkeys(turns)) in ([3, 5, 1], [5, 3, 1])  # smallest first
    assert sum(a != b for a, b in pairwise(turns)) == 2
    even = [group[name] for name in home.ranking(tmp_path, "balanced")()]
    assert sorted(even[:30]) == sorted([1, 3, 5] * 10)


def test_a_ranking_worked_out_twice_is_the_same(home, tmp_path):
    write_log(tmp_path)
    home.old, home.new = Parsed(home.old), Parsed(home.new)
    home.mover = ReEmbed(ToySource(dict(home.items)), ToyEncoder(NEW, seed=3))
    for order in ("searched", "gain", "uncertain", "central", "balanced"):
        ranking = home.ranking(tmp_path, order)
        assert ranking() == ranking()


def test_what_asked_is_not_among_its_own_hits():
    found = np.array([[3, 1, 2], [1, 2, 3], [5, 6, -1], [1, 0, 2]])
    others = without_self(found, np.array([3, 3, 6, -1]))
    assert others.tolist() == [[1, 2], [1, 2], [5, -1], [1, 0]]


def test_hits_count_by_their_place():
    found = np.array([[0, 1, 2], [2, -1, -1]])
    got = most_searched(found, [2.0, 1.0], 4)
    np.testing.assert_allclose(got, [2.0, 2.0 / np.log2(3), 2.0 / 2.0 + 1.0, 0.0])
