"""Figures of the diagnoses, and of shrinking a network."""

from __future__ import annotations

import numpy as np

from holdfast.align.shrink import merge_units
from holdfast.arrays import Vectors, as_vectors
from holdfast.measure.diagnose.attributes import attributes, information
from holdfast.measure.diagnose.columns import codes
from holdfast.measure.diagnose.neighbours import drift
from holdfast.measure.diagnose.severity import severities, severity
from holdfast.measure.diagnose.shortcut import shortcut
from holdfast.measure.slices import regressed, slice_findings
from holdfast.space import Space

from .reading_worlds import digits, intents, lsa, page, unit
from .record import Record


def shrinking(record: Record) -> None:
    """Iterative Feature Merging: a doubled network, and a trained one."""
    from sklearn.neural_network import MLPClassifier

    rng = np.random.default_rng(0)
    chain = [
        (rng.normal(size=(20, 128)), rng.normal(size=128)),
        (rng.normal(size=(128, 10)), rng.normal(size=10)),
    ]
    out = chain[1][0].copy()
    out[:64] /= 2
    wide = [
        (np.hstack([chain[0][0], chain[0][0][:, :64]]), np.r_[chain[0][1], chain[0][1][:64]]),
        (np.vstack([out, out[:64]]), chain[1][1]),
    ]
    small, rows = merge_units(wide, 1e-12), rng.normal(size=(500, 20))
    cell = "3 merging units, 192 of which 64 are doubles"
    record.add("units left", cell, len(small[0][1]), target="== 128", data="random network")
    gap = np.abs(_run(small, rows) - _run(chain, rows)).max()
    record.add("largest error", cell, gap, target="<= 1e-12", data="random network")
    images, labels = digits()
    x = images.reshape(len(images), -1)
    order = np.random.default_rng(0).permutation(len(x))
    kept, judged = order[:1_078], order[1_078:]
    net = MLPClassifier((128,), max_iter=300, random_state=0, alpha=1e-3).fit(x[kept], labels[kept])
    chain = list(zip(net.coefs_, net.intercepts_, strict=True))

    def right(layers):
        return (_run(layers, x[judged]).argmax(axis=1) == labels[judged]).mean()

    whole = right(chain)
    for beta in (0.1, 0.15, 0.2, 0.3):
        small = merge_units(chain, beta)
        width = len(small[0][1])
        size = np.linalg.norm(chain[0][0], axis=0) * np.linalg.norm(chain[1][0], axis=1)
        top = np.argsort(-size)[:width]
        cut = [(chain[0][0][:, top], chain[0][1][top]), (chain[1][0][top], chain[1][1])]
        cell = f"3 merging units, digits, 128 units, beta {beta}"
        aims = ("<= 83", ">= -0.005", ">= 0") if beta == 0.1 else ("", "", "")
        record.add("units left", cell, width, target=aims[0], data="digits")
        record.add(
            "accuracy over all units", cell, right(small) - whole, target=aims[1], data="digits"
        )
        record.add(
            "accuracy over as many by magnitude",
            cell,
            right(small) - right(cut),
            target=aims[2],
            data="digits",
        )


def _run(chain, rows):
    for weight, bias in chain[:-1]:
        rows = np.maximum(rows @ weight + bias, 0.0)
    return rows @ chain[-1][0] + chain[-1][1]


def shortcuts(record: Record) -> None:
    """Shortcut learning: the bias of models in a made world, and the probe on digits with a tag."""
    from sklearn.linear_model import LogisticRegression

    for ratio in (1, 64):
        found = {"linear": [], "three layers": []}
        for seed in range(3):
            rng = np.random.default_rng(seed)
            means = np.array([1.0364, 1.2816])  # normal quantiles of 0.85 and 0.9
            sides = rng.choice([-1.0, 1.0], 3_000)
            latent = sides[:, None] * means + rng.normal(size=(3_000, 2))
            turn = unit(rng.normal(size=(2, 100)))
            reach = np.array([np.sqrt(ratio), 1 / np.sqrt(ratio)])
            grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 40)] * 2), axis=-1).reshape(-1, 2)
            best = _reliance(np.sign(grid @ means), grid)  # the optimal reader of the latents
            for name, model in (
                ("linear", LogisticRegression(C=1e8, solver="newton-cg")),
                ("three layers", _deep(seed)),
            ):
                with np.errstate(all="ignore"):
                    model.fit((latent * reach) @ turn, sides)
                found[name].append(_reliance(model.predict((grid * reach) @ turn), grid) - best)
        for name, values in found.items():
            cell = f"4 bias of a {name} model, cue {ratio} times as available"
            aims = {
                ("linear", 1): "<= 0.03",
                ("linear", 64): "<= 0.03",
                ("three layers", 64): ">= 0.15",
            }
            value = abs(np.mean(values)) if name == "linear" else np.mean(values)
            record.add(
                "shortcut bias",
                cell,
                value,
                low=min(values),
                high=max(values),
                target=aims.get((name, ratio), ""),
                data="made, 3 seeds",
            )
    _tagged(record)


def _deep(seed: int):
    """Three hidden layers by plain gradient steps, as the bias is known to need."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (128, 128, 128), solver="sgd", learning_rate_init=0.01, max_iter=40, random_state=seed
    )


def _reliance(answers: np.ndarray, grid: np.ndarray) -> float:
    aligned = (answers[:, None] * np.sign(grid)).mean(axis=0)
    return float((aligned[0] - aligned[1]) / 2)


def _tagged(record: Record) -> None:
    """Digits with ten pixels that say the label nine times in ten; a newer model reads them."""
    from sklearn.neural_network import MLPClassifier

    images, labels = digits()
    for bright in (1.0, 4.0):
        rng = np.random.default_rng(0)
        tag = np.where(rng.random(len(labels)) < 0.9, labels, rng.integers(10, size=len(labels)))
        plain = images.reshape(len(images), -1)
        x = np.hstack([plain, bright * np.eye(10)[tag]])
        order = rng.permutation(len(x))
        kept, asked = order[:900], order[900:]
        rows = []
        for table in (plain, x):
            net = MLPClassifier((64,), max_iter=200, random_state=0).fit(table[kept], labels[kept])
            rows.append(np.maximum(table @ net.coefs_[0] + net.intercepts_[0], 0.0)[asked] + 1e-6)
        old, new = (
            as_vectors(r, Space(n, 64), "bench")
            for r, n in zip(rows, ("plain", "tagged"), strict=True)
        )
        probe = shortcut(old, new, labels[asked], tag[asked], "tag")
        cell = f"4 digits with a tag, {bright:g} times as bright"
        record.add("win rate of the tag before", cell, probe.old.value, data="digits")
        record.add("win rate of the tag after", cell, probe.new.value, data="digits")
        record.add(
            "change of R@1, which recall alone would show",
            cell,
            probe.recall.value,
            target=">= 0" if bright == 1.0 else "",
            data="digits",
        )
        record.add("alarm", cell, float(probe.alarm), target="== 1", data="digits")


def audits(record: Record) -> None:
    """OutRank: chance does not look like knowledge, whatever the number of codes."""
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(0)
    column = rng.integers(10, size=2_000)
    for cells in (2, 20, 200, 1_000):
        told = rng.integers(cells, size=2_000)
        cell = f"11 audit, random codes of {cells} values"
        record.add(
            "corrected information",
            cell,
            abs(information(told, column)),
            target="<= 0.01",
            data="made",
        )
        record.add("uncorrected, nats", cell, mutual_info_score(column, told), data="made")


def known(record: Record) -> None:
    """The audit and the probe on a real pair, in which nothing was planted."""
    old, new, intent, domain = lsa()
    words, _, _, test, texts = intents()
    kept = np.random.default_rng(0).permutation(np.flatnonzero(~test))[:1_500]  # as in `lsa`
    spaces = [
        Vectors(Space(n, t.shape[1]), t[:1_500]) for n, t in (("words", old), ("letters", new))
    ]
    cut = {"intent": intent[:1_500].tolist(), "domain": domain[:1_500].tolist()}
    cut |= {"length": [len(words[row]) for row in kept]}
    cut |= {"first word": [texts[row].split()[0] for row in kept]}
    numbers = {name: np.unique(v, return_inverse=True)[1] for name, v in cut.items()}
    columns = {name: found for name, v in cut.items() if (found := codes(v)) is not None}
    data = "CLINC150, words to letters"
    for one in attributes(*spaces, columns):
        cell = f"11 audit, {one.column}, {one.old:.3f} before"
        ends = {"low": one.change.low, "high": one.change.high}
        record.add("change of knowledge", cell, one.change.value, **ends, data=data)
        record.add("alarm", cell, float(one.lost), target="== 0", data=data)
    for cue in ("length", "first word"):
        probe = shortcut(*spaces, numbers["intent"], columns.get(cue, numbers[cue]), cue)
        cell = f"4 probe, {cue}, wins {probe.old.value:.3f} of conflicts before"
        ends = {"low": probe.rise.low, "high": probe.rise.high}
        record.add("change of its win rate", cell, probe.rise.value, **ends, data=data)
        record.add("alarm", cell, float(probe.alarm), target="== 0", data=data)


def trees(record: Record) -> None:
    """Insect-Foundation: severity on a tree of labels; and drift of a turned space."""
    old, new, intent, domain = lsa()
    tree = np.stack([np.unique(v, return_inverse=True)[1] for v in (domain, intent)], axis=1)
    rng = np.random.default_rng(0)
    random = rng.permutation(len(tree))
    near = np.arange(len(tree))
    for value in np.unique(tree[:, 0]):
        inside = np.flatnonzero(tree[:, 0] == value)
        near[inside] = rng.permutation(inside)
    values = severities(tree, tree[random])
    same = np.cumprod(tree == tree[random], axis=1)
    gap = abs(values.mean() - sum(1 - same[:, at].mean() for at in range(2)) / 2)
    data = "CLINC150, 10 domains of 15 intents"
    record.add(
        "mean severity less the sum over levels", "6 severity", gap, target="<= 1e-12", data=data
    )
    within = severities(tree, tree[near]).mean()
    record.add(
        "errors within a domain over random ones",
        "6 severity",
        within - values.mean(),
        target="<= 0",
        data=data,
    )
    spaces = [
        Vectors(Space(n, t.shape[1]), t[:2_000]) for n, t in (("words", old), ("letters", new))
    ]
    found = severity(*spaces, [tree[:2_000, 0], tree[:2_000, 1]])
    record.add("severity@1 before", "6 severity, words to letters", found.old.mean(), data=data)
    record.add("severity@1 after", "6 severity, words to letters", found.new.mean(), data=data)
    if found.lost is not None:
        record.add(
            "severity of lost answers", "6 severity, words to letters", found.lost.value, data=data
        )
    turn = np.linalg.qr(rng.normal(size=(96, 96)))[0].astype(np.float32)
    turned = Vectors(Space("turned", 96), spaces[0].array @ turn)
    record.add(
        "neighbours kept@10 by a turn",
        "5 drift",
        drift(spaces[0], turned).kept.value,
        target=">= 0.999",
        data=data,
    )
    kept = drift(*spaces)
    record.add("neighbours kept@10", "5 drift, words to letters", kept.kept.value, data=data)


def graphs(record: Record) -> None:
    """Graph patterns: monotone counts over the atlas of small graphs."""
    import networkx as nx

    atlas = [g for g in nx.graph_atlas_g() if len(g) > 1 and nx.is_connected(g)]
    compare = page("graph-patterns")["compare"]
    for size in (4, 5):
        queries = (
            [g for g in atlas if 3 <= len(g) <= 4]
            if size == 4
            else [g for g in atlas if len(g) == 5]
        )
        figures = compare(queries, [g for g in atlas if len(g) == 6])
        nodes = "3 and 4" if size == 4 else "5"
        cell = f"5 graph counts, queries of {nodes} nodes, {figures['pairs']:,} pairs"
        aims = ("== 1", ">= 0.99") if size == 4 else ("== 1", "")
        record.add("recall", cell, figures["all counts"][0], target=aims[0], data="graph atlas")
        record.add("precision", cell, figures["all counts"][1], target=aims[1], data="graph atlas")
        record.add(
            "precision of nodes and edges", cell, figures["nodes and edges"][1], data="graph atlas"
        )


def gates(record: Record) -> None:
    """Med-Gemini's lesson: three slices of twenty fall under a rising mean."""
    named = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = [f"s{number:02}" for number in range(20) for _ in range(60)]
        falls = {f"s{number:02}" for number in rng.permutation(20)[:3]}
        before = rng.random(1_200)
        change = np.array([-0.15 if label in falls else 0.08 for label in labels])
        after = before + change + 0.2 * rng.standard_normal(1_200)
        found = regressed(slice_findings(before, after, labels, "AP", "new/new"))
        named.append({f.slice.removeprefix("slice=") for f in found} == falls)
    record.add(
        "all three named, and no other, worlds of 20",
        "18 slices",
        sum(named),
        target=">= 18",
        data="made",
    )
