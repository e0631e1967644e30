"""The encoder contract, tested by encoders with one defect each."""

import itertools
import threading

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.encode.cache import CachedEncoder
from holdfast.encode.callable import CallableEncoder
from holdfast.encode.check import check_encoder, encoder_checks
from holdfast.encode.http import HttpEncoder
from holdfast.errors import ContractBroken, InvalidInput
from holdfast.space import Space
from tests.encode.endpoint import DIM, Endpoint, rows

CONTENTS = ["first", "second text", "a third", "number four", "the fifth of them"]
SPACE = Space("toy", DIM)


class Good:
    """Answers reference rows."""

    def __init__(self):
        self.space = SPACE

    def encode(self, contents, role):
        return CallableEncoder(self.space, rows).encode(contents, role)


def changed(array):
    return Vectors(SPACE, array)


class DropsLast(Good):
    def encode(self, contents, role):
        made = super().encode(contents, role)
        return changed(made.array[:-1])


class Sorts(Good):
    def encode(self, contents, role):
        return super().encode(sorted(contents), role)


class DropsRepeated(Good):
    def encode(self, contents, role):
        return super().encode(list(dict.fromkeys(contents)), role)


class Centres(Good):
    """Subtracts the mean of the batch, as if a batch were the world."""

    def encode(self, contents, role):
        array = super().encode(contents, role).array
        if len(array) > 1:
            array = array - 0.1 * array.mean(axis=0)
            array /= np.linalg.norm(array, axis=1, keepdims=True)
        return changed(array)


class DoublePrecision(Good):
    def encode(self, contents, role):
        return changed(super().encode(contents, role).array.astype(np.float64))


class Transposed(Good):
    def encode(self, contents, role):
        return changed(np.asfortranarray(super().encode(contents, role).array))


class NotUnit(Good):
    def encode(self, contents, role):
        return changed(2.0 * super().encode(contents, role).array)


class BareArray(Good):
    def encode(self, contents, role):
        return super().encode(contents, role).array


class OtherSpace(Good):
    def encode(self, contents, role):
        return Vectors(Space("other", DIM), super().encode(contents, role).array)


class NanInQueries(Good):
    def encode(self, contents, role):
        array = super().encode(contents, role).array
        if role == "query" and len(array):
            array[-1, 0] = np.nan
        return changed(array)


class FlatNothing(Good):
    def encode(self, contents, role):
        made = super().encode(contents, role)
        return made if len(made) else changed(np.zeros(0, dtype=np.float32))


class FailsOnNothing(Good):
    def encode(self, contents, role):
        return super().encode([*contents, contents[0]], role).take(slice(0, len(contents)))


class Constant(Good):
    def encode(self, contents, role):
        return super().encode(["same" for _ in super().encode(contents, role).array], role)


class EatsItsInput(Good):
    def encode(self, contents, role):
        made = super().encode(contents, role)
        if isinstance(contents, list):
            contents.clear()
        return made


class ListsOnly(Good):
    def encode(self, contents, role):
        return super().encode(contents + [], role)  # noqa: RUF005 - this is the defect


class OneBuffer(Good):
    def __init__(self):
        super().__init__()
        self.buffer = np.zeros((100, DIM), dtype=np.float32)
        self.lock = threading.Lock()

    def encode(self, contents, role):
        made = super().encode(contents, role)
        self.buffer[: len(made)] = made.array
        return changed(self.buffer[: len(made)])


class AnyRole(Good):
    def encode(self, contents, role):
        return super().encode(contents, "query" if role == "query" else "document")


class SplitsText(Good):
    def encode(self, contents, role):
        return super().encode(list(contents), role)


class Drifts(Good):
    calls = itertools.count()

    def encode(self, contents, role):
        turn = next(self.calls)
        return super().encode([f"{turn} {content}" for content in contents], role)


class NewSpaceEachTime(Good):
    made = itertools.count()

    def __init__(self):
        self.space = Space("toy", DIM, fingerprint=str(next(self.made)))


class SpaceAfterUse(Good):
    def encode(self, contents, role):
        made = super().encode(contents, role)
        self.space = Space("toy", DIM, fingerprint="learned")
        return made


class SharedState(Good):
    """Keeps its batch where every thread can see it."""

    def __init__(self):
        super().__init__()
        self.meeting = threading.Barrier(2)
        self.alone = threading.current_thread()

    def encode(self, contents, role):
        self.batch = list(contents)
        if threading.current_thread() is not self.alone:
            try:
                self.meeting.wait(timeout=1.0)
            except threading.BrokenBarrierError:
                self.meeting.reset()
        return super().encode(self.batch if not isinstance(contents, str) else contents, role)


SABOTEURS = {
    DropsLast: "check_form",
    Sorts: "check_order",
    DropsRepeated: "check_order",
    Centres: "check_split",
    DoublePrecision: "check_form",
    Transposed: "check_form",
    NotUnit: "check_form",
    BareArray: "check_form",
    OtherSpace: "check_form",
    NanInQueries: "check_form",
    FlatNothing: "check_empty",
    FailsOnNothing: "check_empty",
    Constant: "check_distinct",
    EatsItsInput: "check_inputs_kept",
    ListsOnly: "check_inputs_kept",
    OneBuffer: "check_answers_kept",
    AnyRole: "check_refusals",
    SplitsText: "check_refusals",
    Drifts: "check_deterministic",
    NewSpaceEachTime: "check_space",
    SpaceAfterUse: "check_space",
    SharedState: "check_threads",
}


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda kind: kind.__name__)
def test_each_defect_is_caught_by_name(saboteur):
    name = SABOTEURS[saboteur]
    check = next(check for check in encoder_checks() if str(check) == name)
    with pytest.raises(ContractBroken, match=name):
        check(saboteur, CONTENTS)


def test_every_check_has_a_saboteur():
    assert set(SABOTEURS.values()) == {str(check) for check in encoder_checks()}


def test_all_failures_are_reported_at_once():
    with pytest.raises(ContractBroken, match="check_form") as caught:
        check_encoder(NotUnit, CONTENTS)
    assert "check_split" in str(caught.value)
    assert "all 11 checks" in str(caught.value)


def test_a_surprise_is_a_failure_of_its_check():
    class Fails(Good):
        def encode(self, contents, role):
            raise ZeroDivisionError("oh")

    with pytest.raises(ContractBroken, match="no error, got ZeroDivisionError: oh"):
        encoder_checks()[0](Fails, CONTENTS)
    with pytest.raises(ContractBroken) as caught:
        check_encoder(Fails, CONTENTS)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)  # it is shown above


@pytest.mark.parametrize("contents", [[], ["a", "b"], ["a", "b", "a"]])
def test_too_little_to_go_by_is_refused(contents):
    with pytest.raises(InvalidInput, match="3 or more distinct contents"):
        encoder_checks()[0](Good, contents)


def test_a_check_can_be_left_out():
    left = {str(check) for check in encoder_checks(leave_out=["check_threads"])}
    assert left == {str(check) for check in encoder_checks()} - {"check_threads"}


# our own encoders


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_functions_keep_the_contract(metric):
    space = Space("toy", DIM, metric)
    check_encoder(lambda: CallableEncoder(space, rows, lambda texts: -rows(texts)), CONTENTS)


def test_the_http_encoder_keeps_the_contract(monkeypatch):
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    endpoint, opened = Endpoint(), []

    def make():
        opened.append(HttpEncoder(endpoint.url, "toy", DIM, query_prefix="q: ", max_batch=2))
        return opened[-1]

    try:
        check_encoder(make, CONTENTS)
    finally:
        for encoder in opened:
            encoder.close()
        endpoint.close()


def test_the_cache_keeps_the_contract_cold_and_warm(tmp_path):
    opened = []

    def make(path):
        opened.append(CachedEncoder(CallableEncoder(SPACE, rows), path))
        return opened[-1]

    numbers = itertools.count()
    check_encoder(lambda: make(tmp_path / f"{next(numbers)}.sqlite"), CONTENTS)
    check_encoder(lambda: make(tmp_path / "one.sqlite"), CONTENTS)
    for encoder in opened:
        encoder.close()
