"""What a fresh process finds after a kill, held against what the writers noted.

python -m bench.crash_check FOLDER SEED opens the gallery (which recovers), reads every row
of both stores, and prints one JSON object of counts; all but `state`, `items` and
`searched` should be 0. Calls that were cut off may have happened or not: what is found is
noted for the writers, who go on from there.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.hits import Hits
from holdfast.items import Item
from holdfast.store.base import VectorStore
from holdfast.upgrade.gallery import Gallery

from .crash_world import OUTSIDE, WRITERS, Call, HashEncoder, Log, World, item, outside, put

MISTAKES = (
    "lost",  # an acknowledged item that is not there, or that searches do not read
    "resurrected",  # a row of an item whose deletion was acknowledged
    "stale",  # a row of another version than the last acknowledged one
    "wrong space",  # a vector that is not its own row's text in its store's space
    "twice",  # an item that both sides show while both are read, or that a scan repeats
    "half a batch",  # a call cut off that happened to some of its items only
    "not found",  # an item that a search for its own text does not put first
)


@dataclass
class Row:
    """A row as it is stored."""

    version: int
    revision: int
    hidden: bool
    astray: bool = False  # its vector is not its own text's


def rows_of(store: VectorStore, encoder: HashEncoder, bad: Counter[str]) -> dict[str, Row]:
    """Every row; its vector is compared with what its own text encodes to."""
    found: dict[str, Row] = {}
    after: str | None = None
    while True:
        page = store.scan(after, 2000, vectors=True)
        rows = page.rows
        texts = [str(payload["text"]) for payload in rows.payloads]
        if rows.vectors is not None and texts:
            gap = np.abs(rows.vectors.array - encoder.encode(texts, "query").array).max(axis=1)
            astray = gap > 1e-5
        for i, name in enumerate(rows.ids):
            bad["twice"] += name in found
            version = int(rows.payloads[i]["version"])
            bad["wrong space"] += texts[i] != item(name, version).content
            found[name] = Row(
                version, int(rows.revisions[i]), bool(rows.hidden[i]), bool(astray[i])
            )
        after = page.after
        if after is None:
            shown = sum(not row.hidden for row in found.values())
            if (len(found), shown) != (len(store), store.visible):
                raise AssertionError(f"{len(store)}, {store.visible} rows; found {len(found)}")
            return found


def misplaced(old: dict[str, Row], new: dict[str, Row], pair: bool = False) -> int:
    """How many vectors are not their own row's text.

    One kind is none: the content of a row that others write may be newer than the payload of the
    gallery's row when it is embedded, and the follower then writes both anew. Where a rollback
    came between, the new side keeps such a row, hidden and outdated: it is never read, and made
    again by the next backfill, since its revision is not the old side's. In a pair, whose sides
    have one payload for both, each write after a rollback leaves such a row.
    """
    count = sum(row.astray for row in old.values())
    for name, row in new.items():
        outgrown = row.hidden and name in old and old[name].revision > row.revision
        count += row.astray and not (outgrown and (pair or name.startswith(OUTSIDE)))
    return count


def settle(known: dict[str, int], call: Call, kept: dict[str, Row], bad: Counter[str]) -> Any:
    """Bring `known` up to what became of a call cut off; answers that, for the log."""
    found = {name: kept[name].version if name in kept else None for name in call.ids}
    wanted = call.version if call.kind == "write" else None
    happened = {version == wanted for version in found.values()}
    for name, version in found.items():
        if version not in (wanted, known.get(name)):
            bad["stale"] += 1
    changed = [n for n in call.ids if known.get(n) != wanted]
    if len(happened) > 1 and any(found[n] == wanted for n in changed):
        bad["half a batch"] += 1
    for name, version in found.items():
        put(known, name, version)
    return found


def compare(
    known: dict[str, int], old: dict[str, Row], new: dict[str, Row], reads: str, bad: Counter[str]
) -> None:
    """Hold rows against what must be there; the old store keeps every item.

    After a rollback from stages the new side keeps its rows, visible and ever more outdated: nobody
    reads them, and the next upgrade takes none of them for its own before it has looked.
    """
    bad["resurrected"] += len(old.keys() - known.keys()) + len(new.keys() - known.keys())
    for name, version in known.items():
        row, other = old.get(name), new.get(name)
        shown_old = row is not None and not row.hidden
        shown_new = other is not None and not other.hidden
        bad["lost"] += row is None
        bad["stale"] += row is not None and row.version != version
        if shown_new and other is not None and reads != "old":
            same = row is not None and row.revision == other.revision
            bad["stale"] += other.version != version or not same
        if reads == "both":
            bad["twice"] += shown_old and shown_new
            bad["lost"] += not (shown_old or shown_new)
        else:
            bad["lost"] += not (shown_old if reads == "old" else shown_new)


def search(gallery: Gallery, known: dict[str, int], sample: int, bad: Counter[str]) -> int:
    """Search for items by their own text; answers how many a graph did not put first.

    What an approximate search passes over is asked for again among the rows of its key:
    an item that is not first there is not found at all.
    """
    names = random.sample(sorted(known), min(sample, len(known)))
    if not names:
        return 0
    texts = [item(name, known[name]).content for name in names]
    hits = gallery.search(texts, 10)
    passed = [i for i, name in enumerate(names) if not _first(hits, i, name)]
    for i in passed:
        again = gallery.search([texts[i]], 10, where={"key": names[i]})
        bad["not found"] += not _first(again, 0, names[i])
    bad["twice"] += sum(len(set(row[row != ""])) < (row != "").sum() for row in hits.ids)
    return len(passed)


def _first(hits: Hits, query: int, name: str) -> bool:
    best = hits.scores[query, 0]
    first = {n for n, score in hits.row(query) if score >= best - 1e-6}
    return name in first


def everything(content: str) -> list[Item]:
    """The table that others write into."""
    source = outside(content)
    items = source.scan(limit=10**9).items
    source.close()
    return items


def check(folder: Path, seed: int, sample: int = 400) -> dict[str, Any]:
    """Open, compare, note what became of open calls, close or, at odd seeds, just end."""
    random.seed(seed)
    world = World.load(folder)
    gallery = world.open(folder)
    followed = gallery.follower.catch_up() if gallery.follower is not None else 0
    bad: Counter[str] = Counter(dict.fromkeys(MISTAKES, 0))
    encoders = [HashEncoder(space) for space in world.spaces]
    assert gallery.new is not None
    old = rows_of(gallery.old.store, encoders[0], bad)
    new = rows_of(gallery.new.store, encoders[1], bad)
    bad["wrong space"] += misplaced(old, new, world.options.get("pair", False))
    known: dict[str, int] = {}
    open_calls = 0
    for number in range(WRITERS):
        log = Log(folder, number)
        mine, begun, _ = log.read(world.items)
        if begun is not None:
            log.note("S", settle(mine, begun, old, bad))
            open_calls += 1
        known |= mine
    if world.content:  # what was committed there is what must be here
        known |= {item.id: int(item.payload["version"]) for item in everything(world.content)}
    compare(known, old, new, gallery.reads, bad)
    passed = search(gallery, known, sample, bad)
    told = {
        "state": gallery.state,
        "share": gallery.share,
        "items": len(known),
        "cut off": open_calls,
        "followed": followed,
        "searched": min(sample, len(known)),
        "passed over": passed,
        **{name: int(count) for name, count in bad.items()},
    }
    if seed % 2 == 0:
        gallery.close()
    return told


if __name__ == "__main__":
    print(json.dumps(check(Path(sys.argv[1]), int(sys.argv[2]))), flush=True)
    os._exit(0)
