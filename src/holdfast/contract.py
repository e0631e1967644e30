"""Contract suites: how a check, and a whole suite of them, says what does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .errors import ContractBroken


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
    except ContractBroken as broken:
        who = f"{check}: {broken.who}"
        raise ContractBroken(who, broken.expected, broken.got, broken.fix) from broken
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
