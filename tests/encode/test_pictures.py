"""Pictures as contents: what cannot be opened is the item's own fault, whatever goes wrong."""

from __future__ import annotations

import io
import struct

import pytest

from holdfast.encode.pictures import as_texts_and_pictures, opened
from holdfast.errors import EncoderError

image = pytest.importorskip("PIL.Image", reason="needs holdfast[clip]")

_TEXT, _RESOLUTION, _ORIENTATION = 2, 0x011A, 0x0112


def photograph(kind: int | None = None) -> bytes:
    """A JPEG that lies on its side; its resolution is said in another type of number."""
    about = image.Exif()
    about[_ORIENTATION], about[_RESOLUTION] = 6, 72.0
    file = io.BytesIO()
    image.new("RGB", (8, 4), "red").save(file, "JPEG", exif=about)
    data = bytearray(file.getvalue())
    order = ">" if b"MM\0*" in data else "<"
    place = data.find(struct.pack(f"{order}H", _RESOLUTION), data.find(b"Exif")) + 2
    if kind is not None:
        data[place : place + 2] = struct.pack(f"{order}H", kind)
    return bytes(data)


def test_a_photograph_stands_up_as_its_camera_says():
    assert opened(photograph(), "test").size == (4, 8)


def test_what_makes_a_decoder_fail_in_its_own_way_is_refused():
    with pytest.raises(EncoderError, match="a picture that can be opened, got bytes") as caught:
        opened(photograph(_TEXT), "test")
    assert not caught.value.transient
    assert type(caught.value.__cause__) is TypeError


def test_too_little_memory_is_no_fault_of_a_picture(monkeypatch):
    def full(_):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", full)
    with pytest.raises(MemoryError):
        opened(photograph(), "test")


def test_half_a_character_is_named_by_its_place_among_pictures():
    with pytest.raises(EncoderError, match="surrogate pair at place 2"):
        as_texts_and_pictures([b"", "ok", "\ud800"], "query", "test")
