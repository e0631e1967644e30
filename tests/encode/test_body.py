"""Answers that trickle, swell, or come packed: how much of one is taken in."""

import gzip
import zlib
from itertools import count

import pytest

from holdfast.encode.body import read_body
from holdfast.encode.http import HttpEncoder
from holdfast.encode.retry import Retry
from holdfast.errors import EncoderMisconfigured, EncoderUnavailable
from tests.encode.endpoint import DIM, Endpoint, good, reply, rows

TEXT = b'{"data": []}' * 100


def in_time():
    return False


@pytest.mark.parametrize(
    ("packing", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        (" GZip ", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
    ],
    ids=["plain", "identity", "gzip", "deflate"],
)
def test_an_answer_is_unpacked_from_pieces_of_any_length(packing, packed):
    pieces = [packed[at : at + 7] for at in range(0, len(packed), 7)]
    assert read_body(pieces, packing, len(TEXT), in_time, "toy") == TEXT


def test_an_answer_that_trickles_is_left_after_a_while():
    seen = []

    def trickle():
        for number in range(1000):
            seen.append(number)
            yield b" "

    with pytest.raises(EncoderUnavailable, match=r"a whole answer in five.*got 30 bytes of one"):
        read_body(trickle(), "", 5000, lambda: len(seen) == 30, "toy")
    assert len(seen) == 30


@pytest.mark.parametrize("packing", ["", "gzip"])
def test_no_more_is_taken_in_than_an_answer_has(packing):
    taken = []

    def endless():
        for number in range(1000):
            taken.append(number)
            yield bytes(100)

    with pytest.raises(EncoderMisconfigured, match=r"at most 1,000 bytes, got more"):
        read_body(endless(), packing, 1000, in_time, "toy")
    assert len(taken) == 11


def test_a_little_that_unpacks_to_much_is_not_unpacked():
    packed = gzip.compress(bytes(10_000))
    assert len(packed) < 1000
    with pytest.raises(EncoderMisconfigured, match=r"at most 1,000 bytes, got more"):
        read_body([packed], "gzip", 1000, in_time, "toy")
    assert read_body([packed], "gzip", 10_000, in_time, "toy") == bytes(10_000)


@pytest.mark.parametrize(
    ("packing", "kind"), [("gzip", EncoderUnavailable), ("gzip, gzip", EncoderMisconfigured)]
)
def test_what_cannot_be_unpacked_is_said(packing, kind):
    with pytest.raises(kind, match=r"packed by gzip"):
        read_body([b"hello"], packing, 1000, in_time, "toy")


@pytest.fixture
def ask(monkeypatch):
    """Asks a server that answers with the steps, one try each."""
    opened = []
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def asked(step, **options):
        endpoint = Endpoint(step)
        encoder = HttpEncoder(endpoint.url, "toy", DIM, retry=Retry(tries=1), **options)
        opened.extend([encoder, endpoint])
        return encoder.encode(["kelp"], "document").array

    yield asked
    for thing in opened:
        thing.close()


def test_a_whole_answer_has_five_times_as_long_as_a_sign_of_life(ask, monkeypatch):
    monkeypatch.setattr("holdfast.encode.http.monotonic", count(0.0, 300.0).__next__)
    assert ask(good, timeout=60.0).tolist() == [pytest.approx(rows(["kelp"])[0].tolist())]
    monkeypatch.setattr("holdfast.encode.http.monotonic", count(0.0, 300.1).__next__)
    with pytest.raises(EncoderUnavailable, match="trickles"):
        ask(good, timeout=60.0)


def test_a_packed_answer_is_read_unless_it_is_none_of_vectors(ask):
    def packed(more):
        def step(asked):
            return reply(gzip.compress(good(asked)[2] + b" " * more), Content_Encoding="gzip")

        return step

    assert ask(packed(2**20)).tolist() == [pytest.approx(rows(["kelp"])[0].tolist())]
    with pytest.raises(EncoderMisconfigured, match=r"at most 16,777,536 bytes"):
        ask(packed(2**24 + 2**10))
