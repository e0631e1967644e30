"""JSON Lines by value: what is read, and what is refused with its line."""

import gzip
import os
from pathlib import Path

import pytest

from holdfast.errors import ConfigError, SourceError
from holdfast.items import Item
from holdfast.source.jsonl import JsonlSource


def write(path, text):
    path.write_bytes(text.encode())
    return path


GOOD = (
    '\ufeff{"_id": "b", "title": "Two", "text": "second", "year": 2}\r\n'
    "\n"
    '{"_id": 7, "title": "", "text": "no title", "year": null}\n'
    '   {"text": "\\u00fc\\n", "title": "Ü", "_id": "a", "extra": [1]}'
)


def test_items_in_file_order_with_payload(tmp_path):
    source = JsonlSource(write(tmp_path / "x.jsonl", GOOD), "_id", ["title", "text"], ["year"])
    assert source.scan().items == [
        Item("b", "Two second", {"year": 2}),
        Item("7", "no title"),
        Item("a", "Ü ü\n"),
    ]
    assert len(source) == 3


def test_a_template_and_one_field(tmp_path):
    path = write(tmp_path / "x.jsonl", GOOD)
    source = JsonlSource(path, "_id", "{title}: {text} {{{title}}}")
    assert [i.content for i in source.get(["b", "7"])] == ["Two: second {Two}", ": no title {}"]
    assert JsonlSource(path, "_id", "title").get(["b"]) == [Item("b", "Two")]


def test_random_access_equals_a_plain_reading(tmp_path):
    texts = [f"{'ü' * (i * 37 % 50)} {i}" for i in range(200)]
    lines = [f'{{"id": "{i}", "text": "{t}"}}\n' for i, t in enumerate(texts)]
    for name, data in (("x.jsonl", "".join(lines).encode()),
                       ("x.jsonl.gz", gzip.compress("".join(lines).encode()))):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        source = JsonlSource(tmp_path / name)
        asked = [i * 71 % 200 for i in range(200)]
        assert [item.content for item in source.get([str(i) for i in asked])] == [
            texts[i] for i in asked
        ]


def test_numbers_that_are_not_finite_are_no_payload(tmp_path):
    lines = '{"id": 1, "text": "", "a": NaN, "b": {"c": Infinity, "d": [1, NaN]}, "e": 2.5}\n'
    lines += '{"id": 2, "text": "", "a": 1}'
    source = JsonlSource(write(tmp_path / "x.jsonl", lines), payload=["a", "b", "e"])
    assert source.get(["1"]) == [Item("1", "", {"b": {"c": None, "d": [1, None]}, "e": 2.5})]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"id": "a", "text": "x"}\n\n{"id": "b"}\n', 3, "text in 'text', got no such field"),
        ('{"id": "a", "text": "x"}\n{"text": "x"}\n', 2, "an id"),
        ('{"id": "a", "text": "x"}\n{"id": "", "text": "x"}\n', 2, "an id"),
        ('{"id": true, "text": "x"}\n', 1, "an id"),
        ('{"id": 1.5, "text": "x"}\n', 1, "an id"),
        ('{"id": "\\ud800", "text": "x"}\n', 1, "an id"),
        ('{"id": "a", "text": null}\n', 1, "text in 'text', got None"),
        ('{"id": "a", "text": ["x"]}\n', 1, "text in 'text'"),
        ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}\n', 2, "'a', as in line 1"),
        ('{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n', 2, "'1', as in line 1"),
        ('{"id": "a", "text": "x"}\n{"id": "b", "te', 2, "a JSON object"),
        ('["a", "x"]\n', 1, "a JSON object, got list"),
        ('{"id": "a", "text": "x"}\n{"id": "b", "text": ' + "[" * 100_000, 2, "a JSON object"),
        ('{"id": "a", "text": "x", "p": %s}' % ("[" * 100 + "]" * 100), 1, "more than 100 deep"),
        ('{"id": "a", "text": %s}' % ("[" * 900 + "]" * 900), 1, "more than 100 deep"),
    ],
)
def test_broken_lines_are_refused_by_number(tmp_path, text, line, message):
    with pytest.raises(SourceError, match=f"line {line}: .*{message}"):
        JsonlSource(write(tmp_path / "x.jsonl", text))


def test_broken_bytes_files_and_packing_are_refused(tmp_path):
    (tmp_path / "bytes.jsonl").write_bytes(b'{"id": "a", "text": "\xff"}\n')
    with pytest.raises(SourceError, match="line 1"):
        JsonlSource(tmp_path / "bytes.jsonl")
    with pytest.raises(SourceError, match="absent"):
        JsonlSource(tmp_path / "absent.jsonl")
    with pytest.raises(SourceError, match="a readable file, got embedded null byte"):
        JsonlSource("a\0.jsonl")
    whole = gzip.compress(b'{"id": "a", "text": "x"}\n' * 100)
    for name, data in (("cut", whole[:-20]), ("plain", b'{"id": "a", "text": "x"}\n')):
        (tmp_path / f"{name}.gz").write_bytes(data)
        with pytest.raises(SourceError, match="gzip"):
            JsonlSource(tmp_path / f"{name}.gz")


def test_no_room_to_unpack_is_no_fault_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "text": "x"}\n' * 9_000))
    full = Path("/dev/full")
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: full.open("wb+", buffering=0))
    with pytest.raises(SourceError) as told:
        JsonlSource(path)
    assert told.value.expected == "room to unpack it among temporary files"
    assert (told.value.got, told.value.fix.split()[0]) == ("No space left on device", "TMPDIR")


def test_a_payload_field_that_never_occurs_is_refused(tmp_path):
    path = write(tmp_path / "x.jsonl", GOOD)
    with pytest.raises(SourceError, match="none with yaer"):
        JsonlSource(path, "_id", "text", ["year", "yaer"])


def test_a_payload_field_that_is_null_throughout_does_occur(tmp_path):
    rows = '{"id": "a", "text": "x", "year": null}\n{"id": "b", "text": "y", "year": NaN}\n'
    source = JsonlSource(write(tmp_path / "x.jsonl", rows), payload=["year"])
    assert source.get(["a", "b"]) == [Item("a", "x"), Item("b", "y")]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", ["append", "same size", "replace", "remove"])
def test_a_file_changed_under_us_is_noticed(tmp_path, packed, change):
    path = tmp_path / ("x.jsonl.gz" if packed else "x.jsonl")
    pack = gzip.compress if packed else bytes
    data = pack(b'{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}\n')
    path.write_bytes(data)
    source = JsonlSource(path)
    assert source.get(["b"]) == [Item("b", "y")]
    before = path.stat()
    if change == "append":
        path.write_bytes(data + pack(b'{"id": "c", "text": "z"}\n'))
    elif change == "same size":
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    elif change == "replace":  # same size and time, another file
        other = tmp_path / "other"
        other.write_bytes(data)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)
    else:
        path.unlink()
    for read in (lambda: source.get(["b"]), source.scan):
        with pytest.raises(SourceError, match=r"x\.jsonl"):
            read()


def test_a_cursor_from_elsewhere_is_refused(tmp_path):
    source = JsonlSource(write(tmp_path / "x.jsonl", GOOD), "_id")
    with pytest.raises(SourceError, match="a cursor from this file, got 'zz'"):
        source.scan("zz")


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ([], None), ("", None), (["a", ""], None), ("text", "year"), ("{}", None), ("{a.b}", None),
        ("{a[0]}", None), ("{a!r}", None), ("{a:>3}", None), ("{a", None), ("a}", None),
    ],
)  # fmt: skip
def test_fields_that_make_no_sense_are_refused(tmp_path, text, payload):
    with pytest.raises(ConfigError):
        JsonlSource(write(tmp_path / "x.jsonl", GOOD), "_id", text, payload)
