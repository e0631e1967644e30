"""The store contract in executable form, for our stores and for yours.

A store that fulfils it can take either side of an upgrade. In one line:

    check_store(lambda space: MyStore(tempfile.mkdtemp(), space),
                reopen=lambda store, space: MyStore(store.folder, space))

or one test for each check and metric, under pytest:

    @pytest.mark.parametrize("check", store_checks(), ids=str)
    def test_contract(check, tmp_path):
        check(lambda space: MyStore(tmp_path / uuid4().hex, space), reopen)

Every answer is compared, by value, with that of the exact store in memory; ties may be
broken either way. A store that declares `limits.exact` false owes recall instead, and still
the true score of every id it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType, ModuleType

from ..contract import named, refuse_any
from ..errors import ContractBroken
from ..space import Metric, Space
from .checks import answering, filtering, hiding, indexing, lasting, reading, rejecting, writing
from .checks.bench import Bench, Make, Reopen

_FILES = (answering, writing, rejecting, reading, filtering, hiding, lasting, indexing)

# Check -> the limit a store must declare before it owes it.
_NEEDS = MappingProxyType(
    {
        **{name: "filters" for name in vars(filtering) if name.startswith("check_filter")},
        "check_filter_hidden": "filters",
        "check_index_filter": "filters",
        "check_index_reopen": "persistent",
        **{name: "persistent" for name in vars(lasting) if name.startswith("check_reopen")},
        "check_threads": "threads",
    }
)

# Long, and of no metric in particular: tried under the first one only.
_ONCE = ("check_large_batch",)


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about stores, under one metric.

    Args:
        function: Raises `ContractBroken` where the statement is false.
        metric: Metric of the space it is tried in.
    """

    function: Callable[[Bench], None]
    metric: Metric

    @property
    def name(self) -> str:
        """Name of the check, whatever the metric."""
        return self.function.__name__

    def __str__(self) -> str:
        return f"{self.name}[{self.metric}]"

    def __call__(
        self, make: Make, reopen: Reopen | None = None, *, dim: int = 16, rows: int = 3000
    ) -> str | None:
        """Try it.

        Args:
            make: Makes a new, empty store of a space; called several times.
            reopen: Opens again what a closed store has left, as a store of the given space;
                only needed where `limits.persistent`.
            dim: Length of the vectors.
            rows: How many rows the checks of an index begin with: more than the store at hand
                compares one by one.
        Returns:
            Why the store does not owe this, or None where it was tried and holds.
        Raises:
            ContractBroken: The statement is false, or the store raised what nobody expects.
        """
        bench = Bench(make, Space(f"contract {self.metric}", dim, self.metric), reopen, rows)
        need = _NEEDS.get(self.name)
        with named(self), closing(bench):
            if need and not getattr(bench.limits, need):
                return f"limits.{need} is false"
            self.function(bench)
        return None


def store_checks(metrics: Sequence[Metric] = ("cosine", "dot", "euclidean")) -> list[Check]:
    """Every check under every metric it depends on."""
    return [
        Check(function, metric)
        for metric in metrics
        for file in _FILES
        for function in _checks_of(file)
        if metric == metrics[0] or function.__name__ not in _ONCE
    ]


def _checks_of(file: ModuleType) -> Iterator[Callable[[Bench], None]]:
    for name, value in vars(file).items():
        if name.startswith("check_") and value.__module__ == file.__name__:
            yield value


def check_store(
    make: Make,
    *,
    metrics: Sequence[Metric] = ("cosine", "dot", "euclidean"),
    reopen: Reopen | None = None,
    dim: int = 16,
    rows: int = 3000,
) -> dict[str, str]:
    """Run the whole contract and report every check that fails at once.

    Args:
        make: Makes a new, empty store of a space; called several times.
        metrics: Metrics the store claims to know.
        reopen: Opens again what a closed store has left, as a store of the given space;
            needed where `limits.persistent`.
        dim: Length of the vectors.
        rows: How many rows the checks of an index begin with: more than the store at hand
            compares one by one.
    Returns:
        Checks the store does not owe, with the reason.
    Raises:
        ContractBroken: One or more checks failed; the message names them all.
    Example:
        >>> from holdfast.store.memory import MemoryStore
        >>> sorted(set(check_store(MemoryStore, metrics=["dot"]).values()))
        ['limits.persistent is false']
    """
    failures: list[ContractBroken] = []
    skipped, checks = {}, store_checks(metrics)
    for check in checks:
        try:
            reason = check(make, reopen, dim=dim, rows=rows)
        except ContractBroken as broken:
            failures.append(broken)
        else:
            if reason:
                skipped[str(check)] = reason
    refuse_any("store", len(checks), failures)
    return skipped
