"""Parquet by value, and in bounded pieces."""

import datetime

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


def test_a_missing_text_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "x.parquet", {"id": ["a", "b"], "text": ["x", None]})
    source = ParquetSource(path)
    assert source.get(["a"]) == [Item("a", "x")]
    with pytest.raises(SourceError, match=r"row 1: expected text in 'text', got None"):
        source.get(["b"])


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
