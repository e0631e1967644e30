"""The steps of an upgrade as a holdfast.toml describes it: refusals, and several in a row."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import ConfigError, EncoderMisconfigured, StoreError, StoreHeld, UpgradeError
from holdfast.items import Item
from holdfast.store.memory import MemoryStore
from holdfast.upgrade import engine as engine_module
from holdfast.upgrade import project as project_module
from holdfast.upgrade.assess import Assessor
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.project import Project
from holdfast.upgrade.simulation.probe import measure
from tests.cli import toys

WORDS = [f"w{n}" for n in range(30)]
CONFIG = """\
version = 1
[store]
kind = "{store}"
{options}
[source]
kind = "jsonl"
path = "docs.jsonl"
payload = ["even"]
[old]
encoder = "{old}"
{old_options}
[new]
encoder = "python"
function = "tests.cli.toys:{new}"
dim = {dim}
name = "{name}"
{more}
[upgrade]
batch_size = 8
{plan}
"""


class Home:
    """A folder with documents, and a configuration that changes from step to step."""

    def __init__(self, folder: Path, count: int = 60) -> None:
        self.folder, rng = folder, np.random.default_rng(3)
        self.documents = {
            f"d{n}": " ".join(rng.choice(WORDS, size=12)) + f" own{n}" for n in range(count)
        }
        self.write()

    def write(self) -> None:
        lines = [
            json.dumps({"id": name, "text": text, "even": int(name[1:]) % 2 == 0})
            for name, text in self.documents.items()
        ]
        (self.folder / "docs.jsonl").write_text("\n".join(lines), encoding="utf-8")

    def grow(self, count: int) -> None:
        rng = np.random.default_rng(4)
        for n in range(60, count):
            self.documents[f"d{n}"] = " ".join(rng.choice(WORDS, size=12)) + f" own{n}"
        self.write()

    def project(self, old="old", new="new", dim=24, name="new@1", plan="", more="") -> Project:
        dims = {"old": ("old@1", 16), "new": ("new@1", 24), "third": ("third@1", 24)}
        functions = {"third": "awful"}
        options = ""
        if old != "none":
            label, size = dims[old]
            function = f"tests.cli.toys:{functions.get(old, old)}"
            options = f'function = "{function}"\ndim = {size}\nname = "{label}"'
        text = CONFIG.format(
            store="faiss",
            options='index = "flat"',
            old="none" if old == "none" else "python",
            old_options=options,
            new=new,
            dim=dim,
            name=name,
            plan=plan,
            more=more,
        )
        (self.folder / "holdfast.toml").write_text(text, encoding="utf-8")
        return Project(self.folder / "holdfast.toml")

    def upgrade(self, project: Project) -> None:
        project.plan()
        gallery = project.gallery()
        engine = project.engine(gallery)
        assert engine.run().state == "ready"
        engine.cut_over()
        gallery.close()

    def finds_itself(self, project: Project) -> bool:
        gallery = project.gallery()
        try:
            hits = gallery.search(list(self.documents.values()), 1)
            return hits.ids[:, 0].tolist() == list(self.documents)
        finally:
            gallery.close()


@pytest.fixture
def home(tmp_path):
    pytest.importorskip("faiss")
    return Home(tmp_path)


def state(project: Project) -> str | None:
    ledger = project.ledger(readonly=True)
    upgrade = ledger.upgrade()
    ledger.close()
    return upgrade and upgrade.state


def finish(project: Project) -> None:
    gallery = project.gallery()
    project.engine(gallery).finish()
    gallery.close()


def test_three_upgrades_in_a_row_and_back_to_the_first_space(home):
    home.project().build()
    home.upgrade(project := home.project())
    finish(project)
    project.drop_old()
    assert home.finds_itself(project)
    home.upgrade(project := home.project(old="new", new="awful", name="third@1"))
    finish(project)
    project.drop_old()
    assert home.finds_itself(project)
    home.upgrade(project := home.project(old="third", new="old", dim=16, name="old@1"))
    finish(project)
    assert home.finds_itself(project)


def test_nobody_can_plan_back_into_a_store_that_is_being_dropped(home, monkeypatch):
    home.project().build()
    home.upgrade(project := home.project())
    finish(project)

    def meanwhile(*given, **options):
        """A plan begins with this; its upgrade could fill the store that is dropped next."""
        with (
            closing(sqlite3.connect(project.folder / "ledger.sqlite", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")
        dropped.append(given)

    dropped = []
    monkeypatch.setattr(project_module, "drop_store", meanwhile)
    project.drop_old()
    assert len(dropped) == 1
    assert len(list((project.folder / "stores").iterdir())) == 1


def test_a_plan_right_after_a_finish_leaves_from_the_new_space(home):
    """Though the process died before the old store was dropped."""
    home.project().build()
    home.upgrade(project := home.project())
    gallery = project.gallery()
    gallery.upsert([Item("late", "a text written after the cut-over", {})])
    project.engine(gallery).finish()
    gallery.close()
    third = home.project(old="new", new="awful", name="third@1")
    assert third.plan(dry_run=True)["old"].startswith("new@1")
    assert third.plan()["items"] == 61


def test_a_store_that_was_half_dropped_is_not_met_again(home, monkeypatch):
    home.project().build()
    home.upgrade(project := home.project())
    finish(project)

    def interrupted(path, *given, **more):
        next(Path(path).rglob("*.sqlite")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(project_module.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            project.drop_old()
    home.upgrade(project := home.project(old="new", new="old", dim=16, name="old@1"))
    assert home.finds_itself(project)
    finish(project)
    project.drop_old()
    assert len(list((project.folder / "stores").iterdir())) == 1


def test_an_old_store_that_is_open_somewhere_is_not_dropped(home):
    """Whoever has it open would leave pieces of it in a new folder of that name."""
    home.project().build()
    home.upgrade(project := home.project())
    gallery = project.gallery()
    project.engine(gallery).finish()
    with pytest.raises(StoreHeld, match=f"held by process {os.getpid()}"):
        project.drop_old()
    assert len(list((project.folder / "stores").iterdir())) == 2
    gallery.close()
    project.drop_old()
    assert len(list((project.folder / "stores").iterdir())) == 1
    assert home.finds_itself(project)


def test_a_program_may_go_to_another_folder(home, tmp_path, monkeypatch):
    home.project()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(home.folder)
    project = Project("holdfast.toml")
    monkeypatch.chdir(tmp_path / "elsewhere")
    project.build()
    home.upgrade(project)
    assert home.finds_itself(project)


def test_another_name_alone_embeds_nothing_anew(home, monkeypatch):
    asked, embed = [], toys.new
    monkeypatch.setattr(toys, "new", lambda texts: asked.extend(texts) or embed(texts))
    home.project().build()
    project = home.project()
    project.plan()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).run(0.5)
        project.engine(gallery).roll_back()
    moved = list(asked)
    assert len(moved) == 30
    renamed = home.project(name="a better name")
    assert renamed.plan(dry_run=True)["new"].startswith("new@1 (24-d cosine, ")
    home.upgrade(renamed)
    assert sorted(asked) == sorted(home.documents.values())  # each once
    assert len(list((renamed.folder / "stores").iterdir())) == 2
    assert home.finds_itself(home.project(name="and another"))


def before_holding(monkeypatch, project, deed):
    """Let another process do something after a project has looked, before it holds a store."""
    hold, done = project.store, []

    def late(space):
        if not done:
            done.append(space)
            deed()
        return hold(space)

    monkeypatch.setattr(project, "store", late)


def test_a_plan_made_while_a_gallery_is_opened_is_seen(home, monkeypatch):
    home.project().build()
    project, other = home.project(), home.project()
    before_holding(monkeypatch, project, other.plan)
    gallery = project.gallery()
    assert gallery.state == "planned"
    assert project.engine(gallery).run().state == "ready"
    gallery.close()
    assert state(other) == "ready"


def test_a_finish_while_a_gallery_is_opened_is_seen(home, monkeypatch):
    home.project().build()
    home.upgrade(project := home.project())

    def give_up():
        finish(other := home.project())
        other.drop_old()

    before_holding(monkeypatch, project, give_up)
    gallery = project.gallery()
    assert (gallery.new, gallery.old.space.name) == (None, "new@1")
    gallery.close()
    assert len(list((project.folder / "stores").iterdir())) == 1  # not made anew
    assert home.finds_itself(project)


def test_a_roll_back_and_another_plan_while_a_gallery_is_opened_are_seen(home, monkeypatch):
    home.project().build()
    home.project().plan()
    project = home.project()

    def another():
        gallery = Project(project.path).gallery()
        home.project().engine(gallery).roll_back()
        gallery.close()
        home.project(new="awful", name="third@1").plan()

    before_holding(monkeypatch, project, another)
    with pytest.raises(ConfigError, match="a model that answers vectors of third@1"):
        project.gallery()  # whose configuration speaks of another model
    gallery = home.project(new="awful", name="third@1").gallery()
    assert gallery.new.space.name == "third@1"
    gallery.close()


def test_a_plan_made_while_a_build_begins_is_not_built_around(home, monkeypatch):
    home.project().build()
    home.documents["d60"] = "one more document"
    home.write()
    project, other = home.project(), home.project()
    before_holding(monkeypatch, project, other.plan)
    with pytest.raises(UpgradeError, match="no upgrade under way"):
        project.build()
    gallery = other.gallery()
    assert len(gallery) == 60
    gallery.close()


def test_nobody_opens_a_gallery_between_the_look_of_a_plan_and_its_record(home, monkeypatch):
    home.project().build()
    begin, refused = Ledger.begin, []

    def slowly(ledger, *given):
        with pytest.raises(StoreHeld):
            home.project().gallery()
        refused.append(given)
        return begin(ledger, *given)

    monkeypatch.setattr(Ledger, "begin", slowly)
    home.project().plan()
    assert len(refused) == 1


def test_a_bridge_is_fitted_on_pairs_though_items_go_meanwhile(home):
    home.project().build()
    project = home.project()
    with closing(project.gallery()) as gallery:
        source, store = project.source, gallery.keeper
        asked = []

        class Slow:
            def get(self, names):
                asked.extend(names)
                found = source.get(names)
                gallery.delete(["d3", "d17"])
                return found

        sample = project._sample(store, Slow())
        kept = [name for name in asked if name not in ("d3", "d17")]
        assert len(kept) == 58
        old, new = project.old_encoder.space, project.new_encoder.space
        assert sample[old].array.tolist() == store.get(kept).vectors.array.tolist()
        texts = [home.documents[name] for name in kept]
        assert sample[new].array == pytest.approx(toys.new(texts), abs=1e-6)


@pytest.mark.parametrize("ways", [{"old": "none"}, {"plan": 'mover = "translate"'}])
def test_a_bridge_is_fitted_without_documents_that_the_new_model_cannot_read(home, ways):
    home.grow(257)  # two pieces, and one document alone
    home.project().build()
    project = home.project(new="picky", **ways)
    order = np.random.default_rng(0).permutation(257)
    with closing(project.store(home.project().old_encoder.space)) as store:
        names = store.scan(limit=257).rows.ids
        home.documents[names[order[-1]]] = "w13"
        home.write()
        read = [n for n in (names[i] for i in order) if "w13" not in home.documents[n].split()]
        assert 100 < len(read) < 257
        old, new = project._sample(store, home.project().source).values()
        assert old.array.tolist() == store.get(read).vectors.array.tolist()
        texts = [home.documents[name] for name in read]
        assert new.array == pytest.approx(toys.new(texts), abs=1e-6)
    assert project.plan()["bridges"][0]["pairs"] == len(read)


def test_a_new_model_that_reads_nothing_is_asked_for_a_piece_and_no_more(home, monkeypatch):
    home.grow(400)
    home.project().build()
    asked = []
    broken = toys.broken
    monkeypatch.setattr(toys, "broken", lambda texts: asked.append(len(texts)) or broken(texts))
    with pytest.raises(UpgradeError, match=r"128 that it cannot; the first one, 'd.*model is gone"):
        home.project(new="broken", plan='mover = "translate"').plan()
    assert len(asked) == 255
    assert state(home.project()) is None


@pytest.mark.parametrize("where", ["planned", "copying", "cut over", "rolled back", "finished"])
def test_building_is_refused_while_an_upgrade_is_under_way(home, where):
    project = home.project()
    project.build()
    project.plan()
    gallery = project.gallery()
    engine = project.engine(gallery)
    if where == "copying":
        engine.run(0.5)
    elif where in ("cut over", "finished"):
        engine.run()
        engine.cut_over()
    if where == "finished":
        engine.finish()
    if where == "rolled back":
        engine.roll_back()
    gallery.close()
    home.documents["d60"] = "one more document"
    home.write()
    fresh = home.project()
    if where in ("rolled back", "finished"):
        assert fresh.build().items == 61
        return
    with pytest.raises(UpgradeError, match="build: expected no upgrade under way"):
        fresh.build()
    gallery = fresh.gallery()
    assert len(gallery) == 60
    gallery.close()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ('merge = "compatible"', "unrelated"),
        ('order = "given"', "order_file"),
        ('order = "given"\norder_file = "nowhere.txt"', "nowhere.txt"),
        (
            'order = "given"\norder_file = "holdfast.toml"',
            "order_file: expected ids",
        ),
        ('order = "slice"\norder_field = "langauge"', "'langauge', which no item has"),
        ('order = "central"\norder_field = "langauge"', "'langauge', which no item has"),
        ('mover = "copy"', "copy"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_plan_that_could_not_be_carried_out_is_not_recorded(home, plan, words, dry_run):
    home.project().build()
    with pytest.raises(ConfigError, match=words):
        home.project(plan=plan).plan(dry_run=dry_run)
    assert state(home.project()) is None
    assert home.finds_itself(home.project())


def test_a_gallery_that_an_application_fills_is_not_built(home):
    text = home.project().path.read_text(encoding="utf-8")
    text, source = text.split("[source]\n", 1)
    text += '[source]\nkind = "store-payload"\n\n' + source[source.index("\n[") :]
    project = home.project()
    project.path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="to fill the gallery from, got 'store-payload'"):
        Project(project.path).build()
    assert not project.folder.exists()


def kept_by(project: Project, kind: str) -> Project:
    """The same job with another kind of store."""
    text = project.path.read_text(encoding="utf-8")
    text = text.replace('kind = "faiss"\nindex = "flat"', f'kind = "{kind}"')
    project.path.write_text(text, encoding="utf-8")
    return Project(project.path)


@pytest.mark.parametrize("planned", [False, True])
def test_a_store_of_another_kind_is_not_searched_in_vain(home, planned):
    home.project().build()
    if planned:
        home.project().plan()
        with closing(home.project().gallery()) as gallery:
            home.project().engine(gallery).run(0.5)
    words = "store.kind: expected 'faiss', which keeps this gallery, got 'edge', which is empty"
    other = kept_by(home.project(), "edge")
    steps = [other.gallery] if planned else [other.gallery, other.build, other.plan]
    for step in steps:  # a build would embed everything anew, beside what is there
        with pytest.raises(ConfigError, match=words):
            step()
    assert home.finds_itself(home.project())


def test_a_gallery_that_was_moved_to_another_kind_of_store_is_searched(home):
    project = home.project()
    project.build()
    space = project.old_encoder.space
    with closing(project.store(space)) as old:
        rows = old.scan(vectors=True).rows
    moved = kept_by(project, "edge")
    with closing(moved.store(space)) as new:
        new.upsert(rows.ids, rows.vectors, rows.payloads, rows.revisions)
    assert home.finds_itself(moved)


def lose(project: Project, name: str) -> Path:
    """Take the folder of a store away, as a disk that is not mounted does."""
    folder = next((project.folder / "stores").glob(f"{name}-*"))
    return folder.rename(project.folder / folder.name)


def put_back(project: Project, lost: Path) -> None:
    lost.rename(project.folder / "stores" / lost.name)


def test_no_empty_store_takes_the_place_of_one_that_is_gone(home):
    home.project().build()
    gone = lose(project := home.project(), "old")
    for step in (project.gallery, project.plan, Assessor(project).run, partial(measure, project)):
        with pytest.raises(StoreError, match=r"old-1-.*got none. Put it back.*holdfast build"):
            step()
    put_back(project, gone)
    assert home.finds_itself(project)
    lose(project, "old")
    assert project.build().items == len(home.documents)
    assert home.finds_itself(project)


def test_an_upgrade_does_not_go_on_without_the_old_store(home):
    home.project().build()
    home.project().plan()
    with closing(home.project().gallery()) as gallery:
        home.project().engine(gallery).run(0.5)
    gone = lose(project := home.project(), "old")
    for needs_new in (True, False):
        with pytest.raises(StoreError, match=r"got none.*name another folder: gallery"):
            project.gallery(needs_new)
    put_back(project, gone)
    assert home.finds_itself(project)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_new_store_that_is_gone_leaves_the_way_back(home, share):
    home.project().build()
    home.project().plan()
    with closing(home.project().gallery()) as gallery:
        engine = home.project().engine(gallery)
        engine.run(share)
        if share == 1.0:
            engine.cut_over()
    lose(project := home.project(), "new")
    with pytest.raises(StoreError, match=r"new-1-.*got none.*holdfast rollback"):
        project.gallery()
    with closing(project.gallery(needs_new=False)) as gallery:
        project.engine(gallery).roll_back()
    assert home.finds_itself(project)
    shutil.rmtree(next((project.folder / "stores").glob("new-*")))
    home.upgrade(project)  # whoever plans again may have made room
    assert home.finds_itself(project)


def test_an_old_store_that_is_gone_after_the_cut_over_can_be_given_up(home):
    home.project().build()
    home.upgrade(project := home.project())
    gone = lose(project, "old")
    with pytest.raises(StoreError, match=r"got none.*make the folder, empty, and finish"):
        project.gallery()
    (project.folder / "stores" / gone.name).mkdir()
    finish(project)
    project.drop_old()
    assert home.finds_itself(project)
    lose(project, "new")
    with pytest.raises(StoreError, match=r"new-1-.*got none.*holdfast build"):
        project.gallery()


def test_a_gallery_that_is_empty_though_it_was_filled_says_so(home, caplog):
    home.project().build()
    with closing(home.project().gallery()) as gallery:
        gallery.delete(list(home.documents))
    with closing(home.project().gallery()) as gallery:
        assert len(gallery) == 0
    assert "is empty, though it was filled" in caplog.text


def test_a_store_that_keeps_nothing_is_not_built(home):
    with pytest.raises(ConfigError, match="a store that keeps what is built, got 'memory'"):
        kept_by(home.project(), "memory").build()


def test_a_store_that_says_itself_that_it_keeps_nothing_is_not_built(home, monkeypatch):
    monkeypatch.setattr(Project, "store", lambda project, space: MemoryStore(space))
    with pytest.raises(ConfigError, match="that keeps what is built, got 'faiss', which is gone"):
        home.project().build()


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_space_whose_store_would_lie_in_that_of_another_is_not_planned(home, dry_run):
    home.project().build()
    again = {"new": "old", "dim": 16, "name": "old@1", "more": 'metric = "dot"\nrevision = "1"'}
    dotted = home.project(**again)
    dotted.plan()
    with closing(dotted.gallery()) as gallery:
        dotted.engine(gallery).run(0.5)
        dotted.engine(gallery).roll_back()
    again["more"] = again["more"].replace("dot", "euclidean")
    words = r"a fingerprint of its own for old@1 \(16-d euclidean, .* got that of old@1 \(16-d dot"
    with pytest.raises(ConfigError, match=words):
        home.project(**again).plan(dry_run=dry_run)
    assert state(home.project()) == "rolled back"
    assert home.finds_itself(home.project())
    again["more"] = again["more"].replace("1", "2")
    home.project(**again).plan(dry_run=dry_run)


def test_a_metric_alone_is_told_from_the_one_that_serves(home):
    project = home.project()
    text = project.path.read_text(encoding="utf-8")
    metric = 'name = "old@1"\nmetric = "dot"'
    project.path.write_text(text.replace('name = "old@1"', metric), encoding="utf-8")
    Project(project.path).build()
    home.project(new="old", dim=16, name="old@1", more='metric = "euclidean"')
    text = project.path.read_text(encoding="utf-8").replace('name = "old@1"', metric, 1)
    project.path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"got that of old@1 \(16-d dot.* a gallery of its own"):
        Project(project.path).plan()
    assert home.finds_itself(Project(project.path))
    text = text.replace('"dot"', '"euclidean"')  # as the message says
    project.path.write_text(
        text.replace("version = 1", 'version = 1\ngallery = "other"'), encoding="utf-8"
    )
    Project(project.path).build()
    assert home.finds_itself(Project(project.path))


def test_a_length_that_was_wrong_is_mended_by_a_rollback_and_another_plan(home):
    home.project().build()
    wrong = home.project(dim=32)
    wrong.plan()
    words = pytest.raises(EncoderMisconfigured, match="Set dim to what the model answers")
    with closing(wrong.gallery()) as gallery, words:
        wrong.engine(gallery).run()
    with pytest.raises(ConfigError, match="go back and plan again"):
        home.project(dim=24).gallery()
    wrong = home.project(dim=32)
    with closing(wrong.gallery()) as gallery:
        wrong.engine(gallery).roll_back()
    home.upgrade(home.project(dim=24))
    assert home.finds_itself(home.project(dim=24))


def test_a_dead_model_is_reached_through_its_bridge_in_every_state(home):
    home.grow(400)
    home.project().build()

    def near(project, share=0.5):
        gallery = project.gallery()
        hits = gallery.search(list(home.documents.values()), 10)
        found = [name in row for name, row in zip(home.documents, hits.ids, strict=True)]
        gallery.close()
        return np.mean(found) >= share

    project = home.project(old="none")
    project.plan()
    assert near(project)
    gallery = project.gallery()
    engine = project.engine(gallery)
    engine.run(0.5)
    home.documents["d9"] = "quite another text own9"
    home.write()
    gallery.upsert([Item("d9", home.documents["d9"], {"even": False})])
    gallery.delete(["d8"])
    del home.documents["d8"]
    gallery.close()
    project = home.project(old="none")  # a source is as it was when it was opened
    assert near(project)
    gallery = project.gallery()
    engine = project.engine(gallery)
    engine.run()
    engine.cut_over()
    home.documents["d500"] = "written after the cut-over own500"
    gallery.upsert([Item("d500", home.documents["d500"], {"even": True})])
    gallery.close()
    assert near(project, 1.0)
    gallery = project.gallery()
    project.engine(gallery).roll_back()
    gallery.close()
    project = home.project(old="none")
    assert near(project)
    gallery = project.gallery()
    assert gallery.search([home.documents["d500"]], 1).ids.tolist() == [["d500"]]
    assert len(gallery) == 400
    gallery.upsert([Item("d501", "written after the rollback", {})])
    gallery.close()
    home.documents["d501"] = "written after the rollback"
    home.write()
    home.upgrade(project := home.project(old="none"))
    assert near(project, 1.0)


def test_a_build_that_would_need_a_dead_model_says_so(home):
    home.project().build()
    assert home.project(old="none").build().items == 60  # all are stored
    home.documents["d60"] = "one more document"
    home.write()
    with pytest.raises(ConfigError, match=r"the model of old@1 .*, since item 'd60' is not stored"):
        home.project(old="none").build()


def test_a_second_build_leaves_out_what_the_store_refused_to_the_first(home, monkeypatch):
    opened, bad = Project.store, {"d5", "d17", "d18", "d40"}

    def picky(project, space):
        store = opened(project, space)
        upsert = store.upsert

        def some(ids, *rest):
            if bad & set(ids):
                raise StoreError("this store", "ids it likes", repr(ids[0]))
            upsert(ids, *rest)

        monkeypatch.setattr(store, "upsert", some)
        return store

    monkeypatch.setattr(Project, "store", picky)
    for _ in range(2):
        built = home.project().build()
        assert (built.items, built.left_out.keys()) == (56, bad)
    home.documents["d60"] = "one more document"
    home.write()
    built = home.project().build()
    assert (built.items, built.left_out.keys()) == (57, bad)


def test_a_new_model_that_is_another_one_in_the_midst_is_named_though_the_old_one_is_dead(home):
    home.grow(400)
    home.project().build()
    project = home.project(old="none")
    project.plan()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).run(0.5)
    with pytest.raises(ConfigError, match=r"answers vectors of new@1 .*, got third@1"):
        home.project(old="none", new="awful", name="third@1").gallery()
    with closing(project.gallery()) as gallery:
        assert project.engine(gallery).run().state == "ready"


def test_a_source_that_is_gone_keeps_nobody_from_cutting_over_and_going_back(home):
    home.project().build()
    home.project().plan()
    with closing(home.project().gallery()) as gallery:
        assert home.project().engine(gallery).run().state == "ready"
    (home.folder / "docs.jsonl").unlink()
    project = home.project()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).cut_over()
    assert home.finds_itself(home.project())
    project = home.project()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).roll_back()
    assert home.finds_itself(home.project())


def test_an_old_model_that_dies_in_the_midst_is_left_by_a_rollback_and_another_plan(home):
    home.grow(400)
    home.project().build()
    project = home.project()
    project.plan()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).run(0.5)
        moved = gallery.new.store.visible
    with pytest.raises(ConfigError, match="too little has moved to fit a bridge on"):
        home.project(old="none").gallery()
    project = home.project()
    project.old_encoder.encode = project.new_encoder.encode = None  # are not asked
    with closing(project.gallery()) as gallery:
        project.engine(gallery).roll_back()
    project = home.project(old="none")
    project.plan()
    asked = []
    encode = project.new_encoder.encode
    project.new_encoder.encode = lambda given, role: asked.append(len(given)) or encode(given, role)
    with closing(project.gallery()) as gallery:
        assert project.engine(gallery).run().state == "ready"
    assert (moved, sum(asked)) == (200, 200)


def test_an_old_model_that_dies_after_much_has_moved_is_replaced_by_a_bridge(home):
    home.grow(400)
    home.project().build()
    project = home.project()
    project.plan()
    with closing(project.gallery()) as gallery:
        project.engine(gallery).run(0.75)
    project = home.project(old="none")
    with closing(project.gallery()) as gallery:
        bridge, new = gallery.old.bridge, gallery.new.store
        assert (gallery.state, bridge.evidence.pairs) == ("paused", new.visible)
        names = gallery.new.store.scan(limit=400).rows.ids
        pairs = [store.get(names).vectors for store in (new, gallery.old.store)]
        table = bridge.transform(pairs[0]).array @ pairs[1].array.T
        assert np.mean((table > np.diag(table)[:, None]).sum(axis=1) < 30) > 0.9  # of 300
        gallery.upsert([Item("late", "w1 w2 w3")])
        assert gallery.old.store.revisions(["late"])[0] > 0  # the way back knows it too
        assert project.engine(gallery).run().state == "ready"
    with closing(home.project(old="none").gallery()) as gallery:  # and is not fitted twice
        assert gallery.old.bridge.evidence.pairs == bridge.evidence.pairs


def test_a_start_that_was_cut_off_works_its_order_out_again(home, monkeypatch):
    plan = 'order = "slice"\norder_field = "even"'
    home.project().build()
    project = home.project(plan=plan)
    project.plan()
    with closing(project.gallery()) as gallery:
        engine = project.engine(gallery)
        engine.run(0.5)
        engine.roll_back()
    project.plan()

    def dies(gallery):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, closing(project.gallery()) as gallery:
        patch.setattr(engine_module, "reconcile", dies)
        with pytest.raises(KeyboardInterrupt):
            project.engine(gallery).run()
        assert gallery.state == "planned"
    project = home.project(plan=plan)
    with closing(project.gallery()) as gallery:
        engine = project.engine(gallery)
        engine.start()
        odd = [int(name[1:]) % 2 for _, name in gallery.ledger.todo(60)][12:]  # behind the sample
        assert odd in (sorted(odd), sorted(odd, reverse=True))
        assert engine.run().state == "ready"


def test_translating_needs_no_documents(home):
    home.grow(400)
    home.project().build()
    project = home.project(plan='mover = "translate"')
    project.plan()
    (home.folder / "docs.jsonl").unlink()
    gallery = home.project(plan='mover = "translate"').gallery()
    engine = project.engine(gallery)
    assert engine.run().state == "ready"
    engine.cut_over()
    hits = gallery.search(list(home.documents.values()), 10).ids
    assert np.mean([n in row for n, row in zip(home.documents, hits, strict=True)]) > 0.8
    gallery.close()


def test_a_gallery_whose_second_store_does_not_open_lets_go_of_the_first(home):
    project = home.project()
    project.build()
    project.plan()
    project.gallery().close()
    new = project.store_folder(project.new_encoder.space)
    shutil.copy(new / "rows.sqlite", home.folder / "kept")
    (new / "rows.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        project.gallery()
    shutil.copy(home.folder / "kept", new / "rows.sqlite")
    assert home.finds_itself(project)


def test_a_gallery_that_was_never_built_is_not_made_by_looking_for_it(home):
    project = home.project()
    with pytest.raises(UpgradeError, match="holdfast build"):
        project.gallery()
    with pytest.raises(UpgradeError, match="holdfast build"):
        project.plan()
    assert not project.folder.exists()


def test_a_cache_makes_no_file_before_something_is_encoded(home):
    home.project().build()
    project = home.project(more="cache = true")
    project.plan(dry_run=True)
    assert not (project.folder / "cache.sqlite").exists()
    nowhere = Project(home.folder / "holdfast.toml", project.config)
    nowhere.folder = home.folder / "nowhere"
    assert nowhere.new_encoder.space.dim == 24
    assert not nowhere.folder.exists()
    nowhere.new_encoder.encode(["kelp"], "document")
    assert (nowhere.folder / "cache.sqlite").exists()
