"""Pictures as contents: what cannot be opened is the item's own fault, whatever goes wrong."""

from __future__ import annotations

import io
import struct

import numpy as np
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


@pytest.mark.parametrize("sides", [(0, 0), (0, 5), (1, 201), (3000, 14)])
def test_a_line_of_pixels_is_refused_before_a_model_makes_gigabytes_of_it(sides):
    with pytest.raises(EncoderError, match=f"{sides[0]} by {sides[1]} pixels, where one side"):
        opened(image.new("RGB", sides), "test")
    if all(sides):
        file = io.BytesIO()
        image.new("L", sides).save(file, "PNG")
        with pytest.raises(EncoderError, match=f"{sides[0]} by {sides[1]} pixels"):
            opened(file.getvalue(), "test")


def test_a_strip_of_pixels_is_a_picture():
    assert opened(image.new("RGB", (1, 200)), "test").size == (1, 200)


def test_half_a_character_is_named_by_its_place_among_pictures():
    with pytest.raises(EncoderError, match="surrogate pair at place 2"):
        as_texts_and_pictures([b"", "ok", "\ud800"], "query", "test")


GREY = (np.arange(64) * 4).astype(np.uint8).reshape(8, 8)


def written(pixels, form):
    file = io.BytesIO()
    image.fromarray(pixels).save(file, form)
    return file.getvalue()


def test_grey_of_sixteen_bits_is_the_same_picture_as_grey_of_eight():
    """Scans, X-rays and depths: Pillow makes white of all that is above 255."""
    deep = GREY.astype(np.uint16) * 257
    shown = [opened(written(deep, form), "test") for form in ("PNG", "TIFF")]
    shown += [opened(image.fromarray(deep), "test"), opened(written(GREY, "PNG"), "test")]
    for picture in shown:
        assert picture.mode == "RGB"
        for channel in range(3):
            np.testing.assert_array_equal(np.asarray(picture)[..., channel], GREY)


def test_numbers_of_which_nothing_says_what_is_white_are_no_picture():
    wide, shares = GREY.astype(np.int32) * 9, GREY.astype(np.float32) / 255.0
    for pixels in (wide, -wide, shares, shares * 9000.0, np.full((8, 8), np.nan, np.float32)):
        with pytest.raises(EncoderError, match=r"pixels from .* not from 0 to 255"):
            opened(written(pixels, "TIFF"), "test")
    for plain in (GREY.astype(np.int32), GREY.astype(np.float32), np.zeros((8, 8), np.float32)):
        found = np.asarray(opened(written(plain, "TIFF"), "test"))[..., 0]
        np.testing.assert_array_equal(found, plain.astype(np.uint8))
