"""Parquet by value, and in bounded pieces."""

import dataclasses
import datetime

import numpy as np
import pytest

from holdfast.errors import MissingExtra, SourceError
from holdfast.items import Item
from holdfast.source.parquet import ParquetSource

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path, columns, group=3):
    parquet.write_table(arrow.table(columns), path, row_group_size=group)
    return path


def example(count=10):
    return {
        "id": list(range(100, 100 + count)),
        "title": [f"t{i}" for i in range(count)],
        "text": arrow.array([f"text {i}" for i in range(count)]).dictionary_encode(),
        "tags": [[f"x{i}"] if i % 2 else None for i in range(count)],
        "score": [i / 4 for i in range(count)],
        "made": [datetime.date(2020, 1, 1)] * count,
    }


def test_items_across_row_groups(tmp_path):
    path = write(tmp_path / "x.parquet", example())
    source = ParquetSource(path, text="{title} {text}", payload=["tags", "score"])
    want = [
        Item(
            str(100 + i),
            f"t{i} text {i}",
            {"tags": [f"x{i}"], "score": i / 4} if i % 2 else {"score": i / 4},
        )
        for i in range(10)
    ]
    assert source.scan(limit=4).items == want[:4]
    assert source.scan("103", limit=100).items == want[4:]
    order = [9, 0, 5, 5, 2]
    assert source.get([str(100 + i) for i in order]) == [want[i] for i in order]
    assert source.get(["1000", "104"]) == [None, want[4]]


def test_a_scan_reads_each_row_group_once_and_only_needed_columns(tmp_path, monkeypatch):
    source = ParquetSource(write(tmp_path / "x.parquet", example()), payload=["score"])
    read, original = [], source._file.read_row_group

    class Recorder:
        def read_row_group(self, group, columns):
            read.append((group, columns))
            return original(group, columns=columns)

    source._file = Recorder()
    after = None
    while True:
        page = source.scan(after, 2)
        after = page.after
        if after is None:
            break
    columns = ["id", "text", "score"]
    assert read == [(0, columns), (1, columns), (2, columns), (3, columns)]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"id": [1, 2, 1]}, {}, r"row 2: .*'1', as in row 0"),
        ({"id": ["a", None, "b"]}, {}, r"row 1: expected an id"),
        ({"id": [1.0, 2.0, 3.0]}, {}, r"strings or integers in column 'id', got double"),
        ({"text": [1, 2, 3]}, {}, r"text in column 'text', got int64"),
        ({}, {"text": "body"}, r"a column 'body', got columns id, title"),
        ({}, {"payload": ["made"]}, r"JSON values in column 'made', got date32"),
    ],
)
def test_unusable_columns_are_refused_at_once(tmp_path, change, options, message):
    path = write(tmp_path / "x.parquet", {**example(3), **change})
    with pytest.raises(SourceError, match=message):
        ParquetSource(path, **options)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = arrow.table([arrow.array(["a"])] * 3, names=["id", "id", "text"])
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=r"one column 'id', got 2 of that name"):
        ParquetSource(tmp_path / "x.parquet")


def test_a_missing_text_is_refused_at_once_where_the_file_counts_them(tmp_path):
    columns = {"id": ["a", "b", "c", "d"], "text": ["x", None, "y", None]}
    with pytest.raises(SourceError, match=r"every row of column 'text', got 2 rows without"):
        ParquetSource(write(tmp_path / "x.parquet", columns))
    parquet.write_table(arrow.table(columns), tmp_path / "y.parquet", write_statistics=False)
    source = ParquetSource(tmp_path / "y.parquet")
    assert source.get(["a"]) == [Item("a", "x")]
    with pytest.raises(SourceError, match=r"row 1: expected text in 'text', got None"):
        source.get(["b"])


def test_numbers_that_are_not_finite_are_no_payload(tmp_path):
    columns = {
        "id": ["a", "b", "c"],
        "text": ["x", "y", "z"],
        "score": [float("nan"), 1.5, float("inf")],
        "tags": [[1.0, float("nan")], None, []],
    }
    source = ParquetSource(write(tmp_path / "x.parquet", columns), payload=["score", "tags"])
    assert [item.payload for item in source.scan().items] == [
        {"tags": [1.0, None]},
        {"score": 1.5},
        {"tags": []},
    ]


def test_columns_of_string_views_and_of_nothing(tmp_path):
    view = arrow.string_view()
    columns = {
        "id": arrow.array(["a", "b", "c", "d", "e"], view),
        "text": arrow.array([f"text {i}" for i in range(5)], view),
        "tags": arrow.array([["x", None], [], None, ["y"], ["z"]], arrow.list_(view)),
        "none": arrow.nulls(5),
    }
    source = ParquetSource(write(tmp_path / "x.parquet", columns), payload=["tags", "none"])
    want = [
        Item(name, f"text {i}", {} if tags is None else {"tags": tags})
        for i, (name, tags) in enumerate(
            zip("abcde", [["x", None], [], None, ["y"], ["z"]], strict=True)
        )
    ]
    assert source.scan(limit=2).items == want[:2]
    assert source.get(["c"]) == [want[2]]
    assert source.get(["e", "a"]) == [want[4], want[0]]


@pytest.mark.parametrize("mark", [b"the id of c", b"text of c"])
@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_damage_within_a_column_is_named(tmp_path, mark, compression):
    columns = {
        "id": [f"the id of {x}" for x in "abc"],
        "text": [f"text of {x}" for x in "abc"],
    }
    path = tmp_path / "x.parquet"
    parquet.write_table(
        arrow.table(columns),
        path,
        compression=compression,
        use_dictionary=False,
        write_statistics=False,
    )
    plain = path.read_bytes()
    at = plain.index(mark[-6:])  # snappy refers to what was there before
    path.write_bytes(plain[: at - 4] + b"\xff" * 10 + plain[at + 6 :])
    with pytest.raises(SourceError, match=r"x\.parquet: expected readable columns"):
        ParquetSource(path).scan()


def test_scattered_ids_unpack_the_file_once_and_leave_nothing_behind(tmp_path, monkeypatch):
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("holdfast.source.parquet._BATCH", 4)
    path = write(tmp_path / "x.parquet", example(30), group=7)
    source = ParquetSource(path, text="{title} {text}", payload=["tags"])
    groups, original = [], source._group
    source._groups = dataclasses.replace(
        source._groups, read=lambda group: groups.append(group) or original(group)
    )
    names = [str(100 + i) for i in range(30)]
    within = source.get(names[7:14])
    assert (groups, source._unpacked) == ([1], None)
    scattered = np.random.default_rng(0).permutation(30)
    for _ in range(3):
        got = source.get([names[i] for i in scattered])
        assert [item.id for item in got] == [names[i] for i in scattered]
        assert [item.content for item in got] == [f"t{i} text {i}" for i in scattered]
        assert [item.payload for item in got] == [
            {"tags": [f"x{i}"]} if i % 2 else {} for i in scattered
        ]
    assert groups == [1]
    assert source.get(names[7:14]) == within
    assert source.scan(names[3], limit=9).items == source.get(names[4:13])
    assert list(folder.iterdir()) == []
    write(path, example(31))
    with pytest.raises(SourceError, match="another size or time"):
        source.get(names)


def test_no_room_to_unpack_is_said(tmp_path, monkeypatch):
    source = ParquetSource(write(tmp_path / "x.parquet", example()))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arrow.ipc, "new_file", full)
    with pytest.raises(SourceError, match=r"No space left.*TMPDIR names another"):
        source.get(["100", "109"])
    monkeypatch.undo()
    assert [item.id for item in source.get(["100", "109"])] == ["100", "109"]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(SourceError, match="a Parquet file"):
        ParquetSource(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="absent"):
        ParquetSource(tmp_path / "absent.parquet")


def test_a_file_changed_under_us_is_noticed(tmp_path):
    path = write(tmp_path / "x.parquet", example())
    source = ParquetSource(path)
    source.scan(limit=1)
    write(path, example(11))
    with pytest.raises(SourceError, match="another size or time"):
        source.scan(limit=1)


def test_a_cursor_from_elsewhere_is_refused(tmp_path):
    source = ParquetSource(write(tmp_path / "x.parquet", example()))
    with pytest.raises(SourceError, match="a cursor from this file"):
        source.scan("1")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'holdfast\[parquet\]'"):
        ParquetSource(tmp_path / "x.parquet")
