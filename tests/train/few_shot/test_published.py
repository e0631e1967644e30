"""The published protocol runs on a stand-in of the format that real weights and data have."""

import io

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
parquet = pytest.importorskip("pyarrow.parquet")

import pyarrow  # noqa: E402
from PIL import Image  # noqa: E402

from bench.few_shot_published import Photographs, lists_of, published, read  # noqa: E402
from bench.record import Record  # noqa: E402
from bench.tiny_clip import Size, build  # noqa: E402
from holdfast.train.few_shot.prompted import PromptRecipe  # noqa: E402
from holdfast.train.prompts.rates import constant  # noqa: E402

CLASSES = ["apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "bottle"]
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 3))


def table(folder, part, each):
    rng = np.random.default_rng(len(part))
    labels = rng.permutation(np.repeat(np.arange(8), each))
    images = []
    for label in labels:
        noise = rng.integers(-20, 20, (32, 32, 3))
        file = io.BytesIO()
        Image.fromarray(np.clip(COLOURS[label] + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
        images.append(file.getvalue())
    columns = pyarrow.table({"image": images, "fine_label": labels})
    named = columns.replace_schema_metadata({"label_names": ",".join(CLASSES)})
    parquet.write_table(named, folder / f"{part}_png.parquet")
    return labels


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    words = sorted(
        {word for name in CLASSES for word in name.split("_")} | {"a", "photo", "of", "."}
    )
    build(folder / "clip", words, Size(16, 2, 16, image=32, patch=8, tokens=14), seed=0)
    labels = table(folder, "train", 8)
    table(folder, "test", 3)
    for session, classes in ((2, (4, 5)), (3, (6, 7))):
        rows = np.flatnonzero(np.isin(labels, classes))[:6]
        (folder / f"session_{session}.txt").write_text("\n".join(map(str, rows)))
    return folder


def ran(folder, lists):
    record = Record("few_shot", "", "")
    recipe = PromptRecipe(base_epochs=1, base_size=8, epochs=1, rate=constant(0.02))
    published(
        record, folder / "clip", folder, lists, "cpu", [1, 2],
        base=4, ways=2, depth=2, recipe=recipe,
    )  # fmt: skip
    return {(row.cell, row.metric): row for row in record.rows}


def test_every_method_reports_its_figures(stand_in):
    rows = ran(stand_in, None)
    methods = {cell for cell, _ in rows}
    assert methods == {
        "CPE-CLIP", "zero-shot", "image prototypes", "TEEN", "blend of names and prototypes"
    }  # fmt: skip
    assert {metric for _, metric in rows} == {"Avg", "PD", "HM"}
    # plain colours: means of pictures tell them apart, whatever the random towers do
    assert rows["image prototypes", "Avg"].value > 0.8
    assert all(row.low <= row.value <= row.high for row in rows.values())


def test_pictures_are_made_by_the_models_own_processor(stand_in):
    images, labels, names = read(stand_in, "test")
    assert names[1] == "aquarium fish"
    assert len(images) == len(labels) == 24

    def processor(images, return_tensors):
        assert return_tensors == "pt"
        return {"pixel_values": [np.asarray(image)[0, 0] for image in images]}

    found = Photographs(images, processor)[[3, 5]]
    expected = [np.asarray(Image.open(io.BytesIO(images[n])))[0, 0] for n in (3, 5)]
    np.testing.assert_array_equal(found, expected)


def test_listed_pictures_are_those_of_later_sessions(stand_in):
    first, second = lists_of(stand_in, 2)
    _, labels, _ = read(stand_in, "train")
    assert set(labels[first]) == {4, 5}
    assert set(labels[second]) == {6, 7}
    assert lists_of(None, 2) is None
    assert ran(stand_in, stand_in)["CPE-CLIP", "Avg"].value > 0.0
