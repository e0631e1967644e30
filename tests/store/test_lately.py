"""What was asked a moment ago."""

from __future__ import annotations

from holdfast.store.lately import Lately


def test_what_was_asked_for_beside_a_write_is_not_believed():
    rows, told = [0], []

    def ask():
        seen = rows[0]
        if not told:  # while the first answer is on its way, somebody writes
            rows[0] = 5
            lately.forget()
        told.append(seen)
        return seen

    lately = Lately(ask, seconds=60.0)
    assert lately.now() == 0
    assert lately.now() == 5
    assert lately.now() == 5
    assert told == [0, 5]


def test_an_answer_grows_old(monkeypatch):
    now, answers = [100.0], iter(range(9))
    monkeypatch.setattr("holdfast.store.lately.time.monotonic", lambda: now[0])
    lately = Lately(lambda: next(answers), seconds=2.0)
    assert [lately.now(), lately.now()] == [0, 0]
    now[0] = 102.5
    assert lately.now() == 1
