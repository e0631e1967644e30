"""Artefacts: bit-equal round trips; whatever is not one of ours is refused by name."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import SafetensorError
from safetensors.numpy import save_file

from holdfast import __version__
from holdfast.artifact import FORMAT, Artifact, load, save, write_whole
from holdfast.errors import ArtifactError

DTYPES = (np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_)
array = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


@pytest.fixture
def written(path):
    save(path, Artifact("bridge", {"x": np.arange(6.0).reshape(2, 3)}, {"a": [1, None, "ü"]}))
    return path


@given(
    st.dictionaries(names.filter(lambda name: name != "__metadata__"), array, max_size=3),
    st.dictionaries(st.text(max_size=5), json_values, max_size=3),
)
def test_round_trip_is_bit_equal(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.mktemp("artifact") / "file"
    save(path, Artifact("rotation", arrays, meta))
    again = load(path, "rotation")
    assert again.kind == "rotation"
    assert again.meta == meta
    assert again.version == __version__
    assert again.arrays.keys() == arrays.keys()
    for name, value in arrays.items():
        assert again.arrays[name].dtype == value.dtype
        assert again.arrays[name].shape == value.shape
        assert again.arrays[name].tobytes() == value.tobytes()
    assert os.listdir(path.parent) == ["file"]


def test_arrays_in_any_layout(path):
    wide = np.arange(24.0).reshape(4, 6)
    layouts = {"turned": wide.T, "strided": wide[::2, ::3], "swapped": wide.astype(">f8")}
    save(path, Artifact("a", layouts, {}))
    again = load(path, "a").arrays
    for name, value in layouts.items():
        assert np.array_equal(again[name], value)


def test_an_older_file_is_replaced_whole(written):
    save(written, Artifact("bridge", {"y": np.ones(2)}, {}))
    assert set(load(written, "bridge").arrays) == {"y"}
    assert load(written, "bridge").meta == {}


def test_folders_are_made(tmp_path):
    save(tmp_path / "a" / "b" / "file", Artifact("a", {}, {}))
    assert load(tmp_path / "a" / "b" / "file", "a").arrays == {}


def header(path, **changes):
    """Write a file of ours whose header says something else."""
    head = {"kind": "bridge", "format": FORMAT, "version": "9.9", "meta": {}, **changes}
    save_file({"x": np.ones(2)}, path, metadata={"holdfast": json.dumps(head)})


def test_another_kind_is_refused(written):
    with pytest.raises(ArtifactError, match="expected a rotation, got a bridge"):
        load(written, "rotation")


@pytest.mark.parametrize("number", [FORMAT + 1, 0, None, "1"])
def test_another_format_is_refused_and_says_who_wrote_it(path, number):
    header(path, format=number)
    with pytest.raises(ArtifactError, match=r"holdfast 9\.9"):
        load(path, "bridge")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 20, 100, -1, -40])
def test_a_truncated_file_is_refused(written, size):
    content = written.read_bytes()
    written.write_bytes(content[:size])
    with pytest.raises(ArtifactError, match=r"file\.safetensors"):
        load(written, "bridge")


def test_a_longer_file_is_refused(written):
    with written.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ArtifactError):
        load(written, "bridge")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04K\x01.", b"hello, world", b"\xff" * 200, b"{}" * 50, b"\0" * 64]
)
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ArtifactError):
        load(path, "bridge")


def test_safetensors_of_another_program_are_refused(path):
    for metadata in (None, {"format": "pt"}):
        save_file({"x": np.ones(2)}, path, metadata=metadata)
        with pytest.raises(ArtifactError, match="another program"):
            load(path, "bridge")


@pytest.mark.parametrize("text", ["", "not json", "[]", "null", '{"kind": "bridge", "format": 1}'])
def test_a_header_that_is_not_ours_is_refused(path, text):
    save_file({"x": np.ones(2)}, path, metadata={"holdfast": text})
    with pytest.raises(ArtifactError):
        load(path, "bridge")


def test_a_flipped_bit_anywhere_is_refused(written):
    content = written.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 7
        written.write_bytes(damaged)
        with pytest.raises(ArtifactError):
            load(written, "bridge")


def test_a_file_without_a_digest_is_refused(path):
    header(path)
    with pytest.raises(ArtifactError, match="the bytes that were saved"):
        load(path, "bridge")


def test_nothing_there_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ArtifactError, match="nothing there"):
            load(path, "bridge")


@pytest.mark.parametrize(
    "bad",
    [
        Artifact("a", {"x": np.array([object()])}, {}),
        Artifact("a", {}, {"x": object()}),
        Artifact("a", {"x": np.array(["text"])}, {}),
    ],
    ids=["objects", "no JSON", "text"],
)
def test_a_failed_save_leaves_what_was_there(written, bad):
    before = written.read_bytes()
    with pytest.raises((TypeError, SafetensorError)):
        save(written, bad)
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


def test_a_save_that_dies_before_the_rename_leaves_what_was_there(written, monkeypatch):
    before = written.read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("holdfast.artifact.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save(written, Artifact("bridge", {"x": np.zeros(9)}, {}))
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == [written.name]


# Writes a file and stops when all of it is on disk, but not under its name.
VICTIM = """
import os, sys, time
from pathlib import Path
from holdfast.artifact import write_whole

def held(descriptor):
    print("written", flush=True)
    time.sleep(600)

os.fsync = held
write_whole(Path(sys.argv[1]), b"half done")
"""


def test_processes_that_die_before_the_rename_leave_one_neighbour_that_goes_away(tmp_path):
    path = tmp_path / "store" / "notes"
    write_whole(path, b"before")
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, text=True
        ) as victim:
            assert victim.stdout.readline() == "written\n"
            victim.send_signal(signal.SIGKILL)
        assert path.read_bytes() == b"before"
        left = sorted(os.listdir(path.parent))
        assert left == [".notes.partial", "notes"]
        assert (path.parent / ".notes.partial").read_bytes() == b"half done"
    write_whole(path, b"now")
    assert path.read_bytes() == b"now"
    assert os.listdir(path.parent) == ["notes"]


def test_writers_of_one_file_do_not_write_into_each_other(tmp_path):
    """Of any length: a shorter one must not keep the end of a longer one."""
    path = tmp_path / "file"
    contents = [bytes([65 + n]) * (200_000 >> n) for n in range(8)]
    found, errors = set(), []

    def write(content):
        try:
            for _ in range(20):
                write_whole(path, content)
                found.add(path.read_bytes())
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not errors
    assert found <= set(contents)
    assert os.listdir(tmp_path) == ["file"]
