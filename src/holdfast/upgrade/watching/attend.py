"""What attends an engine: the audit's gate, and the watch over live searches."""

from __future__ import annotations

from collections.abc import Callable

from ...measure.judgements import Judgements
from ..config import Config
from ..engine import Engine
from .verdict import verdict
from .watch import Watch


def attended(
    engine: Engine, config: Config, judgements: Callable[[], Judgements | None], by: str
) -> Engine:
    """The same engine, whose commands are audited with the gate's word, and watched.

    One watch lasts as long as the gallery is open, whichever engine it acts on.

    Args:
        engine: Of the upgrade under way.
        config: Has the gate and what is watched.
        judgements: Queries with known answers, if there are any.
        by: Who gives commands that do not say.
    """
    gallery, ledger = engine.gallery, engine.gallery.ledger
    engine.audit.who = by
    if gallery.follower is not None:
        gallery.follower.start()
    if config.gate and ledger is not None:
        engine.audit.gate = lambda: verdict(config.gate, ledger)
    if isinstance(gallery.watch, Watch):
        gallery.watch.engine = engine
    elif config.watch is not None:
        Watch(gallery, engine, config.watch, judged_texts(judgements()))
    return engine


def judged_texts(judgements: Judgements | None) -> dict[str, frozenset[str]]:
    """Relevant ids by the text of each judged query."""
    if judgements is None or judgements.texts is None:
        return {}
    pairs = zip(judgements.query_ids, judgements.texts, strict=True)
    return {
        text: frozenset(name for name, grade in judgements.qrels[query].items() if grade > 0)
        for query, text in pairs
    }
