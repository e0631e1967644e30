"""The readers' and writers' lock."""

from __future__ import annotations

import threading

from holdfast.store.sharedlock import SharedLock

PATIENCE = 240.0  # seconds; reached only when the lock is wrong


def start(work) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_readers_run_beside_each_other():
    lock, both = SharedLock(), threading.Barrier(2)

    def read():
        with lock.shared():
            both.wait(PATIENCE)  # breaks unless the other reader is inside as well

    threads = [start(read), start(read)]
    for thread in threads:
        thread.join(PATIENCE)
    assert not both.broken
    assert not any(thread.is_alive() for thread in threads)


def test_a_writer_waits_for_readers_and_comes_before_later_ones():
    lock, order = SharedLock(), []
    inside, leave = threading.Event(), threading.Event()

    def first_reader():
        with lock.shared():
            inside.set()
            leave.wait(PATIENCE)
            order.append("first reader")

    def writer():
        with lock.alone():
            order.append("writer")

    def second_reader():
        with lock.shared():
            order.append("second reader")

    threads = [start(first_reader)]
    assert inside.wait(PATIENCE)
    threads.append(start(writer))
    while not lock._turn.locked():  # until it waits
        pass
    threads.append(start(second_reader))
    threads[2].join(0.05)
    assert order == []
    leave.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert order == ["first reader", "writer", "second reader"]


def test_writers_exclude_each_other_and_an_error_lets_go():
    lock, count = SharedLock(), [0]

    def work():
        for _ in range(200):
            try:
                with lock.alone():
                    before = count[0]
                    for _ in range(20):
                        pass
                    count[0] = before + 1
                    raise KeyError
            except KeyError:
                with lock.shared():
                    pass

    threads = [start(work) for _ in range(4)]
    for thread in threads:
        thread.join(PATIENCE)
    assert count == [800]
