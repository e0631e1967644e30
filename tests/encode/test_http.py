"""The HTTP encoder against a server on this machine that misbehaves on request."""

import base64
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from holdfast.encode.http import HttpEncoder
from holdfast.encode.retry import Retry, hearing
from holdfast.errors import (
    ConfigError,
    EncoderError,
    EncoderMisconfigured,
    EncoderUnavailable,
    MissingExtra,
    Throttled,
    WrongCount,
)
from tests.encode.endpoint import DIM, Endpoint, fails, good, reply, rows, says

TOKEN = "sk-very-secret-0123456789"
TEXTS = ["first text", "second, with ä", "third"]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve():
    """Starts servers; all of them and their encoders are closed at the end."""
    opened = []

    def start(*steps, seconds=0.0, **options):
        endpoint = Endpoint(*steps, seconds=seconds)
        waits = []
        retry = Retry(tries=4, first=1.0, sleep=waits.append, clock=lambda: 0.0, jitter=lambda: 1.0)
        encoder = HttpEncoder(endpoint.url, "toy", DIM, **{"retry": retry, **options})
        opened.extend([encoder, endpoint])
        return endpoint, encoder, waits

    yield start
    for thing in opened:
        thing.close()


def same(encoder, texts=TEXTS):
    made = encoder.encode(texts, "document")
    assert made.space == encoder.space
    np.testing.assert_allclose(made.array, rows(texts), rtol=1e-6, atol=1e-7)


# what is asked


def test_a_request_says_what_the_endpoint_expects(serve):
    endpoint, encoder, _ = serve()
    same(encoder)
    assert endpoint.paths == ["/v1/embeddings"]
    assert endpoint.asked == [{"model": "toy", "input": TEXTS, "encoding_format": "float"}]
    assert "Authorization" not in {name.title() for name in endpoint.headers[0]}


def test_opening_sends_nothing_and_leaves_the_first_call_nothing_to_make(serve, monkeypatch):
    endpoint, encoder, _ = serve()
    encoder.open()
    encoder.open()
    assert endpoint.asked == []
    with monkeypatch.context() as patch:
        patch.delattr(httpx, "Client")
        same(encoder)
    encoder.close()
    same(encoder)


def test_dimensions_are_asked_for_on_request_and_tell_spaces_apart(serve):
    endpoint, encoder, _ = serve(dimensions=True)
    plain = HttpEncoder(endpoint.url, "toy", DIM)
    same(encoder)
    assert endpoint.asked[0]["dimensions"] == DIM
    assert encoder.space != plain.space


def test_prefixes_go_before_texts_by_role(serve):
    endpoint, encoder, _ = serve(query_prefix="query: ", document_prefix="passage: ")
    as_query = encoder.encode(["kelp"], "query").array
    as_document = encoder.encode(["kelp"], "document").array
    assert [asked["input"] for asked in endpoint.asked] == [["query: kelp"], ["passage: kelp"]]
    np.testing.assert_allclose(as_query, rows(["query: kelp"]), rtol=1e-6)
    np.testing.assert_allclose(as_document, rows(["passage: kelp"]), rtol=1e-6)


def test_many_texts_are_split_and_come_back_in_order(serve):
    endpoint, encoder, _ = serve(max_batch=7)
    same(encoder, [f"text {i}" for i in range(50)])
    assert sorted(len(asked["input"]) for asked in endpoint.asked) == [1, *[7] * 7]


FORKED = """
import os, signal, sys
from holdfast.encode.http import HttpEncoder

encoder = HttpEncoder(sys.argv[1], "toy", int(sys.argv[2]), max_batch=1)
made = encoder.encode(["first", "second"], "document").array
child = os.fork()
if not child:
    signal.alarm(20)  # threads that are gone would be waited for
    same = (encoder.encode(["first", "second"], "document").array == made).all()
    encoder.close()
    os._exit(0 if same else 1)
assert os.waitpid(child, 0)[1] == 0
assert (encoder.encode(["first", "second"], "document").array == made).all()
encoder.close()
"""


def test_a_forked_process_asks_over_connections_of_its_own(serve):
    endpoint, _, _ = serve()
    done = subprocess.run(
        [sys.executable, "-c", FORKED, endpoint.url, str(DIM)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    before, forked = (set(endpoint.callers[start : start + 2]) for start in (0, 2))
    assert before.isdisjoint(forked)


def test_no_text_makes_no_request(serve):
    endpoint, encoder, _ = serve()
    assert encoder.encode([], "query").array.shape == (0, DIM)
    assert endpoint.asked == []


def test_the_space_covers_the_model_not_the_server():
    def space(url="http://a/v1", **options):
        return HttpEncoder(url, **{"model": "toy", "dim": DIM, **options}).space

    assert space() == space("http://b/v1") == space(token_env="ANY", max_batch=3)
    changes = (
        {"model": "other"},
        {"revision": "2"},
        {"query_prefix": "q "},
        {"document_prefix": "d "},
        {"dim": 6},
        {"metric": "dot"},
        {"dimensions": True},
    )
    assert len({space().fingerprint, *(space(**change).fingerprint for change in changes)}) == 8


# answers


def test_rows_are_ordered_by_index(serve):
    _, encoder, _ = serve(says(lambda data: data[::-1]))
    same(encoder)


def test_rows_without_index_keep_their_order(serve):
    _, encoder, _ = serve(says(lambda data: [{"embedding": e["embedding"]} for e in data]))
    same(encoder)


def test_base64_is_read(serve):
    def packed(data):
        for entry in data:
            raw = np.array(entry["embedding"], dtype="<f4").tobytes()
            entry["embedding"] = base64.b64encode(raw).decode()
        return data

    endpoint, encoder, _ = serve(says(packed), encoding_format="base64")
    same(encoder)
    assert endpoint.asked[0]["encoding_format"] == "base64"


def with_value(value):
    def change(data):
        data[1]["embedding"][2] = value
        return data

    return says(change)


def with_index(*places):
    return says(lambda data: [{**e, "index": i} for e, i in zip(data, places, strict=True)])


@pytest.mark.parametrize(
    ("step", "kind", "message"),
    [
        (says(lambda data: data[:2]), WrongCount, "expected 3 vectors, one for each text, got 2"),
        (says(lambda data: data + data[:1]), WrongCount, "got 4"),
        (with_index(0, 1, 1), EncoderError, "each `index` from 0 to 2 once"),
        (with_index(1, 2, 3), EncoderError, "each `index` from 0 to 2 once"),
        (with_index(0, 1, []), EncoderError, "each `index` from 0 to 2 once"),
        (with_value(float("nan")), EncoderError, r"NaN or infinity in row 1 \(1 of 3 rows\)"),
        (with_value(float("inf")), EncoderError, "NaN or infinity in row 1"),
        (with_value(1e300), EncoderError, "NaN or infinity in row 1"),
        (with_value(None), EncoderError, "NaN or infinity in row 1"),
        (with_value("x"), EncoderError, "something else at place 1"),
        (with_value([1.0]), EncoderError, "something else at place 1"),
        (with_value(10**400), EncoderError, "something else at place 1"),
        (
            says(lambda data: [{**e, "embedding": e["embedding"][:4]} for e in data]),
            EncoderMisconfigured,
            "rows of 5 numbers, got 4 at place 0. Set dim",
        ),
        (
            says(lambda data: [*data[:2], {"index": 2, "embedding": []}]),
            EncoderError,
            "rows of 5 numbers, got 0 at place 2",
        ),
        (
            says(lambda data: [*data[:2], {"index": 2, "embedding": None}]),
            EncoderError,
            "an `embedding` of each text, got null at place 2",
        ),
        (
            says(lambda data: [{**e, "embedding": [0.0] * DIM} for e in data]),
            EncoderError,
            "length 0 in row 0",
        ),
        (says(lambda data: [{**e, "embedding": "!"} for e in data]), EncoderError, "base64"),
        (says(lambda data: [e["embedding"] for e in data]), EncoderError, "key `embedding`"),
        (lambda _: reply({"error": "none"}), EncoderError, "base_url often ends in /v1"),
        (lambda _: reply({"status": "up"}), EncoderMisconfigured, "got the keys status"),
        (lambda _: reply({"data": {}}), EncoderMisconfigured, "got the keys data"),
        (lambda _: reply([1, 2]), EncoderMisconfigured, "a list under the key `data`"),
    ],
)
def test_an_unusable_answer_is_refused_at_once(serve, step, kind, message):
    endpoint, encoder, waits = serve(step)
    with pytest.raises(kind, match=message) as caught:
        encoder.encode(TEXTS, "document")
    assert type(caught.value) is kind  # what is misconfigured is no fault of the items
    assert not caught.value.transient
    assert len(endpoint.asked) == 1
    assert waits == []


# failures that pass


def test_a_server_in_trouble_is_asked_again_with_growing_waits(serve):
    endpoint, encoder, waits = serve(fails(500), fails(503), fails(502))
    same(encoder)
    assert len(endpoint.asked) == 4
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 504, 529])
def test_statuses_that_pass_are_tried_again(serve, status):
    endpoint, encoder, waits = serve(fails(status))
    same(encoder)
    assert (len(endpoint.asked), waits) == (2, [1.0])


@pytest.mark.parametrize("body", [b"", b'{"data": [', b"<html>busy</html>", b"[" * 99_999])
def test_an_answer_cut_short_is_tried_again(serve, body):
    endpoint, encoder, waits = serve(lambda _: reply(body))
    same(encoder)
    assert (len(endpoint.asked), waits) == (2, [1.0])


def test_retry_after_in_seconds_goes_first(serve):
    _, encoder, waits = serve(fails(429, Retry_After="7"), fails(503, Retry_After="0"))
    same(encoder)
    assert waits == [7.0, 2.0]  # a wait of no length would use up all tries at once


def test_retry_after_as_a_date_goes_first(serve):
    date = "Thu, 01 Jan 1970 00:00:42 GMT"
    _, encoder, waits = serve(fails(429, Retry_After=date))
    same(encoder)
    assert waits == [42.0]


def test_a_server_that_asks_for_too_long_is_not_waited_for(serve):
    endpoint, encoder, waits = serve(fails(429, Retry_After="3600"))
    with pytest.raises(Throttled, match="HTTP 429") as caught:
        encoder.encode(TEXTS, "document")
    assert (caught.value.retry_after, caught.value.transient) == (3600.0, True)
    assert (len(endpoint.asked), waits) == (1, [])


@pytest.mark.parametrize(
    ("step", "kind", "asked"),
    [
        (fails(429), Throttled, None),
        (fails(429, Retry_After="2"), Throttled, 2.0),
        (fails(503, Retry_After="3"), Throttled, 3.0),
        (fails(503), EncoderUnavailable, None),
        (lambda _: reply(b"nonsense"), EncoderUnavailable, None),
    ],
)
def test_it_gives_up_after_so_many_tries(serve, step, kind, asked):
    endpoint, encoder, waits = serve(*[step] * 9)
    with pytest.raises(kind) as caught:
        encoder.encode(TEXTS, "document")
    assert type(caught.value) is kind
    assert caught.value.transient
    assert getattr(caught.value, "retry_after", None) == asked
    assert caught.value.__notes__ == ["Given up after 4 of 4 tries."]
    assert (len(endpoint.asked), len(waits)) == (4, 3)


@pytest.mark.parametrize("max_batch", [64, 1])
def test_a_wait_is_given_up_when_the_caller_says_stop(serve, max_batch):
    endpoint, encoder, waits = serve(*[fails(429, Retry_After="30")] * 3, max_batch=max_batch)
    with hearing(lambda: len(waits) >= 2), pytest.raises(Throttled):
        encoder.encode(TEXTS, "document")
    encoder.close()  # and with it what the other requests wait for
    assert set(waits) == {0.2}, "not the 30 seconds that were asked for"
    assert len(endpoint.asked) <= 3, "none was tried again"


def test_a_slow_server_is_unavailable(serve):
    endpoint, encoder, _ = serve(seconds=0.5, timeout=0.05, retry=Retry(tries=1))
    with pytest.raises(EncoderUnavailable, match=r"ReadTimeout.*0\.05 s \(timeout\)"):
        encoder.encode(TEXTS, "document")
    until = time.monotonic() + 240
    while not endpoint.asked:  # it may get to it only now
        assert time.monotonic() < until
        time.sleep(0.005)
    assert len(endpoint.asked) == 1


def test_a_slow_answer_is_followed_by_a_good_one(serve):
    waits, came = [], threading.Event()

    def slow(asked):
        came.set()
        time.sleep(0.5)
        return good(asked)

    def patient(seconds):
        """Only the first answer is too late, however busy the machine."""
        assert came.wait(240)
        waits.append(seconds)
        encoder._opened[0].timeout = 60.0

    retry = Retry(tries=4, first=1.0, sleep=patient, clock=lambda: 0.0, jitter=lambda: 1.0)
    endpoint, encoder, _ = serve(slow, timeout=0.1, retry=retry)
    same(encoder)
    assert (len(endpoint.asked), waits) == (2, [1.0])


@pytest.mark.parametrize(
    "host", ["a..b", "...", "a" * 70 + ".example", "xn--a", "", "[::1", "127.0.0.1:abc", "a\nb"]
)
def test_an_address_that_no_server_can_have_is_named_and_asked_once(host):
    waits = []
    encoder = HttpEncoder(f"http://{host}/v1", "toy", DIM, retry=Retry(sleep=waits.append))
    with encoder, pytest.raises(EncoderMisconfigured, match=r"expected an address, .*base_url"):
        encoder.encode(["a"], "query")
    assert waits == []


@pytest.mark.parametrize(
    ("variable", "value", "got"),
    [
        ("HTTP_PROXY", "nonsense://127.0.0.1:1", "ValueError: Unknown scheme"),
        ("HTTP_PROXY", "http://somebody:hun#ter2@127.0.0.1:1", "the address of a proxy"),
        ("SSL_CERT_FILE", "/nowhere/at/all.pem", "FileNotFoundError"),
    ],
)
def test_an_environment_in_which_nothing_can_be_asked_is_named(monkeypatch, variable, value, got):
    monkeypatch.setenv(variable, value)
    encoder = HttpEncoder("http://example.invalid/v1", "toy", DIM)
    with pytest.raises(EncoderMisconfigured, match=f"got {got}.*Check HTTP_PROXY") as caught:
        encoder.encode(["a"], "query")
    assert "hun" not in "".join(traceback.format_exception(caught.value))


def test_nobody_there_is_unavailable():
    waits = []
    retry = Retry(tries=2, first=1.0, sleep=waits.append, jitter=lambda: 0.0)
    with socket.socket() as taken:  # so that nobody else begins to listen there
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with (
            HttpEncoder(url, "toy", DIM, retry=retry) as encoder,
            pytest.raises(EncoderUnavailable, match="Is the server up") as caught,
        ):
            encoder.encode(TEXTS, "document")
    assert caught.value.transient
    assert waits == [0.5]


# failures that stay


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, EncoderError, "whether a text is empty or too long"),
        (413, EncoderError, "Lower max_batch"),
        (422, EncoderError, "Check model, dim and dimensions"),
        (401, EncoderMisconfigured, "environment variable named by token_env"),
        (402, EncoderMisconfigured, "no credit"),
        (403, EncoderMisconfigured, "may not use this model"),
        (404, EncoderMisconfigured, "Check base_url"),
        (405, EncoderMisconfigured, "Check base_url"),
        (307, EncoderMisconfigured, "where the server sends us"),
    ],
)
def test_a_status_that_stays_is_not_tried_again(serve, status, kind, advice):
    endpoint, encoder, waits = serve(fails(status, "the reason"))
    with pytest.raises(kind, match=f"HTTP {status}.*the reason.*{advice}") as caught:
        encoder.encode(TEXTS, "document")
    assert type(caught.value) is kind
    assert not caught.value.transient
    assert (len(endpoint.asked), waits) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 429, "message": "busy"}},
        {"error": {"code": "503", "message": "busy"}},
        {"error": {"status": 502, "message": "busy"}},
        {"error": "busy", "status_code": 500},
    ],
)
def test_a_gateways_good_answer_that_tells_of_trouble_is_asked_again(serve, body):
    endpoint, encoder, waits = serve(lambda _: reply(body))
    same(encoder)  # no item is blamed for it
    assert (len(endpoint.asked), waits) == (2, [1.0])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, EncoderMisconfigured),
        (400, EncoderError),
        (None, EncoderError),
        (True, EncoderError),
        (200, EncoderError),
        ("rate_limit", EncoderError),
        ("\u00b2", EncoderError),
        ("9" * 5_000, EncoderError),
    ],
)
def test_a_gateways_good_answer_is_judged_by_the_status_it_tells(serve, code, kind):
    endpoint, encoder, waits = serve(lambda _: reply({"error": {"code": code, "message": "no"}}))
    with pytest.raises(kind) as caught:
        encoder.encode(TEXTS, "document")
    assert type(caught.value) is kind
    assert (len(endpoint.asked), waits) == (1, [])


def test_an_empty_account_is_not_waited_for(serve):
    endpoint, encoder, _ = serve(lambda _: reply({"error": {"code": "insufficient_quota"}}, 429))
    with pytest.raises(EncoderMisconfigured, match="no credit"):
        encoder.encode(TEXTS, "document")
    assert len(endpoint.asked) == 1


def test_a_failing_part_fails_the_call(serve):
    _, encoder, _ = serve(good, fails(400), max_batch=1)
    with pytest.raises(EncoderError, match="HTTP 400"):
        encoder.encode(TEXTS, "document")


def test_a_long_message_is_cut(serve):
    _, encoder, _ = serve(fails(400, "long " * 1000))
    with pytest.raises(EncoderError) as caught:
        encoder.encode(TEXTS, "document")
    assert 200 < len(caught.value.got) < 230


def test_contents_that_are_not_text_are_refused(serve):
    endpoint, encoder, _ = serve()
    with pytest.raises(EncoderError, match="expected texts, got int at place 1"):
        encoder.encode(["a", 3], "document")
    with pytest.raises(EncoderError, match="surrogate pair at place 0"):
        encoder.encode(["\ud800"], "document")
    assert endpoint.asked == []


# the token


def test_the_token_is_sent_and_read_anew_for_each_request(serve, monkeypatch):
    endpoint, encoder, _ = serve(token_env="TOY_TOKEN")
    for token in (TOKEN, "another"):
        monkeypatch.setenv("TOY_TOKEN", f"{token}\n")
        same(encoder)
    assert [h["Authorization"] for h in endpoint.headers] == [f"Bearer {TOKEN}", "Bearer another"]


@pytest.mark.parametrize("value", [None, "", "  ", f"{TOKEN}\nX-Other: 1", f"{TOKEN}ä"])
def test_a_token_that_cannot_be_sent_is_named_by_its_variable(serve, monkeypatch, value):
    endpoint, encoder, _ = serve(token_env="TOY_TOKEN")
    monkeypatch.delenv("TOY_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("TOY_TOKEN", value)
    with pytest.raises(EncoderMisconfigured, match="TOY_TOKEN") as caught:
        encoder.encode(TEXTS, "document")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert endpoint.asked == []


@pytest.mark.parametrize("before", [0, 145])  # whole in the excerpt, and across its cut
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_the_token_is_in_no_text(serve, monkeypatch, caplog, status, before):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOY_TOKEN", TOKEN)
    echo = fails(status, "x" * before + f" you sent Bearer {TOKEN} to us")
    endpoint, encoder, _ = serve(*[echo] * 4, token_env="TOY_TOKEN")
    with pytest.raises(EncoderError) as caught:
        encoder.encode(TEXTS, "document")
    assert TOKEN in endpoint.headers[0]["Authorization"]
    assert "Bearer ***" in caught.value.got
    seen = [
        repr(encoder),
        str(encoder),
        repr(encoder.space),
        str(vars(encoder)),
        repr(caught.value),
        "".join(traceback.format_exception(caught.value)),
        caplog.text,
    ]
    for text in seen:
        assert TOKEN[:8] not in text
    assert "TOY_TOKEN" in repr(encoder)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{TOKEN}@host/v1",
        f"https://host/v1?key={TOKEN}",
        f"https://host/v1#{TOKEN}",
        "host/v1",
        "ftp://host/v1",
    ],
)
def test_an_address_that_may_carry_a_secret_is_refused_unrepeated(url):
    with pytest.raises(ConfigError, match=r"base_url.*token_env") as caught:
        HttpEncoder(url, "toy", DIM)
    assert TOKEN not in str(caught.value)


# many at once


def test_the_concurrency_limit_holds_over_all_threads(serve):
    met = threading.Event()

    def together(asked):
        """Waits for as many as there may be, however late a busy machine sends them."""
        if endpoint.most == 3:
            met.set()
        assert met.wait(240)
        return good(asked)

    endpoint, encoder, _ = serve(*[together] * 3, seconds=0.03, max_batch=1, concurrency=3)
    calls = [[f"text {i}-{j}" for j in range(4)] for i in range(4)]
    with ThreadPoolExecutor(8) as pool:
        # Single requests do not go through the encoder's own threads.
        lone = [pool.submit(encoder.encode, [f"lone {i}"], "query") for i in range(4)]
        made = list(pool.map(lambda texts: encoder.encode(texts, "document").array, calls))
    for texts, array in zip(calls, made, strict=True):
        np.testing.assert_allclose(array, rows(texts), rtol=1e-6, atol=1e-7)
    for i, future in enumerate(lone):
        np.testing.assert_allclose(future.result().array, rows([f"lone {i}"]), rtol=1e-6, atol=1e-7)
    assert len(endpoint.asked) == 20
    assert endpoint.most == 3


def test_a_query_goes_before_documents_that_wait(serve):
    """A backfill takes its place again as soon as it has given it away, and would keep it."""

    def until_a_query_waits(asked):
        until = time.monotonic() + 240
        while not encoder._turn._queries:
            assert time.monotonic() < until
            time.sleep(0.001)
        return good(asked)

    endpoint, encoder, _ = serve(until_a_query_waits, max_batch=1, concurrency=1)
    texts = [f"text {i}" for i in range(12)]
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(encoder.encode, texts, "document")
        while not endpoint.asked:
            time.sleep(0.001)
        encoder.encode(["kelp"], "query")
        np.testing.assert_allclose(made.result().array, rows(texts), rtol=1e-6, atol=1e-7)
    asked = [text for body in endpoint.asked for text in body["input"]]
    assert asked == ["text 0", "kelp", *texts[1:]]


def test_waiting_for_a_turn_is_not_a_time_out(serve):
    endpoint, encoder, waits = serve(seconds=0.2, concurrency=1, timeout=0.5)
    encoder.encode(["first"], "query")  # one connection is open from here on
    # Only a wait for a connection is still counted: a busy machine may stand still for a while.
    encoder._opened[0].timeout = httpx.Timeout(60.0, pool=0.5)
    asked = [[f"text {i}"] for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(encoder.encode, asked, ["query"] * 6))
    assert (len(made), len(endpoint.asked)) == (6, 7)
    assert waits == []


def test_one_at_a_time(serve):
    endpoint, encoder, _ = serve(seconds=0.01, max_batch=1, concurrency=1)
    same(encoder)
    assert endpoint.most == 1


def test_who_asks_while_another_closes_hears_that_it_may_pass(serve):
    endpoint, encoder, _ = serve(seconds=0.05, max_batch=1, concurrency=1)
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(encoder.encode, [str(n) for n in range(20)], "document")
        while not endpoint.asked:
            time.sleep(0.01)
        encoder.close()
        with pytest.raises(EncoderUnavailable, match=r"got close\(\) by another one"):
            asked.result()
    assert len(endpoint.asked) < 20
    same(encoder)


def test_a_closed_encoder_opens_again(serve):
    _, encoder, _ = serve(max_batch=1)
    same(encoder)
    encoder.close()
    encoder.close()
    same(encoder)


# settings


@pytest.mark.parametrize("option", ["max_batch", "concurrency", "timeout"])
def test_options_must_be_positive(option):
    with pytest.raises(ConfigError, match=f"{option}: expected more than 0.*, got 0"):
        HttpEncoder("http://host/v1", "toy", DIM, **{option: 0})


@pytest.mark.parametrize("retry", [3, {"tries": 3}, None])
def test_what_only_a_program_can_give_is_no_setting(retry):
    with pytest.raises(ConfigError, match=r"retry: expected a Retry, got a \w+"):
        HttpEncoder("http://host/v1", "toy", DIM, retry=retry)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, 86_401.0])
def test_a_time_that_no_clock_can_count_is_refused_at_once(seconds):
    with pytest.raises(ConfigError, match=r"timeout: expected .* 86,400 seconds at most"):
        HttpEncoder("http://host/v1", "toy", DIM, timeout=seconds)


@pytest.mark.parametrize("name", [TOKEN, "sk_0123456789abcdef", "", "A B"])
def test_a_token_in_the_place_of_its_variables_name_is_refused_unrepeated(name):
    with pytest.raises(ConfigError, match=r"token_env.*not repeated here") as caught:
        HttpEncoder("http://host/v1", "toy", DIM, token_env=name)
    assert not name or name not in str(caught.value)


def test_a_missing_httpx_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    encoder = HttpEncoder("http://host/v1", "toy", DIM)
    with pytest.raises(MissingExtra, match=r"pip install 'holdfast\[http\]'"):
        encoder.encode(TEXTS, "document")
