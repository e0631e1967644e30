"""Trained models as files, and the recipes that make them."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("PIL", reason="its pictures need Pillow")

from click.testing import CliRunner  # noqa: E402
from PIL import Image  # noqa: E402

from holdfast import artifact  # noqa: E402
from holdfast.cli import main  # noqa: E402
from holdfast.encode.check import check_encoder  # noqa: E402
from holdfast.encode.pictures import opened  # noqa: E402
from holdfast.errors import (  # noqa: E402
    ArtifactError,
    ConfigError,
    EncoderError,
    InvalidInput,
    UnfitContent,
)
from holdfast.space import relation  # noqa: E402
from holdfast.train import blueprint  # noqa: E402
from holdfast.train.batches import generator  # noqa: E402
from holdfast.train.blueprint import BackboneConfig, PicturesConfig, backbone  # noqa: E402
from holdfast.train.dataset import Labelled, read_data  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.job import Job  # noqa: E402
from holdfast.train.losses.base import Batch  # noqa: E402
from holdfast.train.losses.lce import LCE  # noqa: E402
from holdfast.train.losses.prototypes import class_floors, class_means  # noqa: E402
from holdfast.train.model import vectors_of  # noqa: E402
from holdfast.train.trained import Trained, as_inputs  # noqa: E402
from holdfast.upgrade.models import open_model  # noqa: E402
from holdfast.upgrade.plan import Plan, fitting  # noqa: E402
from tests.train.toys import blobs, same_bits  # noqa: E402

RECIPE = """\
version = 1
name = "blobs"
data = "blobs.npz"
model = "{number}.safetensors"
{more}

[backbone]
kind = "mlp"
width = 24
dim = 12

[head]
kind = "{head}"
capacity = 16
extra = 4

[loss]
kind = "{loss}"

[budget]
epochs = 3
batch = 16
rate = 0.01
held_out = 0.25
"""
FIRST = 'classes = ["c0", "c1", "c2"]'
SECOND = 'before = "1.safetensors"'


@pytest.fixture
def home(tmp_path):
    inputs, names = blobs()
    np.savez(tmp_path / "blobs.npz", vectors=inputs.numpy(), labels=names)
    return tmp_path


def recipe(home, number, more, head="simplex", loss="higher-order"):
    path = home / f"{number}.toml"
    text = RECIPE.format(number=number, more=more, head=head, loss=loss)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("heads", "loss", "expected"),
    [
        (("simplex", "simplex"), "higher-order", "same"),
        (("simplex", "simplex"), "classification", "same"),
        (("one-hot", "one-hot"), "classification", "extends"),
        (("one-hot", "one-hot"), "higher-order", "extends"),
        (("one-hot", "one-hot"), "influence", "extends"),
        (("learned", "aligned"), "alignment", "extends"),
        (("simplex", "aligned"), "alignment", "extends"),
        (("learned", "learned"), "influence", "same"),
        (("learned", "learned"), "distillation", "same"),
        (("learned", "learned"), "regression-alleviating", "same"),
        (("learned", "learned"), "lce", "same"),
        (("learned", "learned"), "mixbct", "same"),
        (("learned", "learned"), "classification", "unrelated"),
    ],
)
def test_the_relation_to_the_model_before_is_known(home, heads, loss, expected):
    first = Job(recipe(home, 1, FIRST, heads[0])).run()
    second = Job(recipe(home, 2, SECOND, heads[1], loss)).run()
    assert (first.relation, second.relation) == (None, expected)
    assert relation(second.trained.space, first.trained.space) == expected
    assert first.trained.space.name == "blobs@1"
    assert second.trained.space.name == "blobs@2"
    assert list(second.trained.interface.places) == ["c0", "c1", "c2", "c3", "c4", "c5"]


def test_a_free_classifier_follows_any_model(home):
    """Its classes keep the order that they had on the table of the other."""
    first = Job(recipe(home, 1, 'classes = ["c5", "c2"]', "simplex")).run().trained
    made = Job(recipe(home, 2, SECOND, "aligned", "distillation")).run().trained
    assert dict(first.interface.places) == {"c2": 0, "c5": 1}
    assert list(made.interface.places) == ["c2", "c5", "c0", "c1", "c3", "c4"]
    assert (made.space.dim, made.old_dim) == (19, 15)


def test_alignment_may_keep_every_items_direction_besides(home):
    """The more that weighs, the nearer a new vector is to the old one of its item."""
    old = Job(recipe(home, 1, FIRST, "learned")).run().trained
    inputs, _ = blobs()
    stored = vectors_of(old.model, inputs, np.arange(len(inputs))).numpy()
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    near = {}
    for weight in (0.0, 10.0, 1000.0):
        path = recipe(home, 2, SECOND, "aligned", "alignment")
        text = path.read_text(encoding="utf-8")
        told = f'kind = "alignment"\ndistillation = {weight}'
        path.write_text(text.replace('kind = "alignment"', told), encoding="utf-8")
        (home / "2.safetensors").unlink(missing_ok=True)  # of another recipe
        made = Job(path).run()
        assert made.relation == "extends"
        shared = vectors_of(made.trained.model, inputs, np.arange(len(inputs)), shared=True).numpy()
        shared /= np.linalg.norm(shared, axis=1, keepdims=True)
        near[weight] = float((shared * stored).sum(1).mean())
    assert near[0.0] < near[10.0] < near[1000.0]


def test_distillation_goes_beside_alignment_only(home):
    path = recipe(home, 1, FIRST, "simplex", "higher-order")
    text = path.read_text(encoding="utf-8")
    told = 'kind = "higher-order"\ndistillation = 5.0'
    path.write_text(text.replace('kind = "higher-order"', told), encoding="utf-8")
    with pytest.raises(ConfigError, match=r'loss: expected no distillation beside .*"alignment"'):
        Job(path)


def test_a_file_is_the_model(home):
    Job(recipe(home, 1, FIRST, "learned")).run()
    made = Job(recipe(home, 2, SECOND, "aligned", "alignment")).run().trained
    read = Trained.load(home / "2.safetensors")
    assert same_bits(read.model, made.model)
    assert (read.space, read.space.extends) == (made.space, made.space.extends)
    assert (read.version, read.old_dim, read.shape) == (2, 12, (8,))
    inputs, _ = blobs()
    rows = vectors_of(made.model, inputs, np.arange(9)).numpy()
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    encoder = open_model("trained", path=home / "2.safetensors")
    got = encoder.encode(inputs[:9].tolist(), "query")
    assert got.space == made.space
    np.testing.assert_allclose(got.array, expected, atol=1e-6)
    check_encoder(lambda: open_model("trained", path=home / "2.safetensors"), inputs[:6].tolist())


def test_a_recipe_trains_what_it_says(home):
    """Held-out items are of every class and take no part: other values there change nothing."""
    job = Job(recipe(home, 1, FIRST))
    kept, judges = job.split
    assert sorted([*kept, *judges]) == list(range(120))
    assert [int((job.data.names[judges] == name).sum()) for name in job.data.known] == [10] * 3
    made = job.run().trained
    inputs, names = blobs()
    changed = inputs.numpy().copy()
    changed[judges] = 7.0  # the first three classes are the first 120 rows
    other = home / "other"
    other.mkdir()
    np.savez(other / "blobs.npz", vectors=changed, labels=names)
    again = Job(recipe(other, 1, FIRST)).run().trained
    assert same_bits(made.model, again.model)


def test_going_on_starts_from_the_model_before(home):
    Job(recipe(home, 1, FIRST)).run()
    path = recipe(home, 2, SECOND + '\nstart = "deployed"')
    text = path.read_text(encoding="utf-8").replace("rate = 0.01", "rate = 1e-12")
    path.write_text(text, encoding="utf-8")
    made = Job(path).run().trained
    before = Trained.load(home / "1.safetensors")
    for new, old in zip(made.model.parameters(), before.model.parameters(), strict=True):
        np.testing.assert_allclose(new.numpy(), old.numpy(), atol=1e-7)


def test_a_stopped_training_ends_with_the_same_bits(home):
    path = recipe(home, 1, FIRST)
    whole = Job(path).run().trained
    (home / "1.safetensors").unlink()

    def stop(event):
        if event.what == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(path).run([stop])
    assert not (home / "1.safetensors").exists()
    steps = []
    again = Job(path).run([lambda event: steps.append(event.step)]).trained
    assert same_bits(whole.model, again.model)
    assert min(steps) > whole_epoch(path)
    assert not list(home.glob(".*training"))  # nothing is left behind


@pytest.mark.parametrize("signals", [1, 2])
def test_who_interrupts_a_training_is_told_what_is_kept(home, monkeypatch, signals):
    path = recipe(home, 1, FIRST)
    whole = Job(path).run().trained
    (home / "1.safetensors").unlink()
    steps = 3 * whole_epoch(path)

    def interrupted(show, batch):
        def listen(event):
            if (event.what, event.step) == ("step", 10):
                for _ in range(signals):
                    signal.raise_signal(signal.SIGINT)

        return listen

    with monkeypatch.context() as patched:
        patched.setattr("holdfast.train.job.steps_done", interrupted)
        result = CliRunner().invoke(main, ["train", str(path), "--json"])
    assert (result.exit_code, result.stdout) == (130, "")
    told = json.loads(result.stderr)
    again = "Give the same command again: it goes on"
    kept = f" at {10 / steps:.2%}" if signals == 1 else " from its last checkpoint"
    assert told["fix"] == f"{again}{kept.replace('%', ' %')}."
    assert told["message"] == f"Interrupted. {told['fix']}"
    assert CliRunner().invoke(main, ["train", str(path)]).exit_code == 0
    assert same_bits(Trained.load(home / "1.safetensors").model, whole.model)


def whole_epoch(path):
    return len(Job(path).split[0]) // 16


def test_what_is_trained_is_read_and_never_overwritten(home):
    path = recipe(home, 1, FIRST)
    made = Job(path).run()
    assert same_bits(Job(path).run().trained.model, made.trained.model)
    path.write_text(path.read_text(encoding="utf-8").replace("epochs = 3", "epochs = 4"))
    with pytest.raises(ConfigError, match="another recipe"):
        Job(path).run()


def test_a_recipe_does_not_go_on_with_other_data(home):
    path = recipe(home, 1, FIRST)

    def stop(event):
        if event.what == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Job(path).run([stop])
    with np.load(home / "blobs.npz") as read:
        vectors, labels = read["vectors"], read["labels"]
    other = vectors.copy()
    other[0, 0] += 1.0
    np.savez(home / "blobs.npz", vectors=other, labels=labels)
    with pytest.raises(ArtifactError, match="or the data, tasks and settings it was begun with"):
        Job(path).run()
    assert not (home / "1.safetensors").exists()
    np.savez(home / "blobs.npz", vectors=vectors, labels=labels)
    made = Job(path).run()
    assert Job(path).run().trained.recipe == made.trained.recipe
    for given in ((other, labels), (vectors, labels[::-1])):
        np.savez(home / "blobs.npz", vectors=given[0], labels=given[1])
        with pytest.raises(ConfigError, match="trained by another recipe or on other data"):
            Job(path).run()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('kind = "mlp"', 'kind = "cnn"'), "mlp, for vectors"),
        (("epochs = 3", "epochs = 0"), "budget.epochs"),
        (("epochs = 3", "epoch = 3"), "budget.epoch"),
        (('["c0", "c1", "c2"]', '["c0", "nobody"]'), "nobody"),
        (("blobs.npz", "nothing.npz"), "nothing.npz"),
        (('kind = "simplex"', 'kind = "aligned"'), "Train the first one with 'learned'"),
        (("version = 1", "version = 2"), "version"),
        (("capacity = 16", "capacity = 1_000_000_000"), "head.capacity: expected .* 65536"),
        (("width = 24", "width = 1_000_000_000"), "backbone.width: expected .* 65536"),
    ],
)
def test_recipes_that_cannot_be_are_refused(home, change, message):
    path = recipe(home, 1, FIRST)
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        Job(path).run()
    assert not (home / "1.safetensors").exists()


@pytest.mark.parametrize(
    ("first", "change", "message"),
    [
        (FIRST, ("batch = 16", 'batch = 16\ndevice = "cuda:999"'), "budget.device"),
        (
            FIRST,
            ("batch = 16", 'batch = 16\ndevice = "abacus"'),
            "budget.device: expected .* got .abacus",
        ),
        ("classes = []", ("", ""), "classes"),
        ('classes = ["c0"]', ('data = "blobs', 'data = "one'), "two items to train on, got 1"),
        ('classes = ["c0"]', ("", ""), "two classes to tell apart, got 'c0' alone"),
        (FIRST, ("rate = 0.01", "rate = inf"), "finite"),
        (FIRST + '\nstart = "deployed"', ("", ""), "start: expected a model `before`"),
    ],
)
def test_what_cannot_be_trained_is_said_in_the_words_of_the_recipe(home, first, change, message):
    np.savez(home / "one.npz", vectors=np.ones((1, 8), np.float32), labels=["c0"])
    path = recipe(home, 1, first)
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises((ConfigError, InvalidInput), match=message):
        Job(path).run()
    assert not (home / "1.safetensors").exists()


def test_a_figure_is_compared_with_models_on_it_only(home):
    Job(recipe(home, 1, FIRST, "learned")).run()
    with pytest.raises(ConfigError, match=r'the head "one-hot" too, .*got one with "learned"'):
        Job(recipe(home, 2, SECOND, "one-hot", "distillation")).run()


@pytest.mark.parametrize(
    ("head", "loss", "message"),
    [
        ("simplex", "lce", 'head.kind = "learned" beside "lce", got "simplex"'),
        ("one-hot", "mixbct", 'beside "mixbct", got head.kind = "one-hot"'),
        ("learned", "influence", "vectors of 12 numbers.*, got 9"),
    ],
)
def test_a_loss_that_cannot_compare_is_refused_before_anything_is_trained(
    home, head, loss, message
):
    Job(recipe(home, 1, FIRST, head)).run()
    path = recipe(home, 2, SECOND, head, loss)
    path.write_text(path.read_text().replace("dim = 12", "dim = 9"))
    with pytest.raises(ConfigError, match=message):
        Job(path).run()


@pytest.mark.parametrize(
    ("heads", "loss", "change", "message"),
    [
        # what goes on was built by the recipe before, whatever this one says
        (("learned", "learned"), "distillation", ("= 24", "= 20"), "width=24.*width=20"),
        (("learned", "one-hot"), "classification", ("", ""), "head.kind: .*learned, got one-hot"),
        (("learned", "aligned"), "alignment", ("", ""), '"fresh" with the head "aligned"'),
        # it is asked about every input, and so is a teacher
        (("learned", "learned"), "classification", ("blobs.npz", "wide.npz"), r"shape \(8,\).*9"),
    ],
)
def test_only_what_fits_the_model_before_goes_on_from_it(home, heads, loss, change, message):
    """It was trained to its end, and made a file that nothing could read."""
    inputs, names = blobs()
    wide = np.pad(inputs.numpy(), ((0, 0), (0, 1)))
    np.savez(home / "wide.npz", vectors=wide, labels=names)
    Job(recipe(home, 1, FIRST, heads[0])).run()
    path = recipe(home, 2, SECOND + '\nstart = "deployed"', heads[1], loss)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ConfigError, match=message):
        Job(path).run()
    assert not (home / "2.safetensors").exists()


@pytest.mark.parametrize(
    ("loss", "change", "message"),
    [
        ("lce", ("", ""), 'head.kind = "learned" beside "lce", got "aligned"'),
        ("mixbct", ("", ""), 'coordinates of its own beside "mixbct"'),
        ("alignment", ("blobs.npz", "wide.npz"), r"shape \(8,\).*9"),
        ("alignment", ('"2.safetensors"', '""'), "model: expected a file, got the folder"),
        ("alignment", ("batch = 16", 'batch = 16\ndevice = "meta"'), "budget.device"),
        ("alignment", ("batch = 16", 'batch = 16\ndevice = "xla"'), "budget.device"),
        ("alignment", ('"alignment"', '"alignment"\nweight = 2.0'), "expected no weight beside"),
    ],
)
def test_what_no_training_can_use_is_refused_before_it_begins(home, loss, change, message):
    inputs, names = blobs()
    wide = np.pad(inputs.numpy(), ((0, 0), (0, 1)))
    np.savez(home / "wide.npz", vectors=wide, labels=names)
    Job(recipe(home, 1, FIRST, "learned")).run()
    path = recipe(home, 2, SECOND, "aligned", loss)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ConfigError, match=message):
        Job(path).run()
    assert not list(home.glob("*2*.safetensors"))


def test_a_model_that_keeps_to_the_interface_alone_may_take_other_inputs(home):
    """Its relation follows from the table; the model before has no answer to its inputs."""
    inputs, names = blobs()
    wide = np.pad(inputs.numpy(), ((0, 0), (0, 1)))
    np.savez(home / "wide.npz", vectors=wide, labels=names)
    Job(recipe(home, 1, FIRST)).run()
    path = recipe(home, 2, SECOND, "simplex", "classification")
    path.write_text(path.read_text().replace("blobs.npz", "wide.npz"))
    result = CliRunner().invoke(main, ["train", str(path), "--json"])
    told = json.loads(result.stdout)
    assert (result.exit_code, told["relation"], list(told["held_out"])) == (0, "same", ["new/new"])


def test_a_share_of_each_class_judges():
    rng = np.random.default_rng(0)
    names = rng.choice(["b", "a", "Z", "ä", "a b", "10", "9"], 200)
    data = Labelled(torch.zeros(201, 1), np.append(names, "alone"))
    kept, judges = data.split(0.3, 5)
    assert sorted([*kept, *judges]) == list(range(201))
    for name in data.known:
        mine = [place for place in range(201) if data.names[place] == name]
        drawn = generator(5, 1, *name.encode()).random(len(mine))
        count = min(round(0.3 * len(mine)), len(mine) - 1)
        first = sorted(range(len(mine)), key=drawn.__getitem__)[:count]
        assert sorted(mine[i] for i in first) == [i for i in judges if data.names[i] == name]


def test_what_judges_a_model_was_not_trained_on_by_the_one_before(home):
    """Otherwise the old model looks better on them than it is. Classes and items are added."""
    whole = Job(recipe(home, 1, "")).data
    held = {}
    for classes in (["c3", "c4"], ["c1", "c3", "c4"], None):
        part = whole.only(classes)
        places = np.flatnonzero(np.isin(whole.names, classes or whole.known))
        held[str(classes)] = set(places[part.split(0.25, 0)[1]].tolist())
    of_both = set(np.flatnonzero(np.isin(whole.names, ["c3", "c4"])).tolist())
    assert len({frozenset(found & of_both) for found in held.values()}) == 1
    assert held["None"] != set(whole.split(0.25, 1)[1].tolist())


def test_a_model_that_finds_less_than_the_one_before_is_not_praised(home):
    for number, more, loss in ((1, "", "classification"), (2, SECOND, "distillation")):
        path = recipe(home, number, more, "learned", loss)
        text = path.read_text().replace("epochs = 3", f"epochs = {(20, 1)[number - 1]}")
        path.write_text(text.replace("rate = 0.01", f"rate = {(0.01, 1e-9)[number - 1]}"))
    CliRunner().invoke(main, ["train", str(home / "1.toml")])
    result = CliRunner().invoke(main, ["train", str(home / "2.toml")])
    assert result.exit_code == 0
    assert "it finds less than the model before it: do not serve it yet" in result.output
    assert "It searches" not in result.output


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.full((2, 3), np.nan), ["a", "b"], r"wild.npz: expected finite .* in vector 0\.$"),
        (np.full((2, 3), 1e300), ["a", "b"], r"wild.npz: expected finite"),
        (np.ones((2, 0)), ["a", "b"], r"\(n, d\) vectors"),
        (np.ones((2, 3), complex), ["a", "b"], r"wild.npz: expected real numbers, got complex"),
        (np.ones((2, 3)), ["a"], r"\(2, 3\) and 1"),
        (np.ones((2, 3)), ["a", ""], "'' at place 1"),
        (np.ones((2, 3)), [1.0, np.nan], "nan at place 1"),
        (np.ones((2, 3)), [["a"], ["b"]], r"\['a'\] at place 0"),
    ],
)
def test_data_that_name_no_classes_are_refused_by_the_name_of_their_file(
    home, rows, labels, message, recwarn
):
    np.savez(home / "wild.npz", vectors=rows, labels=np.array(labels))
    with pytest.raises(ConfigError, match=message) as caught:
        read_data(home / "wild.npz", PicturesConfig(), None)
    assert "ConfigError" not in str(caught.value)
    assert not list(recwarn)


def test_labels_are_texts_and_numbers(home):
    rows = np.eye(3)
    for labels, expected in (
        (np.array([b"kelp", b"eel", b"kelp"]), ["kelp", "eel", "kelp"]),
        (np.array([-5, 700, 3]), ["-5", "700", "3"]),
    ):
        np.savez(home / "few.npz", vectors=rows, labels=labels)
        read = read_data(home / "few.npz", PicturesConfig(), None)
        assert read.names.tolist() == expected
    (home / "few.jsonl").write_text('{"vector": [1.0], "label": null}', encoding="utf-8")
    with pytest.raises(ConfigError, match="None at place 0"):
        read_data(home / "few.jsonl", PicturesConfig(), None)
    (home / "few.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"few.npz: expected vectors and labels, got EOFError"):
        read_data(home / "few.npz", PicturesConfig(), None)


def test_pictures_of_another_size_than_those_of_the_model_before_are_refused(home):
    for name in ("a", "b"):
        for number in range(4):
            (home / "shown" / name).mkdir(parents=True, exist_ok=True)
            grey = np.full((6, 6), 40 * number + 20 * (name == "b"), np.uint8)
            Image.fromarray(grey).save(home / "shown" / name / f"{number}.png")
    told = """version = 1
name = "blobs"
data = "shown"
model = "{number}.safetensors"
{more}
[pictures]
size = {size}
[head]
kind = "learned"
[loss]
kind = "classification"
[backbone]
width = 2
[budget]
epochs = 1
"""
    (home / "1.toml").write_text(told.format(number=1, more="", size=4), encoding="utf-8")
    (home / "2.toml").write_text(told.format(number=2, more=SECOND, size=8), encoding="utf-8")
    Job(home / "1.toml", opened).run()
    with pytest.raises(ConfigError, match=r"pictures: .*size=4.*got size=8"):
        Job(home / "2.toml", opened).run()


def test_classes_that_are_gone_do_not_dilute_what_is_left_of_lce():
    """The second of three classes has no items any more."""
    rng = np.random.default_rng(0)
    rows, labels = torch.from_numpy(rng.normal(size=(8, 5))), torch.tensor([0, 2] * 4)
    stage = SimpleNamespace(teacher=1, labels=labels, old_vectors=lambda: (rows, labels))
    made = blueprint.loss(blueprint.LossConfig(kind="lce"))(stage).losses["lce"]
    classifier = torch.from_numpy(rng.normal(size=(3, 5)))
    centres = class_means(rows, labels // 2, 2)
    left = LCE(centres, class_floors(rows, labels // 2, centres))
    expected = left.alignment(classifier[[0, 2]])
    assert float(made.alignment(classifier)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("kind", ["influence", "alignment"])
def test_classes_that_are_gone_are_no_rivals_of_those_that_are_there(kind):
    """The second of three classes has no items any more."""
    rng = np.random.default_rng(0)
    rows, new = (torch.from_numpy(rng.normal(size=(8, 5))) for _ in range(2))
    values = []
    for labels in (torch.tensor([0, 2] * 4), torch.tensor([0, 1] * 4)):
        told = SimpleNamespace(teacher=1, labels=labels, old_vectors=lambda y=labels: (rows, y))
        made = blueprint.loss(blueprint.LossConfig(kind=kind))(told)
        given = Batch(labels, new, logits=torch.zeros(8, 3, dtype=torch.float64))
        values.append(float(made(given)))
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_a_model_that_can_be_written_nowhere_is_not_trained(home):
    path, told = recipe(home, 1, FIRST), []
    text = path.read_text(encoding="utf-8").replace('"1.safetensors"', '"blobs.npz/1.safetensors"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OSError, match=r"blobs\.npz"):
        Job(path).run([told.append])
    assert not told


def test_more_classes_than_a_simplex_holds_are_refused_in_the_words_of_the_recipe(home):
    def small(number, more):
        path = recipe(home, number, more)
        told = path.read_text(encoding="utf-8").replace("capacity = 16", "capacity = 5")
        path.write_text(told, encoding="utf-8")
        return path

    said = r"1\.toml: head\.capacity: expected at most 5 more classes of 5, got 6 new ones\. Write"
    with pytest.raises(ConfigError, match=said):
        Job(small(1, "")).run()
    Job(small(1, FIRST)).run()
    with pytest.raises(ConfigError, match=r"2 more classes of 5, got 3 new ones\. .*\"aligned\""):
        Job(small(2, SECOND)).run()


def test_models_of_another_interface_do_not_follow(home):
    Job(recipe(home, 1, FIRST)).run()
    path = recipe(home, 2, SECOND)
    path.write_text(path.read_text(encoding="utf-8").replace("capacity = 16", "capacity = 32"))
    with pytest.raises(ConfigError, match=r"before: .* of 16 classes, got .* of 32 classes"):
        Job(path).run()


def test_files_that_are_no_models_are_refused(home):
    Interface("x", capacity=4).save(home / "1.safetensors")
    with pytest.raises(ArtifactError, match="a trained-model"):
        Trained.load(home / "1.safetensors")
    with pytest.raises(ConfigError, match="revision"):
        open_model("trained", path=home / "1.safetensors", revision="x")
    with pytest.raises(ConfigError, match="no path"):
        open_model("trained")


@pytest.mark.parametrize("changed", ["head", "space", "none"])
def test_a_file_that_is_not_understood_is_refused_by_its_name(home, changed):
    """A word of a later version, a part that is not there."""
    Job(recipe(home, 1, FIRST)).run()
    path = home / "1.safetensors"
    read = artifact.load(path, "trained-model")
    meta = {**read.meta}
    if changed == "head":
        meta["head"] = {**meta["head"], "kind": "spiral"}
    elif changed == "space":
        del meta["space"]
    artifact.save(path, artifact.Artifact("trained-model", read.arrays, meta))
    if changed == "none":
        assert Trained.load(path).version == 1
        return
    wanted = {"head": "Holdfast understands, got Valid", "space": "got KeyError: 'space'"}[changed]
    with pytest.raises(ArtifactError, match=rf"1.safetensors: expected .*{wanted}"):
        Trained.load(path)


def test_a_file_of_which_one_bit_is_another_is_refused(home):
    Job(recipe(home, 1, FIRST)).run()
    path = home / "1.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # of a weight
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"1.safetensors: expected the bytes that were saved"):
        Trained.load(path)


def test_json_lines_say_the_same_as_arrays(home):
    inputs, names = blobs()
    lines = [
        json.dumps({"vector": row.tolist(), "label": name})
        for row, name in zip(inputs, names.tolist(), strict=True)
    ]
    (home / "blobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    a, b = (read_data(home / f"blobs.{end}", PicturesConfig(), None) for end in ("npz", "jsonl"))
    assert torch.equal(a.inputs, b.inputs)
    assert a.names.tolist() == b.names.tolist()
    for line in ('{"vector": [1.0]}', "[1.0]", '{"vector": [1.0], "label": '):
        told = '{"vector": [1.0], "label": "a"}\n\n' + line
        (home / "bad.jsonl").write_text(told, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"bad.jsonl, line 3: .*keys `vector` and `label`"):
            read_data(home / "bad.jsonl", PicturesConfig(), None)


def test_a_text_may_hold_any_sign_and_a_file_begin_with_a_mark(home):
    label = "sea\u2028side\u0085"  # ends of lines for Python, not for JSON
    half = '{"vector": [1.0], "label": "\\ud800"}'
    (home / "half.jsonl").write_text("\n".join([half] * 4), encoding="utf-8")
    kept, judges = read_data(home / "half.jsonl", PicturesConfig(), None).split(0.25, 0)
    assert (len(kept), len(judges)) == (3, 1)
    line = json.dumps({"vector": [1.0], "label": label}, ensure_ascii=False)
    (home / "signs.jsonl").write_text(f"{line}\n{line}\n", encoding="utf-8-sig")
    read = read_data(home / "signs.jsonl", PicturesConfig(), None)
    assert read.names.tolist() == [label] * 2
    path = recipe(home, 1, FIRST)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert Job(path).config.name == "blobs"


def test_pictures_become_numbers(tmp_path):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "x.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
        (tmp_path / name / "._x.png").write_text("what a Mac adds")
        (tmp_path / name / "more.png").mkdir()
        (tmp_path / ".kept").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / ".kept" / "x.png")
    read = read_data(tmp_path, PicturesConfig(size=4), opened)
    assert read.names.tolist() == ["a", "b"]
    expected = (pixels.transpose(2, 0, 1).astype(np.float32) - 127.5) / 64.0
    np.testing.assert_array_equal(read.inputs[0].numpy(), expected)
    with pytest.raises(EncoderError, match="a function that opens pictures"):
        as_inputs([tmp_path / "a" / "x.png"], PicturesConfig(), None, "me")
    with pytest.raises(UnfitContent, match="me: expected a picture, got the text 'a cat'"):
        as_inputs(["a cat"], PicturesConfig(), opened, "me")
    with pytest.raises(ConfigError, match="cnn or resnet"):
        backbone(BackboneConfig(kind="mlp"), (3, 4, 4))
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")  # and what is hidden is no class
    with pytest.raises(ConfigError, match="no picture"):
        read_data(tmp_path, PicturesConfig(), opened)


def test_the_command_says_what_it_made(home):
    recipe(home, 1, FIRST, "learned")
    path = recipe(home, 2, SECOND, "aligned", "alignment")

    def train(*words):
        result = CliRunner().invoke(main, ["train", *map(str, words)])
        return result.exit_code, result.stdout

    code, out = train(home / "1.toml", "--json")
    told = json.loads(out)
    assert (code, told["relation"], list(told["held_out"])) == (0, None, ["new/new"])
    assert train(path, "--quiet") == (0, "")
    code, out = train(path, "--json")  # it is there: the same answer
    told = json.loads(out)
    assert (code, told["relation"]) == (0, "extends")
    assert told["space"]["extends"] == Trained.load(home / "1.safetensors").space.fingerprint
    assert list(told["held_out"]) == ["old/old", "new/old", "new/new"]
    # counted by hand: the first hit beside the item itself
    job = Job(path)
    judges, names = job.split[1], job.data.names
    rows = vectors_of(job.run().trained.model, job.data.inputs, judges).numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = rows @ rows.T
    np.fill_diagonal(scores, -2.0)
    hit = names[judges][scores.argmax(1)] == names[judges]
    assert told["held_out"]["new/new"] == pytest.approx(hit.mean())
    code, _ = train(Path("nowhere.toml"))
    assert code == 2


def test_one_class_alone_says_nothing_of_a_model(home):
    """Whatever is found is of its class."""
    recipe(home, 1, FIRST, "learned")
    recipe(home, 2, f'{SECOND}\nclasses = ["c1"]', "aligned", "alignment")
    CliRunner().invoke(main, ["train", str(home / "1.toml"), "--quiet"])
    result = CliRunner().invoke(main, ["train", str(home / "2.toml"), "--json"])
    assert json.loads(result.stdout)["held_out"] == {}


def test_a_plan_follows_from_the_relation(home):
    """Nobody chose how to merge: an extending space is compared as it is; a choice is kept."""
    first = Job(recipe(home, 1, FIRST, "learned")).run().trained.space
    second = Job(recipe(home, 2, SECOND, "aligned", "alignment")).run().trained.space
    assert fitting(Plan(), first, second).merge == "compatible"
    assert fitting(Plan(merge="by_rank"), first, second).merge == "by_rank"
    assert fitting(Plan(merge="fused"), first, second).merge == "fused"
    assert fitting(Plan(), second, first).merge == Plan().merge
