"""Digests of weights: equal for equal models, different for different ones."""

import shutil

import numpy as np
import pytest

from holdfast.encode.weights import arrays_digest, files_digest, folder_digest

FILES = {
    "model.safetensors": b"weights",
    "config.json": b"{}",
    "tokenizer.json": b"[]",
    "1_Pooling/config.json": b'{"mode": "mean"}',
}


@pytest.fixture
def folder(tmp_path):
    return plant(tmp_path / "model", FILES)


def plant(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_copy_elsewhere_is_the_same_model(folder, tmp_path):
    assert folder_digest(folder) == folder_digest(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.parametrize("name", FILES)
def test_each_file_that_is_read_counts(folder, name):
    before = folder_digest(folder)
    (folder / name).write_bytes(FILES[name] + b" ")
    assert folder_digest(folder) != before
    (folder / name).write_bytes(FILES[name])
    assert folder_digest(folder) == before
    (folder / name).unlink()
    assert folder_digest(folder) != before


@pytest.mark.parametrize(
    "name",
    ["README.md", ".gitattributes", ".cache/x.json", "onnx/model.json", "pytorch_model.bin"],
)
def test_what_is_not_read_does_not_count(folder, name):
    before = folder_digest(folder)
    plant(folder, {name: b"anything"})
    assert folder_digest(folder) == before


def test_old_weights_count_where_they_are_the_only_ones(tmp_path):
    one = folder_digest(plant(tmp_path / "one", {"pytorch_model.bin": b"1"}))
    two = folder_digest(plant(tmp_path / "two", {"pytorch_model.bin": b"2"}))
    assert one != two


def test_a_layer_kept_in_the_old_form_beside_new_weights_counts(folder):
    before = folder_digest(plant(folder, {"2_Dense/pytorch_model.bin": b"1"}))
    plant(folder, {"2_Dense/pytorch_model.bin": b"2"})
    assert folder_digest(folder) != before


def test_contents_that_change_places_change_the_digest(tmp_path):
    plant(tmp_path, {"a": b"1", "b": b"2"})
    straight = files_digest({"x": tmp_path / "a", "y": tmp_path / "b"})
    assert straight == files_digest({"y": tmp_path / "b", "x": tmp_path / "a"})
    assert straight != files_digest({"x": tmp_path / "b", "y": tmp_path / "a"})


def test_arrays_count_by_name_type_shape_and_value():
    one = np.arange(6, dtype=np.float32)
    base = arrays_digest([("w", one), ("b", one[:2])])
    assert base == arrays_digest([("b", one[:2].copy()), ("w", one)])
    others = [
        [("w", one)],
        [("v", one), ("b", one[:2])],
        [("w", one.astype(np.float64)), ("b", one[:2])],
        [("w", one.reshape(2, 3)), ("b", one[:2])],
        [("w", one + 1), ("b", one[:2])],
        [("w", one[:2]), ("b", one)],
    ]
    assert len({base, *map(arrays_digest, others)}) == 7
