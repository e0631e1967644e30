"""The watch: what it samples, what it compares, what a breach does; with values."""

from __future__ import annotations

import threading
import time
from zlib import crc32

import numpy as np
import pytest

from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import ConfigError, EncoderError, LedgerError
from holdfast.items import Item
from holdfast.measure.judgements import Judgements
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.config import Config
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.project import Project
from holdfast.upgrade.side import Side
from holdfast.upgrade.sides.stage import Stage, place
from holdfast.upgrade.watched import WatchConfig
from holdfast.upgrade.watching.attend import judged_texts
from holdfast.upgrade.watching.panel import Panel
from holdfast.upgrade.watching.quality import Quality
from holdfast.upgrade.watching.watch import Watch
from tests.upgrade.toys import Clock, ToySource

TRUE, COUNT = 8, 600
OLD, NEW = Space("old", 12), Space("new", 16)


class Model:
    """A noisy linear view of an item's true place; what it answers can be spoilt."""

    def __init__(self, space, seed):
        rng = np.random.default_rng(seed)
        self.space, self.spoil = space, 0.0
        self._view = rng.normal(size=(TRUE, space.dim))
        self._wrong = rng.normal(size=(TRUE, space.dim))

    def encode(self, contents, role):
        raw = np.array([[float(v) for v in text.split()] for text in contents])
        rows = raw @ (self._view if role == "document" else self._asked())
        noise = np.random.default_rng(crc32(" ".join(contents).encode()))
        rows = rows + 0.3 * noise.normal(size=rows.shape) if len(rows) else rows
        return as_vectors(rows.reshape(len(contents), self.space.dim), self.space, "model")

    def _asked(self):
        return (1 - self.spoil) * self._view + self.spoil * self._wrong


def texts(count, seed):
    rows = np.random.default_rng(seed).normal(size=(count, TRUE))
    return [" ".join(f"{v:.6f}" for v in row) for row in rows]


class World:
    def __init__(self, folder, config=None, background=False, judged=None, **plan):
        self.items = {f"i{n}": text for n, text in enumerate(texts(COUNT, 0))}
        self.old_model, self.new_model = Model(OLD, 1), Model(NEW, 2)
        self.old, self.new = MemoryStore(OLD), MemoryStore(NEW)
        vectors = self.old_model.encode(list(self.items.values()), "document")
        self.old.upsert(list(self.items), vectors, None, range(COUNT))
        self.ledger = Ledger(folder / "ledger.sqlite", lambda: 0.0)
        self.plan = Plan(batch_size=20, max_batch_size=20, **plan)
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        sides = Side(self.old, self.old_model), Side(self.new, self.new_model)
        self.gallery = Gallery(*sides, self.ledger, mode="fused", clock=Clock(10_000))
        mover = ReEmbed(ToySource(dict(self.items)), self.new_model)
        self.engine = Engine(self.gallery, mover, self.plan, sleep=lambda s: None)
        self.config = config or WatchConfig(share=1.0, calibration=60)
        self.watch = Watch(self.gallery, self.engine, self.config, judged, background)
        self.asked = iter(texts(5_000, 9))

    def ask(self, count, k=10):
        for _ in range(count):
            self.gallery.search([next(self.asked)], k)

    def ask_until_it_breaks(self, most):
        for delay in range(1, most + 1):
            self.ask(1)
            if self.watch.breach is not None:
                return delay
        return None


@pytest.fixture
def patient(monkeypatch):
    """What waits when a gallery is closed may take long: this machine may be a busy one."""
    monkeypatch.setattr("holdfast.upgrade.watching.watch._LAST", 240.0)


@pytest.fixture
def world(tmp_path):
    made = []

    def make(**options):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(World(folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.gallery.close()


def spoil_old(one):
    one.old_model.spoil = 1.0


def spoil_new(one):
    one.new_model.spoil = 1.0


def spoil_the_old_model(one):
    """It dies, and what leads into its space is garbage."""
    wrong = np.random.default_rng(5).normal(size=(NEW.dim, OLD.dim))

    class Map:
        origin, target = NEW, OLD

        def transform(self, vectors):
            return as_vectors(vectors.array @ wrong, OLD, "map")

    one.gallery.old = Side(one.old, None, Map())


@pytest.mark.parametrize("spoil", [spoil_old, spoil_new, spoil_the_old_model])
def test_a_breach_pauses_the_backfill_and_says_why(world, spoil):
    one = world()
    for _ in range(20):
        one.engine.step()
        one.ask(10)
    assert one.gallery.state == "copying"
    assert one.watch.breach is None
    spoil(one)
    delay = one.ask_until_it_breaks(200)
    assert delay is not None
    assert delay < 60
    assert one.gallery.state == "paused"
    breach = one.watch.breach
    assert (breach.verdict, breach.cell) == ("fail", "live@66.7%")
    assert breach.metric in ("agreement", "likeness")
    events = {kind: detail for _, kind, detail in one.ledger.events()}
    assert events["breach"]["did"] == "paused"
    assert events["breach"]["finding"] == breach.to_json()
    assert events["paused"]["why"] == f"breach: {events['breach']['why']}"
    last = one.ledger.deeds()[-1]
    assert (last.who, last.what, last.outcome) == ("watch", "pause", "done")
    assert last.why == events["paused"]["why"]


@pytest.mark.parametrize("cut_off", ["pause", "note"])
def test_a_breach_that_could_not_be_acted_on_is_not_forgotten(world, monkeypatch, cut_off):
    one, failed = world(), []
    for _ in range(20):
        one.engine.step()
        one.ask(10)
    spoil_new(one)

    def fails(*given, **more):
        failed.append(one.gallery.state)
        raise LedgerError("ledger.sqlite", "a readable ledger", "one that is locked")

    with monkeypatch.context() as patch:
        where = (one.engine, "pause") if cut_off == "pause" else (one.ledger, "event")
        patch.setattr(*where, fails)
        while not failed:
            one.ask(1)
        assert one.watch.breach is None
    one.ask(1)
    assert failed == ["copying"]
    assert one.gallery.state == "paused"
    assert one.watch.breach is not None
    assert one.watch.numbers()["last_failure"].endswith("got one that is locked.")


class Linear:
    """Least squares from the new space into the old one."""

    origin, target = NEW, OLD

    def __init__(self, one):
        rows = [m.encode(texts(400, 3), "document").array for m in (one.new_model, one.old_model)]
        self.matrix = np.linalg.lstsq(*rows, rcond=None)[0]

    def transform(self, vectors):
        return as_vectors(vectors.array @ self.matrix, OLD, "map")


def test_a_bridge_that_is_cut_short_is_noticed_at_once(world):
    one = world()
    bridge = Linear(one)
    one.gallery.old = Side(one.old, None, bridge)
    one.watch = Watch(one.gallery, one.engine, one.config, background=False)
    for _ in range(20):
        one.engine.step()
        one.ask(10)
    assert one.watch.breach is None
    assert one.watch.tally.lately("bridge", 100) == (0.0, 0.0, 0.0, 100)
    bridge.matrix = bridge.matrix * (np.arange(OLD.dim) < OLD.dim // 2)
    delay = one.ask_until_it_breaks(60)
    assert delay is not None
    assert delay < 25
    assert one.gallery.state == "paused"


def test_a_breach_rolls_back_if_so_configured(world):
    one = world(config=WatchConfig(share=1.0, calibration=60, on_breach="roll back"))
    for _ in range(12):
        one.engine.step()
        one.ask(10)
    spoil_new(one)
    assert one.ask_until_it_breaks(200) is not None
    assert one.gallery.state == "rolled back"
    assert one.old.visible == COUNT


def test_while_nothing_is_wrong_nothing_breaks(world):
    one = world()
    for _ in range(30):
        one.engine.step()
        one.ask(9)
    one.engine.step()
    one.engine.cut_over()
    one.ask(50)
    assert one.watch.breach is None
    numbers = one.watch.numbers()
    assert (numbers["heard"], numbers["dropped"], numbers["failures"]) == (320, 0, 0)
    assert numbers["calibrated"] == 1.0
    assert max(numbers["near"].values()) < 0.9


def test_after_a_breach_somebody_may_go_on_and_is_stopped_again(world):
    one = world()
    for _ in range(12):
        one.engine.step()
        one.ask(10)
    spoil_new(one)
    one.ask_until_it_breaks(200)
    one.ask(50)
    assert len([1 for _, kind, _ in one.ledger.events() if kind == "breach"]) == 1
    one.engine.start()
    assert one.ask_until_it_breaks(200) is not None
    assert one.gallery.state == "paused"
    one.new_model.spoil = 0.0
    one.engine.start()
    one.ask(100)
    assert (one.gallery.state, one.watch.breach) == ("copying", None)


def test_the_status_quo_is_the_old_side_in_full(world):
    one = world()
    one.engine.run(0.5)
    text = next(one.asked)
    asked = one.old_model.encode([text], "query").array
    rows = one.old.get(list(one.items)).vectors.array
    truth = {f"i{n}" for n in np.argsort(-(asked @ rows.T)[0])[:10]}
    now = {name for name, _ in one.gallery.search([text], 10).row(0)}
    overlap = {f.metric: f for f in one.watch.findings()}["overlap@10"]
    assert overlap.value == pytest.approx(len(truth & now) / 10)
    assert (overlap.cell, overlap.n, overlap.verdict) == ("live@50%", 1, "info")
    latency = one.watch.numbers()["latency"]
    assert set(latency) == {"live", "old", "new"}
    assert all(0.0 < side["p50"] <= side["p99"] < 5.0 for side in latency.values())


def test_flips_are_counted_where_judgements_exist(world):
    asked = texts(3, 77)
    judged = {text: frozenset(["nowhere"]) for text in asked}
    one = world(judged=judged)
    one.engine.run(0.5)
    best = one.gallery.search([asked[0]], 10, side="old").ids[0, 0]
    one.watch._judged[asked[0]] = frozenset([best])
    answered = {name for name, _ in one.gallery.search([asked[0]], 10).row(0)}
    one.gallery.search([asked[1]], 10)
    one.ask(2)
    flips = {f.metric: f for f in one.watch.findings()}["flips"]
    assert flips.n == 2
    assert flips.value == pytest.approx(0.5 * (best not in answered))


def test_flips_and_empty_answers_and_overlap_have_bounds(world):
    for name, config in (
        ("overlap", {"least_overlap": 0.9}),
        ("slow", {"slow_ms": 1e-6}),
    ):
        one = world(config=WatchConfig(share=1.0, calibration=2_000, **config))
        one.engine.run(0.5)
        one.engine.start()
        delay = one.ask_until_it_breaks(400)
        assert (delay is not None, one.watch.breach.metric) == (True, name)
        assert one.gallery.state == "paused"


def test_what_is_slow_is_told_with_how_much_of_it_there_is(world):
    one = world(config=WatchConfig(share=1.0, calibration=2_000, slow_ms=1e-6))
    one.engine.run(0.5)
    delay = one.ask_until_it_breaks(400)
    breach, told = one.watch.findings()[0], {f.metric: f for f in one.watch.findings()[1:]}
    assert (breach.metric, breach.value, breach.high) == ("slow", 1.0, 1.0)
    assert 1 < breach.n <= delay
    assert 0.5 < breach.low < 1.0  # of a rate: that few might be so by chance
    assert (told["slow"].value, told["slow"].n) == (1.0, delay)


def test_an_answer_that_came_back_empty_is_a_breach(world):
    one = world(config=WatchConfig(share=1.0, calibration=2_000))
    one.engine.run(0.5)
    one.engine.start()
    search = one.gallery._mixed.search
    one.gallery._mixed.search = lambda both, k, where: search(both, k, where).take([0]).top(0)
    delay = one.ask_until_it_breaks(50)
    assert delay is not None
    assert delay < 15
    assert one.watch.breach.metric == "empty"


def test_the_sample_is_drawn_by_the_hash_of_the_query(world):
    one = world(config=WatchConfig(share=0.3))
    one.engine.run(0.5)
    asked = texts(200, 5)
    for _ in range(2):
        for text in asked:
            one.gallery.search([text], 3)
    one.gallery.search(asked, 3)
    wanted = sum(place(text, "watch") < 0.3 for text in asked)
    assert 30 < wanted < 90
    assert one.watch.tally.sampled == 3 * wanted


def test_vectors_are_sampled_as_contents_are(world):
    one = world()
    one.engine.run(0.5)
    both = [m.encode(texts(4, 3), "query") for m in (one.old_model, one.new_model)]
    one.gallery.search(both, 5)
    assert one.watch.tally.sampled == 4
    new_alone = Vectors(NEW, both[1].array)
    one.engine.run()
    one.gallery.search(new_alone, 5)  # nothing leads to the old side from here
    assert one.watch.tally.sampled == 4
    assert one.watch.numbers()["failures"] == 4
    assert "old" in one.watch.numbers()["last_failure"]


def test_searches_do_not_wait_and_what_is_too_much_is_dropped(world, patient, monkeypatch):
    one = world(background=True)
    one.engine.run(0.5)
    go = threading.Event()
    compare = one.watch.compare
    monkeypatch.setattr(one.watch, "compare", lambda sample: (go.wait(240), compare(sample)))
    one.ask(300)
    assert one.watch.tally.dropped >= 300 - 256 - 1
    go.set()
    one.watch.close()
    assert one.gallery.watch is None
    assert one.watch.tally.sampled == 300 - one.watch.tally.dropped


def test_a_model_that_never_answers_does_not_keep_a_gallery_from_closing(world, monkeypatch):
    """Searches wait while a service opens its gallery anew: after a finish, for instance."""
    monkeypatch.setattr("holdfast.upgrade.watching.watch._LAST", 0.05)
    one, answer, asked = world(background=True), threading.Event(), []
    one.engine.run()  # all has moved: the old model is only asked by the watch
    one.old_model.encode = lambda *given: asked.append(given) or answer.wait(240)
    thread = one.watch._thread
    one.ask(300)
    while not asked:
        time.sleep(0.01)
    closing = threading.Thread(target=one.gallery.close, daemon=True)
    closing.start()
    closing.join(240)
    assert not closing.is_alive()
    assert not answer.is_set()
    answer.set()
    thread.join(240)
    assert (thread.is_alive(), len(asked)) == (False, 1)  # what waited is given up


def test_a_model_that_is_away_does_not_end_the_watch(world, patient):
    one = world(background=True)
    one.engine.run()  # all has moved: the old model is only asked by the watch
    encode = one.old_model.encode
    one.old_model.encode = lambda *a: (_ for _ in ()).throw(EncoderError("model", "a", "b"))
    one.ask(5)
    while one.watch.tally.failures < 5:
        threading.Event().wait(0.01)
    one.old_model.encode = encode
    one.ask(5)
    one.watch.close()
    assert one.watch.tally.sampled == 5


def test_nothing_that_a_model_raises_ends_the_watch_or_keeps_a_gallery_from_closing(world, patient):
    """With nobody to take what waits, closing would wait for ever for room."""
    one = world(background=True)
    one.engine.run()
    encode = one.old_model.encode
    one.old_model.encode = lambda *a: 1 / 0
    one.ask(300)
    told = time.monotonic()
    while one.watch.tally.failures + one.watch.tally.dropped < 300:
        assert time.monotonic() < told + 60
        time.sleep(0.01)
    assert one.watch.tally.last_failure == "ZeroDivisionError: division by zero"
    one.old_model.encode = encode
    one.ask(5)
    closing = threading.Thread(target=one.gallery.close, daemon=True)
    closing.start()
    closing.join(240)
    assert not closing.is_alive()
    assert one.watch.tally.sampled == 5


def test_in_a_stage_the_new_side_is_compared_whoever_asked(world):
    one = world()
    one.engine.run()
    one.engine.stage(Stage(tenants=("nobody",)))
    text = next(one.asked)
    told = {name for name, _ in one.gallery.search([text], 10, key="u").row(0)}
    old = {n for n, _ in one.gallery.search([text], 10, side="old").row(0)}
    new = {n for n, _ in one.gallery.search([text], 10, side="new").row(0)}
    assert told == old != new
    overlap = {f.metric: f for f in one.watch.findings()}["overlap@10"]
    assert overlap.value == pytest.approx(len(old & new) / 10)


def test_nothing_is_compared_before_anything_has_moved(world):
    one = world()
    one.ask(3)
    one.engine.start()
    one.ask(3)
    assert (one.watch.tally.heard, one.watch.tally.sampled) == (3, 0)


def test_the_panel_compares_by_hand(world):
    one = world()
    one.engine.run(0.5)
    panel = Panel.draw(one.gallery)
    ids = sorted(one.ledger.first_done(240))[:120]
    sides = [store.get(ids).vectors.array.astype(float) for store in (one.old, one.new)]
    asked = [m.encode(texts(3, 4), "query") for m in (one.old_model, one.new_model)]
    for row in range(3):
        tables = [a.array[row].astype(float) @ side.T for a, side in zip(asked, sides, strict=True)]
        truth = np.corrcoef(*tables)[0, 1]
        assert panel.compare(*asked)["agreement"][row] == pytest.approx(truth, abs=1e-5)
    a, b = (side - side.mean(axis=0) for side in sides)
    square = a[:60].T @ a[:60]
    linear = np.linalg.solve(square + np.trace(square) / 12 * np.eye(12), a[:60].T @ b[:60])
    left = b[60:] - a[60:] @ linear
    spread = left.T @ left / 60
    inverse = np.linalg.inv(spread + 0.1 * np.trace(spread) / 16 * np.eye(16))
    for row in range(3):
        x, y = (
            v.array[row].astype(float) - s.mean(axis=0) for v, s in zip(asked, sides, strict=True)
        )
        rest = y - x @ linear
        assert panel.compare(*asked)["likeness"][row] == pytest.approx(-rest @ inverse @ rest)


def test_the_panel_waits_for_enough_items(world):
    one = world()
    assert Panel.draw(one.gallery) is None
    one.engine.run(0.15)
    assert Panel.draw(one.gallery) is None
    one.engine.run(0.25)
    assert Panel.draw(one.gallery) is not None


@pytest.mark.parametrize(
    "wrong",
    [{"share": 0.0}, {"share": 2.0}, {"on_breach": "dance"}, {"calibration": 3}, {"speed": 1}],
)
def test_a_watch_that_cannot_be_is_refused(tmp_path, wrong):
    from holdfast.upgrade.config import read_config

    lines = "\n".join(f"{k} = {v!r}".replace("'", '"') for k, v in wrong.items())
    path = tmp_path / "holdfast.toml"
    path.write_text(
        'version = 1\n[source]\nkind = "store-payload"\n[old]\nencoder = "a"\n'
        f'[new]\nencoder = "b"\n[watch]\n{lines}\n'
    )
    with pytest.raises(ConfigError, match=r"watch\."):
        read_config(path)


def test_a_project_attends_its_engine(tmp_path):
    text = """
version = 1
[source]
kind = "store-payload"
field = "text"
[old]
encoder = "python"
function = "tests.cli.toys:old"
dim = 16
[new]
encoder = "python"
function = "tests.cli.toys:new"
dim = 24
[watch]
share = 1.0
[[gate]]
cell = "mixed@*"
not_worse = true
"""
    (tmp_path / "holdfast.toml").write_text(text)
    project = Project(tmp_path / "holdfast.toml")
    assert project.config.watch == WatchConfig(share=1.0)
    gallery = project.gallery()
    gallery.upsert([Item(f"d{n}", f"w{n} w{n + 1}", {"text": f"w{n} w{n + 1}"}) for n in range(90)])
    gallery.close()
    project.plan()
    gallery = project.gallery()
    engine = project.engine(gallery, by="alice (service)")
    watch = gallery.watch
    assert isinstance(watch, Watch)
    engine.run(0.5)
    assert project.engine(gallery).gallery.watch is watch
    gallery.search(["w1 w2", "w5"], 5)
    gallery.close()
    assert watch.tally.sampled == 2
    assert gallery.watch is None
    ledger = project.ledger(readonly=True)
    (deed,) = ledger.deeds()
    assert (deed.who, deed.what, deed.gate) == ("alice (service)", "start", "nothing measured")
    ledger.close()


def test_queries_that_measure_quality_are_no_live_searches(world):
    """The first queries of the sample are what all later ones are held against."""
    one = world()
    one.engine.run(until=0.5)
    asked = {f"q{n}": text for n, text in enumerate(texts(30, 3))}
    judgements = Judgements.from_dict({name: {"i0": 1} for name in asked}, asked)
    finding = Quality(one.gallery, judgements, "R@10").measure()
    assert finding.n == 30
    assert (one.watch.tally.heard, one.watch.tally.sampled, one.gallery.meter.count) == (0, 0, 0)
    one.ask(2)
    assert (one.watch.tally.heard, one.watch.tally.sampled, one.gallery.meter.count) == (2, 2, 2)


def test_judged_queries_are_found_by_their_text():
    judgements = Judgements.from_dict({"q": {"a": 2, "b": 0}}, {"q": "tea"})
    assert judged_texts(judgements) == {"tea": frozenset(["a"])}
    assert judged_texts(None) == judged_texts(Judgements.from_dict({"q": {"a": 1}})) == {}
    assert Config.model_fields["watch"].default is None
    assert Plan().yield_above == 0.0
