"""Small worlds in which it is known which model is better, and why.

Items and queries have a true place. A model sees it through a rotation of its own, with some
noise: of documents, of queries. A query's answers are the documents nearest to its true place.
"""

import numpy as np

from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.upgrade.foresight.unseen import Known

DIM = 16
OLD, NEW = Space("old", DIM), Space("new", DIM)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class World:
    """Two models of one truth.

    Args:
        old: Noise of the old model: of documents, of queries.
        new: Of the new one.
    """

    def __init__(self, old, new, queries=150, count=1_500, seed=0):
        random = np.random.default_rng(seed)
        middles = unit(random.normal(size=(40, DIM)))
        truth = unit(
            middles[random.integers(0, 40, count)] + 0.25 * random.normal(size=(count, DIM))
        )
        own = random.choice(count, queries, replace=False)
        asked = unit(truth[own] + 0.03 * random.normal(size=(queries, DIM)))
        self.relevant = np.zeros((queries, count), dtype=bool)
        near = np.argsort(-(asked @ truth.T), axis=1)[:, :3]
        np.put_along_axis(self.relevant, near, True, axis=1)
        self.tables = []
        for space, (of_docs, of_queries) in ((OLD, old), (NEW, new)):
            turn = np.linalg.qr(random.normal(size=(DIM, DIM)))[0]
            rows = (
                unit((x + noise * random.normal(size=x.shape)) @ turn)
                for x, noise in ((truth, of_docs), (asked, of_queries))
            )
            self.tables.append([as_vectors(x, space, "world") for x in rows])

    def known(self, rows):
        (old_docs, old_queries), (new_docs, new_queries) = self.tables
        rows = np.asarray(rows)
        return Known(old_queries, new_queries, old_docs, rows, new_docs.take(rows), self.relevant)

    @property
    def old(self):
        docs, queries = self.tables[0]
        return queries.array @ docs.array.T

    @property
    def new(self):
        docs, queries = self.tables[1]
        return queries.array @ docs.array.T

    def judge(self, places):
        """R@10 by hand."""
        found = np.take_along_axis(self.relevant, places[:, :10], axis=1).sum(axis=1)
        return found / self.relevant.sum(axis=1)
