"""Too little memory is a passing trouble, whatever the device calls it; nothing else is."""

import pytest

from holdfast.encode.room import room_for
from holdfast.errors import EncoderUnavailable


class OutOfMemoryError(RuntimeError):
    """As torch names CUDA's."""


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (OutOfMemoryError("Tried to allocate 20 GiB"), "Tried to allocate 20 GiB"),
        (RuntimeError("MPS backend out of memory (18 GB)"), "MPS backend out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "DefaultCPUAllocator"),
        (MemoryError(), "MemoryError"),
        (OutOfMemoryError("x" * 1000), "x{200}[^x]"),
    ],
    ids=["cuda", "mps", "cpu", "python", "long"],
)
def test_it_is_known_by_any_of_its_names(cause, told):
    message = rf"{told}.*batch_size, which is 7"
    with pytest.raises(EncoderUnavailable, match=message) as caught, room_for(7, "a model"):
        raise cause
    assert caught.value.__cause__ is cause
    assert caught.value.transient


@pytest.mark.parametrize("cause", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_pass_as_they_are(cause):
    with pytest.raises(type(cause)) as caught, room_for(7, "a model"):
        raise cause
    assert caught.value is cause


def test_nothing_happens_where_there_is_room():
    with room_for(7, "a model"):
        made = 1 + 1
    assert made == 2
