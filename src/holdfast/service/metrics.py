"""Figures for Prometheus: counted here, or read from the ledger when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from ..optional import need
from ..upgrade.record.records import State

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Name -> (key of what is read, what it says).
_GAUGES: Mapping[str, tuple[str, str]] = {
    "holdfast_items": ("items", "Items in the gallery"),
    "holdfast_rows_done": ("done", "Items of the upgrade that have moved"),
    "holdfast_rows_failed": ("quarantined", "Items of the upgrade that are quarantined"),
    "holdfast_rows_lag": ("todo", "Items of the upgrade that are still to move"),
    "holdfast_share": (
        "share",
        "Part of the gallery, or in stages of the traffic, that reads the new side",
    ),
    "holdfast_rows_per_second": ("rate", "Items that move a second"),
    "holdfast_cost_spent": ("spent", "Estimated cost of the items that have moved"),
    "holdfast_cost_left": ("left", "Estimated cost of the items that are still to move"),
    "holdfast_watch_sampled": ("sampled", "Live queries that the status quo answered too"),
    "holdfast_watch_breach": ("breach", "1 while a breach stands"),
    "holdfast_disk_free_bytes": ("room", "Free bytes on the disk of the gallery"),
    "holdfast_tokens_spent": ("tokens", "Estimated tokens of the items that have moved"),
}


class Metrics:
    """Counts what the service does.

    Args:
        read: Answers the figures of `_GAUGES` by key; those that are not known are left out.
    """

    def __init__(self, read: Callable[[], Mapping[str, Any]]) -> None:
        prometheus = need("prometheus_client")
        self._prometheus, self._read = prometheus, read
        self._registry = prometheus.CollectorRegistry()
        kept = {"registry": self._registry}
        self._searches = prometheus.Counter(
            "holdfast_searches", "Calls of search, by the side that answered", ["side"], **kept
        )
        self._queries = prometheus.Counter(
            "holdfast_queries", "Queries in these calls", ["side"], **kept
        )
        self._alone = prometheus.Counter(
            "holdfast_searches_alone",
            "Calls of search that one model of two answered alone, since the other did not",
            **kept,
        )
        self._seconds = prometheus.Histogram(
            "holdfast_search_seconds",
            "Seconds that a call of search took, encoding included",
            ["side"],
            buckets=_BUCKETS,
            **kept,
        )
        self._writes = prometheus.Counter(
            "holdfast_writes", "Items that were written", ["kind"], **kept
        )
        self._requests = prometheus.Counter(
            "holdfast_requests",
            "Requests, by the status they were answered with",
            ["status"],
            **kept,
        )
        for side in ("old", "both", "new"):
            self._searches.labels(side)
            self._seconds.labels(side)
        gauge = need("prometheus_client.core").GaugeMetricFamily
        self._registry.register(_Read(gauge, read))

    def searched(self, side: str, queries: int, seconds: float, alone: bool) -> None:
        """One call of search.

        Args:
            side: That was read.
            queries: In it.
            seconds: That it took.
            alone: Whether one model stood in for the other.
        """
        self._searches.labels(side).inc()
        self._alone.inc(alone)
        self._queries.labels(side).inc(queries)
        self._seconds.labels(side).observe(seconds)

    def wrote(self, kind: str, items: int) -> None:
        """One write: "upserted" or "deleted"."""
        self._writes.labels(kind).inc(items)

    def answered(self, status: int) -> None:
        """One request."""
        self._requests.labels(str(status)).inc()

    def text(self) -> tuple[bytes, str]:
        """All of them, and their media type."""
        out: bytes = self._prometheus.generate_latest(self._registry)
        return out, str(self._prometheus.CONTENT_TYPE_LATEST)


class _Read:
    """Collects what is read at the moment of asking."""

    def __init__(self, gauge: Any, read: Callable[[], Mapping[str, Any]]) -> None:
        self._gauge, self._read = gauge, read

    def describe(self) -> list[Any]:
        return []  # so that registering reads nothing

    def collect(self) -> list[Any]:
        gauge = self._gauge
        known = self._read()
        found = [
            gauge(name, told, value=float(known[key]))
            for name, (key, told) in _GAUGES.items()
            if known.get(key) is not None
        ]
        state = gauge("holdfast_state", "1 for the state of the latest upgrade", labels=["state"])
        for name in get_args(State):
            state.add_metric([name.replace(" ", "_")], float(known.get("state") == name))
        return [*found, state]
