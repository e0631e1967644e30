"""When a request is tried again, and after how long."""

import pytest

from holdfast.encode.retry import Retry
from holdfast.errors import InvalidInput

HALF = {"jitter": lambda: 0.0}
FULL = {"jitter": lambda: 1.0}


def test_waits_double_up_to_the_longest():
    retry = Retry(tries=9, first=0.5, longest=6.0, **FULL)
    assert [retry.wait(n, None) for n in range(1, 10)] == [0.5, 1, 2, 4, 6, 6, 6, 6, None]


def test_jitter_takes_up_to_half():
    assert Retry(first=4.0, **HALF).wait(1, None) == 2.0
    assert Retry(first=4.0, jitter=lambda: 0.5).wait(1, None) == 3.0


def test_many_tries_do_not_overflow():
    assert Retry(tries=10_000, **FULL).wait(9_000, None) == 60.0


def test_what_the_server_asks_for_goes_first_unless_too_long():
    retry = Retry(tries=3, longest=10.0)
    assert retry.wait(1, 10.0) == 10.0
    assert retry.wait(1, 10.1) is None
    assert retry.wait(3, 1.0) is None


def test_a_server_that_asks_for_no_wait_gets_the_usual_one():
    assert Retry(first=4.0, **FULL).wait(2, 0.0) == 8.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("١", None),
        ("1.5.2", None),
        ("9" * 400, None),
        ("1795318000000", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("120", 120.0),
        ("86400", 86_400.0),
        (" 2.5 ", 2.5),
        ("Sat, 03 Jan 1970 00:00:30 GMT", 30.0),
        ("Sat, 03 Jan 1970 01:00:30 +0100", 30.0),
        ("Sat, 03 Jan 1970 00:00:30 -0000", 30.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert Retry(clock=lambda: 2 * 86_400.0).read_after(header) == seconds


@pytest.mark.parametrize("options", [{"tries": 0}, {"first": -1.0}, {"longest": -1.0}])
def test_nonsense_is_refused(options):
    with pytest.raises(InvalidInput, match="at least 1 try and no negative time"):
        Retry(**options)
