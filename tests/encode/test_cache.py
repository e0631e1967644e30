"""The cache: what is computed, what is not, and what a file survives."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from holdfast.encode import cache as module
from holdfast.encode.cache import CachedEncoder
from holdfast.encode.callable import CallableEncoder
from holdfast.errors import (
    ArtifactError,
    EncoderError,
    EncoderUnavailable,
    InvalidInput,
    WrongCount,
)
from holdfast.space import Space
from tests.encode.endpoint import rows

DIM = 6
ROW_BYTES = 4 * DIM


class Counting:
    """Answers reference rows and writes down what it was asked for."""

    def __init__(self, space=None, shift=0):
        self.space = space or Space("toy", DIM)
        self.shift = shift
        self.asked = []

    def encode(self, contents, role):
        self.asked.append((role, list(contents)))
        array = rows([f"{role}{self.shift}{content!r}" for content in contents], self.space.dim)
        return CallableEncoder(self.space, lambda _: array).encode(contents, role)


def expected(contents, role, shift=0):
    return rows([f"{role}{shift}{content!r}" for content in contents], DIM)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "cache.sqlite"


def ask(encoder, contents, role="document", shift=0):
    made = encoder.encode(contents, role)
    np.testing.assert_array_equal(made.array, expected(contents, role, shift))
    assert made.space == encoder.space
    assert made.array.flags.writeable


def test_only_misses_are_computed_and_order_is_kept(path):
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        ask(encoder, ["a", "b"])
        ask(encoder, ["c", "b", "a", "d"])
        assert model.asked == [("document", ["a", "b"]), ("document", ["c", "d"])]
        assert (encoder.hits, encoder.misses) == (2, 4)
        ask(encoder, ["d", "c", "b", "a"])
        assert len(model.asked) == 2
        assert (encoder.hits, encoder.misses) == (6, 4)


def test_a_content_given_twice_is_computed_once(path):
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        ask(encoder, ["a", "b", "a", "a"])
        assert model.asked == [("document", ["a", "b"])]
        assert (encoder.hits, encoder.misses) == (2, 2)


def test_nothing_asks_nobody(path):
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        assert encoder.encode([], "query").array.shape == (0, DIM)
    assert model.asked == []


def test_answers_survive_closing(path):
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a", "b"])
        encoder.close()
        ask(encoder, ["a"])  # opens again
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        ask(encoder, ["b", "a"])
    assert model.asked == []


def test_roles_are_kept_apart(path):
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"], "document")
        ask(encoder, ["a"], "query")
        ask(encoder, ["a"], "document")
        assert (encoder.hits, encoder.misses) == (1, 2)


def test_spaces_are_kept_apart_in_one_file(path):
    spaces = [
        Space("one", DIM, fingerprint="1"),
        Space("two", DIM, fingerprint="2"),
        Space("dot", DIM, "dot", fingerprint="1"),
        Space("long", 2 * DIM, fingerprint="1"),
    ]
    models = [Counting(space, shift) for shift, space in enumerate(spaces)]
    for model in models:
        with CachedEncoder(model, path) as encoder:
            first = encoder.encode(["a"], "query").array
            assert encoder.misses == 1
            np.testing.assert_array_equal(encoder.encode(["a"], "query").array, first)
            assert encoder.hits == 1
    with CachedEncoder(models[1], path) as encoder:
        ask(encoder, ["a"], "query", shift=1)
        assert encoder.hits == 1


def test_more_contents_than_one_statement_takes(path):
    contents = [f"text {i}" for i in range(1203)]
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, contents[::2])
        ask(encoder, contents)
        ask(encoder, contents[::-1])
        assert (encoder.hits, encoder.misses) == (602 + 1203, 1203)


def test_contents_that_look_alike_are_different(path):
    contents = [
        "1", b"1", 1, 1.0, True, None, "null", ["1"], [1], [[1]], {"1": 1}, {"1": "1"}, "", b"",
        [], {}, '"1"', "é", "e\u0301", "\ud800",
    ]  # fmt: skip
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        for content in contents:
            encoder.encode([content], "document")
        assert (encoder.hits, encoder.misses) == (0, len(contents))
        for content in contents:
            encoder.encode([content], "document")
        assert encoder.hits == len(contents)


@pytest.mark.parametrize("content", [object(), (1, 2), {1: 2}, [object()], {"a": {2}}, np.ones(2)])
def test_contents_without_a_name_are_refused_politely(path, content):
    model = Counting()
    with (
        CachedEncoder(model, path) as encoder,
        pytest.raises(
            EncoderError, match=r"bytes, files or JSON, got .*Pass CachedEncoder a `key`"
        ),
    ):
        encoder.encode([content], "document")
    assert model.asked == []


def test_a_key_function_names_them(path):
    model = Counting()
    named = [(1, 2), (3, 4), (1, 2)]
    with CachedEncoder(model, path, key=repr) as encoder:
        ask(encoder, named)
        ask(encoder, named)
        assert (encoder.hits, encoder.misses) == (4, 2)
    with CachedEncoder(model, path, key=lambda content: repr(content).encode()) as encoder:
        ask(encoder, named)
        assert encoder.misses == 2  # bytes are another name than text


def test_a_failing_model_leaves_the_cache_as_it_was(path):
    class Failing(Counting):
        def encode(self, contents, role):
            raise EncoderUnavailable("toy", "an answer", "none")

    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"])
    with CachedEncoder(Failing(), path) as encoder:
        ask(encoder, ["a"])
        with pytest.raises(EncoderUnavailable):
            encoder.encode(["a", "b"], "document")
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        ask(encoder, ["a", "b"])
    assert model.asked == [("document", ["b"])]


def test_a_wrong_count_is_not_kept(path):
    class Short(Counting):
        def encode(self, contents, role):
            return super().encode(contents[:-1], role)

    with CachedEncoder(Short(), path) as encoder, pytest.raises(WrongCount):
        encoder.encode(["a", "b"], "document")
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a", "b"])
        assert encoder.misses == 2


def stored(path):
    with sqlite3.connect(path) as file:
        (count, total), (noted,) = (
            file.execute("SELECT count(*), total(length(vector)) FROM answers").fetchone(),
            file.execute("SELECT bytes FROM total").fetchone(),
        )
    file.close()
    assert total == noted
    return count


def test_the_oldest_go_first(path):
    model = Counting()
    with CachedEncoder(model, path, max_bytes=3 * ROW_BYTES) as encoder:
        ask(encoder, ["a", "b", "c"])
        ask(encoder, ["a", "d"])  # being read does not make `a` young
        assert stored(path) == 3
        model.asked.clear()
        ask(encoder, ["b", "c", "d"])
        assert model.asked == []
        ask(encoder, ["a"])
        ask(encoder, ["c", "d"])
        assert model.asked == [("document", ["a"])]
        assert stored(path) == 3


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (ROW_BYTES - 1, 0), (5 * ROW_BYTES + 1, 5)])
def test_one_large_call_keeps_what_fits(path, limit, kept):
    with CachedEncoder(Counting(), path, max_bytes=limit) as encoder:
        ask(encoder, [f"text {i}" for i in range(20)])
        assert stored(path) == kept
        ask(encoder, [f"text {i}" for i in range(20)])
        assert stored(path) == kept


def test_what_a_key_function_answers_may_be_any_text(path):
    with CachedEncoder(Counting(), path, key=lambda content: content[0]) as encoder:
        ask(encoder, [("\ud800",), ("\udc00",)])
        ask(encoder, [("\ud800",), ("\udc00",)])
        assert (encoder.hits, encoder.misses) == (2, 2)


def test_a_negative_limit_is_refused(path):
    with pytest.raises(InvalidInput, match="max_bytes of at least 0"):
        CachedEncoder(Counting(), path, max_bytes=-1)


@pytest.mark.parametrize(
    "blob", [b"", b"short", np.full(DIM, np.nan, "<f4").tobytes(), "t" * ROW_BYTES]
)
def test_a_damaged_row_is_computed_again(path, blob):
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a", "b"])
        with sqlite3.connect(path) as file:
            file.execute("UPDATE answers SET vector = ? WHERE number = 1", (blob,))
            lost = ROW_BYTES - len(blob)
            file.execute("UPDATE total SET bytes = bytes - ?", (lost,))
        file.close()
        ask(encoder, ["a", "b"])
        assert encoder.misses == 3
        ask(encoder, ["a", "b"])
        assert encoder.misses == 3
    assert stored(path) == 2


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to look like a header" * 20)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE mine (x)")
    file.close()
    newer = tmp_path / "newer.sqlite"
    with sqlite3.connect(newer) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    numbered = tmp_path / "numbered.sqlite"  # many programs begin to count at 1, as ours does
    with sqlite3.connect(numbered) as file:
        file.execute("CREATE TABLE mine (x)")
        file.execute("PRAGMA user_version = 1")
    file.close()
    for path in (text, other, newer, numbered):
        before = path.read_bytes()
        with (
            CachedEncoder(Counting(), path) as encoder,
            pytest.raises(ArtifactError, match=r"a cache of Holdfast.*Delete the file"),
        ):
            encoder.encode(["a"], "query")
        assert path.read_bytes() == before


@pytest.mark.parametrize("lost", ["answers", "total"])
def test_a_file_without_a_table_of_ours_is_named_and_one_without_any_begun_anew(path, lost):
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"])
    with sqlite3.connect(path) as file:
        file.execute(f"DROP TABLE {lost}")
    file.close()
    with (
        CachedEncoder(Counting(), path) as encoder,
        pytest.raises(ArtifactError, match=r"a cache of Holdfast.*Delete the file"),
    ):
        encoder.encode(["a"], "document")
    with sqlite3.connect(path) as file:
        file.execute(f"DROP TABLE {({'answers', 'total'} - {lost}).pop()}")
    file.close()
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"])
    assert stored(path) == 1


def test_what_a_locked_file_cannot_take_is_answered_all_the_same(path, monkeypatch, caplog):
    monkeypatch.setattr("holdfast.encode.cache._BUSY_SECONDS", 0.05)
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"])
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        ask(encoder, ["a"])  # readers are not held up
        ask(encoder, ["b", "c"])
        assert "2 answers were not kept" in caplog.text
        assert "database is locked" in caplog.text
        blocker.execute("ROLLBACK")
        blocker.close()
        ask(encoder, ["b"])
        assert (encoder.hits, encoder.misses) == (1, 4)
    assert stored(path) == 2


def test_a_file_that_cannot_be_read_is_a_passing_trouble(path):
    path.mkdir(parents=True)
    with (
        CachedEncoder(Counting(), path) as encoder,
        pytest.raises(EncoderUnavailable, match="unable to open") as caught,
    ):
        encoder.encode(["b"], "document")
    assert caught.value.transient


def test_a_folder_that_cannot_be_is_a_passing_trouble_likewise(tmp_path):
    (tmp_path / "taken").write_text("no folder")
    with (
        CachedEncoder(Counting(), tmp_path / "taken" / "answers.db") as encoder,
        pytest.raises(EncoderUnavailable, match=r"taken.*Check the folder") as caught,
    ):
        encoder.encode(["b"], "document")
    assert caught.value.transient


def test_a_failing_write_leaves_nothing_behind(path, monkeypatch, caplog):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    with CachedEncoder(Counting(), path, max_bytes=ROW_BYTES) as encoder:
        ask(encoder, ["a"])
        with monkeypatch.context() as patched:
            patched.setattr("holdfast.encode.cache._evict", full)
            ask(encoder, ["b"])
        assert "1 answers were not kept" in caplog.text
        assert "disk is full" in caplog.text
        assert stored(path) == 1
        ask(encoder, ["a"])
        assert (encoder.hits, encoder.misses) == (1, 2)
        ask(encoder, ["b"])
        assert (encoder.hits, encoder.misses) == (1, 3)
        assert stored(path) == 1


def test_threads_share_one_encoder(path):
    with CachedEncoder(Counting(), path) as encoder, ThreadPoolExecutor(8) as pool:
        calls = [[f"text {(i + j) % 30}" for j in range(10)] for i in range(60)]
        list(pool.map(lambda texts: ask(encoder, texts), calls))
        assert encoder.hits + encoder.misses == 600
    assert stored(path) == 30


def worker(path, turn):
    with CachedEncoder(Counting(), path) as encoder:
        for i in range(10):
            ask(encoder, [f"text {(turn + i + j) % 20}" for j in range(5)])


def workers_at(path):
    """Exit codes of three processes that ask at the same time."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=worker, args=(path, turn)) for turn in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join()
    return [process.exitcode for process in workers]


def test_processes_share_one_file(path):
    assert workers_at(path) == [0, 0, 0]
    assert stored(path) == 16


def damage(path, how):
    """In place, as a failing disk would; answers what the file holds then."""
    content = bytearray(path.read_bytes())
    if how == "head":
        content[:100] = bytes(100)
    elif how == "cut off":
        content = content[: len(content) // 2]
    else:
        content[4096:] = b"\xa5" * (len(content) - 4096)
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    return bytes(content)


MANY = [f"text {i}" for i in range(400)]


def filled(path):
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, MANY)


def aside(path):
    names = (one.name for one in path.parent.iterdir())
    return sorted(
        name for name in names if "damaged" in name and not name.endswith(("-wal", "-shm"))
    )


@pytest.mark.parametrize("how", ["head", "cut off", "pages"])
def test_a_damaged_file_is_set_aside_and_an_empty_one_begun(path, how, caplog):
    filled(path)
    content = damage(path, how)
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, MANY)
        assert encoder.misses == len(MANY)
        ask(encoder, MANY)
        assert encoder.hits == len(MANY)
    assert path.with_name("cache.sqlite.damaged").read_bytes() == content
    assert stored(path) == len(MANY)
    (warning,) = caplog.messages
    assert f"cache {path} was damaged" in warning
    assert f"{path}.damaged" in warning
    damage(path, how)
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, MANY)
    assert aside(path) == ["cache.sqlite.damaged", "cache.sqlite.damaged-2"]


def test_a_write_that_meets_the_damage_is_kept_in_the_new_file(path):
    filled(path)
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, MANY)

        def broken(self, file, packed):
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            del encoder._store
            raise error

        encoder._store = broken.__get__(encoder)
        ask(encoder, ["another"])
    assert (stored(path), aside(path)) == (1, ["cache.sqlite.damaged"])


def test_those_that_find_it_damaged_at_once_set_it_aside_once(path, monkeypatch, caplog):
    filled(path)
    damage(path, "pages")
    both = threading.Barrier(2)
    rename = module.set_aside

    def at_once(*given):
        both.wait(60.0)
        return rename(*given)

    monkeypatch.setattr(module, "set_aside", at_once)
    encoders = [CachedEncoder(Counting(), path) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda encoder: ask(encoder, MANY), encoders))
    assert (stored(path), aside(path)) == (len(MANY), ["cache.sqlite.damaged"])
    assert len(caplog.messages) == 1
    ask(encoders[0], ["of the first"])
    ask(encoders[1], ["of the first"])
    assert (encoders[1].hits > 0, stored(path)) == (True, len(MANY) + 1)
    for encoder in encoders:
        encoder.close()
    assert stored(path) == len(MANY) + 1


def test_who_had_it_open_goes_on_with_the_new_one(path):
    filled(path)
    with CachedEncoder(Counting(), path) as first, CachedEncoder(Counting(), path) as second:
        ask(first, MANY[:1])
        ask(second, MANY[:1])
        damage(path, "pages")
        for encoder in (first, second):
            encoder._file.execute("PRAGMA shrink_memory")
            ask(encoder, MANY[100:])
        assert aside(path) == ["cache.sqlite.damaged"]
        assert second.hits == 1 + len(MANY[100:])
    assert stored(path) == len(MANY[100:])


def test_processes_that_find_it_damaged_all_come_through(path):
    filled(path)
    damage(path, "pages")
    assert workers_at(path) == [0, 0, 0]
    assert (stored(path), aside(path)) == (16, ["cache.sqlite.damaged"])


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_damaged_file_that_cannot_be_renamed_or_written_is_named(path, closed, monkeypatch):
    filled(path)
    content = damage(path, "pages")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    if closed == "file":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(module, "set_aside", refused)
    with (
        CachedEncoder(Counting(), path) as encoder,
        pytest.raises(ArtifactError, match=r"a cache of Holdfast.*malformed"),
    ):
        encoder.encode(MANY, "document")
    assert (path.read_bytes(), aside(path)) == (content, [])


@pytest.fixture
def writer(path):
    """A neighbour that has made the file and is in the middle of a write, without a log ahead."""
    path.parent.mkdir(parents=True)
    neighbour = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    neighbour.executescript(module._SCHEMA)
    neighbour.execute("BEGIN IMMEDIATE")
    yield neighbour
    neighbour.close()


def test_a_neighbour_that_writes_is_waited_for(path, writer):
    soon = threading.Timer(0.2, writer.execute, ["COMMIT"])
    soon.start()
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a"])
    soon.join()
    assert stored(path) == 1


def test_a_neighbour_that_never_ends_is_named(path, writer, monkeypatch):
    monkeypatch.setattr(module, "_BUSY_SECONDS", 0.05)
    with CachedEncoder(Counting(), path) as encoder:
        with pytest.raises(EncoderUnavailable, match="locked"):
            ask(encoder, ["a"])
        writer.execute("COMMIT")
        ask(encoder, ["a"])
    assert stored(path) == 1


def test_a_file_may_come_to_be_while_it_is_opened(path, monkeypatch):
    class Late(sqlite3.Connection):
        """A neighbour makes the file between its first two statements."""

        said = 0

        def execute(self, *asked):
            Late.said += 1
            if Late.said == 2:
                with CachedEncoder(Counting(), path) as neighbour:
                    ask(neighbour, ["a"])
            return super().execute(*asked)

    connect = sqlite3.connect
    kinds = [Late]  # for the first connection only

    def connected(*told, **more):
        return connect(*told, **more, factory=kinds.pop() if kinds else sqlite3.Connection)

    monkeypatch.setattr(sqlite3, "connect", connected)
    with CachedEncoder(Counting(), path) as encoder:
        ask(encoder, ["a", "b"])
        assert (encoder.hits, encoder.misses) == (1, 1)


CRASH = """
    import os, sys
    from holdfast.encode import cache
    from holdfast.encode.cache import CachedEncoder
    from tests.encode.test_cache import Counting, ask

    encoder = CachedEncoder(Counting(), sys.argv[1])
    ask(encoder, ["a", "b"])
    store = CachedEncoder._store
    def dies(self, file, packed):
        store(self, file, packed)
        os.kill(os.getpid(), 9)
    CachedEncoder._store = dies
    encoder.encode(["c", "d"], "document")
"""


def test_death_in_the_middle_of_a_write_loses_that_call_only(path):
    command = [sys.executable, "-c", textwrap.dedent(CRASH), str(path)]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    died = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert died.returncode == -9, died.stderr
    assert stored(path) == 2
    model = Counting()
    with CachedEncoder(model, path) as encoder:
        ask(encoder, ["a", "b", "c", "d"])
    assert model.asked == [("document", ["c", "d"])]
