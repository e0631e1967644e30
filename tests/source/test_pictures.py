"""A folder of pictures, and records that name pictures."""

import json
import os
from pathlib import Path

import pytest

from holdfast.errors import SourceError
from holdfast.source.jsonl import JsonlSource
from holdfast.source.pictures import PictureSource
from holdfast.source.registry import open_source


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "a.PNG", "b/1.webp", "notes.txt", ".hidden/3.jpg", "b/.4.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "photos"


def test_pictures_are_read_in_the_order_of_their_names(folder):
    source = PictureSource(folder)
    page = source.scan(limit=2)
    assert [item.id for item in page.items] == ["a.PNG", "b/1.webp"]
    rest = source.scan(page.after, limit=2)
    assert [item.id for item in rest.items] == ["b/2.jpg"]
    assert rest.after is None
    assert len(source) == 3
    assert page.items[1].content == folder / "b" / "1.webp"
    assert page.items[1].payload == {"file": "b/1.webp", "folder": "b", "bytes": 8}
    assert page.items[0].payload["folder"] == "."


def test_what_has_gone_since_is_gone(folder):
    source = PictureSource(folder)
    (folder / "b" / "2.jpg").unlink()
    found = source.get(["b/2.jpg", "a.PNG", "nothing.jpg", "a.PNG"])
    assert [item and item.id for item in found] == [None, "a.PNG", None, "a.PNG"]
    with pytest.raises(SourceError, match="still there"):
        source.scan()


def test_a_name_that_is_no_text_is_named(folder):
    try:
        with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    with pytest.raises(SourceError, match=r"names of files in UTF-8, got 'caf\\udce9\.jpg'"):
        PictureSource(folder)


def closed(monkeypatch, function, folder):
    """What a folder is to whoever may not use it."""
    real = getattr(os, function)

    def refused(path, *rest, **more):
        if Path(path) == folder or (function == "stat" and Path(path).parent == folder):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, function, refused)


def test_a_folder_that_cannot_be_listed_is_named_not_passed_over(folder, monkeypatch):
    closed(monkeypatch, "scandir", folder / "b")
    with pytest.raises(SourceError, match=r"photos/b: expected a folder that can be listed"):
        PictureSource(folder)


def test_a_picture_that_cannot_be_looked_at_is_named_and_not_gone(folder, records, monkeypatch):
    source, other = PictureSource(folder), JsonlSource(records, image="image")
    closed(monkeypatch, "stat", folder / "b")
    for each in (source, PictureSource(folder)):
        with pytest.raises(SourceError, match=r"2\.jpg: expected a file .* Permission denied"):
            each.get(["b/2.jpg"])
    assert other.get(["1"])[0].content == folder / "b" / "2.jpg"  # its encoder says why


def test_a_name_longer_than_any_file_has_is_left_to_its_encoder(records):
    records.write_text(json.dumps({"id": "1", "image": "x" * 5000}) + "\n")
    (item,) = JsonlSource(records, image="image").get(["1"])
    assert item.content.name == "x" * 5000


def test_other_endings_and_folders_that_are_not_there(folder):
    assert len(PictureSource(folder, endings=[".JPG"])) == 1
    with pytest.raises(SourceError, match="a folder of pictures"):
        PictureSource(folder / "a.PNG")
    assert len(open_source("pictures", path=str(folder))) == 3


@pytest.fixture
def records(folder):
    path = folder / "items.jsonl"
    rows = [
        {"id": "1", "image": "b/2.jpg", "text": "not read", "year": 1999},
        {"id": "2", "text": "a caption"},
        {"id": "3", "image": "gone.jpg"},
        {"id": "4", "image": None, "text": "another"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_record_with_a_picture_is_a_picture_and_one_without_is_a_text(records, folder):
    source = JsonlSource(records, image="image", payload=["year"])
    items = source.scan().items
    assert [item.content for item in items] == [
        folder / "b" / "2.jpg",
        "a caption",
        folder / "gone.jpg",
        "another",
    ]
    assert items[0].payload == {"year": 1999}
    got = source.get(["3", "1", "2"])
    assert [item and item.id for item in got] == [None, "1", "2"]  # its file is not there
    assert isinstance(got[1].content, Path)


def test_a_path_that_is_no_text_is_named(records):
    records.write_text('{"id": "1", "image": 7}\n')
    with pytest.raises(SourceError, match=r"line 1: expected the path of a picture in 'image'"):
        JsonlSource(records, image="image")
    records.write_text('{"id": "1"}\n')
    with pytest.raises(SourceError, match="text in 'text'"):
        JsonlSource(records, image="image")
