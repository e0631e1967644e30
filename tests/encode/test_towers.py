"""What both towers share: batches, turns and memory, on a model of a few lines."""

import threading
import time

import numpy as np
import pytest

from holdfast.encode.passes import Passes
from holdfast.encode.towers import TwoTowers
from holdfast.errors import EncoderError, EncoderUnavailable
from holdfast.space import Space

pytest.importorskip("PIL.Image", reason="needs holdfast[clip]")


class Towers(TwoTowers):
    """Texts lie on (cos n, sin n) for their length n, pictures on that of their width."""

    def __init__(self, batch_size=2, before=lambda: None):
        super().__init__(batch_size, "")
        # However slow the machine is, passes are as large as asked for.
        self._text_passes = self._picture_passes = Passes(batch_size, short=60.0)
        self.before, self.batches = before, []

    _space = Space("towers", 2)

    def _texts(self, texts):
        self.before()
        self.batches.append(list(texts))
        return self._rows([len(text) for text in texts])

    def _pictures(self, pictures):
        self.before()
        self.batches.append([picture.size for picture in pictures])
        return self._rows([picture.size[0] for picture in pictures])

    def _rows(self, numbers):
        return np.stack([np.cos(numbers), np.sin(numbers)], 1).astype(np.float32)


def picture(width):
    from PIL import Image

    return Image.new("RGB", (width, 3))


def test_rows_come_back_in_the_order_given_whatever_the_batches():
    contents = ["a", picture(9), "bcd", "ef", picture(5), "ghij", picture(7)]
    numbers = np.array([1, 9, 3, 2, 5, 4, 7])
    made = Towers()
    rows = made.encode(contents, "document").array
    np.testing.assert_allclose(rows, np.stack([np.cos(numbers), np.sin(numbers)], 1), atol=1e-6)
    assert [len(batch) for batch in made.batches] == [2, 2, 2, 1]


def test_a_query_goes_between_two_passes_of_documents():
    inside, go_on = threading.Event(), threading.Event()

    def before():
        inside.set()
        assert go_on.wait(240)

    made = Towers(before=before)
    backfill = threading.Thread(target=made.encode, args=(["x"] * 12, "document"))
    backfill.start()
    assert inside.wait(240)  # the backfill is in its first pass
    query = threading.Thread(target=made.encode, args=(["query"], "query"))
    query.start()
    while not made._turn._queries:  # it stands in the line
        time.sleep(0.001)
    go_on.set()
    query.join(240)
    backfill.join(240)
    assert made.batches.index(["query"]) == 1
    assert len(made.batches) == 7


@pytest.mark.parametrize("content", ["a text", picture(4)], ids=["text", "picture"])
def test_too_little_memory_is_a_passing_trouble(content):
    def before():
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(EncoderUnavailable, match="Lower batch_size, which is 2"):
        Towers(before=before).encode([content], "query")


def test_a_picture_that_cannot_be_opened_leaves_the_turn_to_others():
    made = Towers()
    with pytest.raises(EncoderError, match="a picture that can be opened"):
        made.encode([b"no picture"], "document")
    assert made.encode(["a"], "query").array.shape == (1, 2)


def test_no_contents_make_no_rows():
    made = Towers()
    assert made.encode([], "query").array.shape == (0, 2)
    assert made.batches == []
