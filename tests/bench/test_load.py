"""A client of the benches that asks again until it is answered."""

from __future__ import annotations

import time

import pytest

from bench.load import Patient


class Broken(Exception):
    """What a library of connections raises."""


class Breaking:
    """Connections of which the first ones break, at once or when they are used."""

    def __init__(self, errors):
        self.errors, self.made = list(errors), 0

    def __call__(self):
        self.made += 1
        if self.errors and isinstance(self.errors[0], ConnectionRefusedError):
            raise self.errors.pop(0)
        return self

    def use(self, client):
        assert client is self
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_a_connection_that_breaks_is_made_anew():
    line = Breaking([ConnectionRefusedError(), Broken(), ConnectionResetError()])
    patient = Patient(line, Broken)
    assert patient.ask(line.use, time.monotonic() + 60.0) == ("answer", 4)
    assert patient.ask(line.use, time.monotonic() + 60.0) == ("answer", 1)
    assert line.made == 4


def test_after_its_time_it_is_given_up_and_asks_anew_later():
    line = Breaking([Broken(), Broken()])
    patient = Patient(line, Broken)
    assert patient.ask(line.use, 0.0) == (None, 1)
    assert patient.ask(line.use, time.monotonic() + 60.0) == ("answer", 2)


def test_what_is_no_broken_connection_is_told():
    line = Breaking([ValueError("a defect")])
    with pytest.raises(ValueError, match="a defect"):
        Patient(line, Broken).ask(line.use, time.monotonic() + 60.0)
