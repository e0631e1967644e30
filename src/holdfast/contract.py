"""Contract suites: what checks have in common, and how a suite of them says what does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .errors import ContractBroken, HoldfastError

_SHOWN = 200  # characters of a value


def broken(what: str, expected: object, got: object) -> ContractBroken:
    """The error of a check: what was looked at, what it must be, what it is."""
    return ContractBroken(what, _short(expected), _short(got))


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def equal(what: str, got: object, expected: object) -> None:
    """Two plain values must be equal."""
    if got != expected:
        raise broken(what, repr(expected), repr(got))


def refuses(what: str, kind: type[HoldfastError], action: Callable[[], object]) -> None:
    """The action must raise this error, or a kind of it."""
    try:
        action()
    except kind:
        return
    except HoldfastError as other:
        raise broken(what, kind.__name__, f"{type(other).__name__}: {other}") from other
    raise broken(what, kind.__name__, "no error")


@contextmanager
def named(check: object) -> Iterator[None]:
    """Let what goes wrong within be told of a check, by its name.

    Args:
        check: Whose words are its name.
    Raises:
        ContractBroken: The check's own, or in the place of an error that nobody expects.
    """
    try:
        yield
    except ContractBroken as error:
        who = f"{check}: {error.who}"
        raise ContractBroken(who, error.expected, error.got, error.fix) from error
    except Exception as cause:
        got = f"{type(cause).__name__}: {cause}".rstrip(".")
        raise ContractBroken(str(check), "no error", got, "See the cause above.") from cause


def refuse_any(kind: str, checks: int, failures: Sequence[ContractBroken]) -> None:
    """Tell of all checks that failed at once.

    Args:
        kind: Of the part that was checked.
        checks: How many there are.
        failures: Of those that failed.
    Raises:
        ContractBroken: There are any; the cause is the first.
    """
    if failures:
        got = f"{len(failures)} that fail:\n" + "\n".join(f"  {one}" for one in failures) + "\n"
        kept = f"all {checks} checks of the contract to hold"
        raise ContractBroken(kind, kept, got) from failures[0]
