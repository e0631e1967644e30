"""The encoder contract in executable form, for our encoders and for yours.

In one line, where `make` makes the encoder anew and the contents are some it takes:

    check_encoder(make, ["first text", "second text", "third text"])

or one test for each check, under pytest:

    @pytest.mark.parametrize("check", encoder_checks(), ids=str)
    def test_contract(check):
        check(make, contents)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from ..arrays import FloatArray, Vectors, squared_norms
from ..contract import equal, named, refuse_any, refuses
from ..errors import ContractBroken, InvalidInput
from ..items import ROLES, Content, Role
from ..space import Space
from .base import Encoder

Make: TypeAlias = Callable[[], Encoder]

_FEWEST = 3  # contents with which the checks say something


@dataclass(frozen=True, slots=True)
class _Bench:
    """What the checks work with.

    Args:
        make: Makes the encoder.
        contents: Distinct contents.
        tolerance: Of numbers, relative to the length of a row: padding moves the last bits.
    """

    make: Make
    contents: list[Content]
    tolerance: float

    def rows(self, encoder: Encoder, contents: Sequence[Content], role: Role) -> FloatArray:
        """An answer, looked at from all sides."""
        made = encoder.encode(contents, role)
        what = f"encode of {len(contents)} as {role}"
        if not isinstance(made, Vectors):
            raise ContractBroken(what, "Vectors", type(made).__name__)
        equal(f"space of {what}", made.space, encoder.space)
        equal(f"shape of {what}", made.array.shape, (len(contents), encoder.space.dim))
        equal(f"dtype of {what}", made.array.dtype, np.dtype(np.float32))
        equal(f"row order of {what}", made.array.flags.c_contiguous, True)
        if not np.isfinite(made.array).all():
            raise ContractBroken(what, "finite numbers", "NaN or infinity")
        if encoder.space.metric == "cosine" and len(contents):
            worst = float(np.abs(squared_norms(made.array) - 1.0).max())
            if worst > 1e-4:
                raise ContractBroken(what, "unit rows under cosine", f"one off by {worst:.2g}")
        return made.array

    def same(self, what: str, got: FloatArray, expected: FloatArray) -> None:
        """Row by row within the tolerance."""
        length = np.sqrt(squared_norms(expected)) + 1e-12
        off = np.sqrt(squared_norms(got - expected)) / length
        worst = int(np.argmax(off)) if len(off) else 0
        if len(off) and off[worst] > self.tolerance:
            raise ContractBroken(
                what, f"rows within {self.tolerance:g}", f"row {worst} off by {off[worst]:.2g}"
            )


def check_form(bench: _Bench) -> None:
    """One finite float32 row for each content, unit under cosine, in both roles."""
    encoder = bench.make()
    for role in ROLES:
        bench.rows(encoder, bench.contents, role)


def check_space(bench: _Bench) -> None:
    """The space is the same for every copy of the encoder, before and after its work."""
    first, second = bench.make(), bench.make()
    before = first.space
    if not isinstance(before, Space):
        raise ContractBroken("space", "a Space", type(before).__name__)
    equal("space of a second copy", second.space, before)
    first.encode(bench.contents, "query")
    equal("space after encoding", first.space, before)


def check_empty(bench: _Bench) -> None:
    """No contents, no rows: (0, d)."""
    encoder = bench.make()
    for role in ROLES:
        bench.rows(encoder, [], role)


def check_deterministic(bench: _Bench) -> None:
    """The same contents give the same rows, again and from another copy."""
    encoder, other = bench.make(), bench.make()
    for role in ROLES:
        rows = bench.rows(encoder, bench.contents, role).copy()
        bench.same(f"{role} again", bench.rows(encoder, bench.contents, role), rows)
        bench.same(f"{role} of another copy", bench.rows(other, bench.contents, role), rows)


def check_order(bench: _Bench) -> None:
    """Rows come in the order of the contents, repeated ones included."""
    encoder, count = bench.make(), len(bench.contents)
    for role in ROLES:
        rows = bench.rows(encoder, bench.contents, role).copy()
        for places in (range(count)[::-1], [1, 0, 1, *range(2, count), 0], [count - 1] * 2):
            picked = [bench.contents[i] for i in places]
            got = bench.rows(encoder, picked, role)
            bench.same(f"{role} in another order", got, rows[list(places)])


def check_split(bench: _Bench) -> None:
    """How contents are split into calls does not matter."""
    for role in ROLES:
        rows = bench.rows(bench.make(), bench.contents, role).copy()
        for size in (1, 2, len(bench.contents) - 1):
            encoder = bench.make()
            starts = range(0, len(rows), size)
            parts = [bench.rows(encoder, bench.contents[s : s + size], role) for s in starts]
            bench.same(f"{role} in calls of {size}", np.concatenate(parts), rows)


def check_distinct(bench: _Bench) -> None:
    """Different contents do not all have one row."""
    rows = bench.rows(bench.make(), bench.contents, "document")
    if np.allclose(rows, rows[:1], atol=1e-6):
        raise ContractBroken("documents", "rows that differ", f"{len(rows)} equal ones")


def check_inputs_kept(bench: _Bench) -> None:
    """The caller's list and contents are left alone; a tuple will do."""
    encoder = bench.make()
    given = copy.deepcopy(bench.contents)
    kept = list(given)
    for role in ROLES:
        encoder.encode(given, role)
        if len(given) != len(kept) or any(a is not b for a, b in zip(given, kept, strict=True)):
            raise ContractBroken("the caller's list", "no change", "another list")
        equal("the caller's contents", given, bench.contents)
        bench.same(
            f"{role} of a tuple",
            bench.rows(encoder, tuple(given), role),
            bench.rows(encoder, given, role),
        )


def check_answers_kept(bench: _Bench) -> None:
    """An answer does not change when the encoder goes on, nor the encoder when it does."""
    encoder = bench.make()
    first = bench.rows(encoder, bench.contents, "document")
    kept = first.copy()
    encoder.encode(bench.contents[::-1], "document")
    if not np.array_equal(first, kept):
        raise ContractBroken("an earlier answer", "no change", "other numbers")
    if first.flags.writeable:
        first[:] = 0.0
        bench.same(
            "after an answer was overwritten",
            encoder.encode(bench.contents, "document").array,
            kept,
        )


def check_refusals(bench: _Bench) -> None:
    """An unknown role and a bare content are refused by name."""
    encoder = bench.make()
    unknown = cast("Any", "passage")
    refuses("an unknown role", InvalidInput, lambda: encoder.encode(bench.contents, unknown))
    refuses("nothing in that role", InvalidInput, lambda: encoder.encode([], unknown))
    refuses("one text for a list", InvalidInput, lambda: encoder.encode("one text", "query"))


def check_threads(bench: _Bench) -> None:
    """Threads may encode side by side."""
    encoder = bench.make()
    rows = {role: bench.rows(encoder, bench.contents, role).copy() for role in ROLES}
    count = len(bench.contents)

    def run(turn: int) -> None:
        role = ROLES[turn % 2]
        places = np.roll(np.arange(count), turn)
        got = bench.rows(encoder, [bench.contents[i] for i in places], role)
        bench.same(f"{role} beside other threads", got, rows[role][places])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(8)))


_CHECKS: tuple[Callable[[_Bench], None], ...] = (
    check_form,
    check_space,
    check_empty,
    check_deterministic,
    check_order,
    check_split,
    check_distinct,
    check_inputs_kept,
    check_answers_kept,
    check_refusals,
    check_threads,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about encoders.

    Args:
        function: Raises `ContractBroken` where the statement is false.
    """

    function: Callable[[_Bench], None]

    def __str__(self) -> str:
        return self.function.__name__

    def __call__(self, make: Make, contents: Sequence[Content], tolerance: float = 1e-4) -> None:
        """Try it.

        Args:
            make: Makes the encoder; called several times, and may answer one and the same.
            contents: Three or more distinct contents that the encoder takes.
            tolerance: How far a row may move when its batch changes, relative to its length.
        Raises:
            ContractBroken: The statement is false, or the encoder raised what nobody expects.
            InvalidInput: Too few contents, or the same one twice.
        """
        given = list(contents)
        if len(given) < _FEWEST or any(a == b for i, a in enumerate(given) for b in given[:i]):
            raise InvalidInput(
                "check_encoder", f"{_FEWEST} or more distinct contents", f"{len(given)}"
            )
        with named(self):
            self.function(_Bench(make, given, tolerance))


def encoder_checks(leave_out: Sequence[str] = ()) -> list[Check]:
    """Every check, but for the ones named: say why where you leave one out."""
    return [Check(function) for function in _CHECKS if function.__name__ not in leave_out]


def check_encoder(make: Make, contents: Sequence[Content], tolerance: float = 1e-4) -> None:
    """Run the whole contract and report every check that fails at once.

    Args:
        make: Makes the encoder; called several times, and may answer one and the same.
        contents: Three or more distinct contents that the encoder takes.
        tolerance: How far a row may move when its batch changes, relative to its length.
    Raises:
        ContractBroken: One or more checks failed; the message names them all.
    Example:
        >>> from holdfast.encode.callable import CallableEncoder
        >>> space = Space("letters", 2, metric="dot")
        >>> count = lambda texts: [[t.count("a"), len(t)] for t in texts]
        >>> check_encoder(lambda: CallableEncoder(space, count), ["banana", "kelp", "rock"])
    """
    failures: list[ContractBroken] = []
    for check in encoder_checks():
        try:
            check(make, contents, tolerance)
        except ContractBroken as broken:
            failures.append(broken)
    refuse_any("encoder", len(_CHECKS), failures)
