"""What learned maps do between two real sentence models, beside the closed forms they must beat."""

from __future__ import annotations

import pytest

from holdfast.align.linear import Ridge
from holdfast.align.metric_compatible import MetricCompatible
from holdfast.align.mlp import ResidualMLP
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from tests.golden.test_bridge_golden import DATA, NEW, OLD, Set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / "embeddings").is_dir(),
        reason="needs ../shared/data/embeddings, which is absent",
    ),
]

# nDCG@10: new queries on the gallery mapped by the residual network; queries mapped by it,
# and by the metric-compatible map without labels, on the old gallery.
OURS = {"scifact": (0.472, 0.340, 0.363), "cranfield": (0.330, 0.294, 0.309)}


@pytest.mark.parametrize("name", OURS)
def test_a_network_helps_a_mapped_gallery_and_no_mapped_query(name):
    s = Set(name)

    def gallery(aligner):
        mapped = aligner.fit(s.old.array, s.new.array).transform(s.old.array)
        return s.ndcg(s.new_queries, as_vectors(mapped, NEW, "test"))

    def queries(aligner):
        mapped = aligner.fit(s.new.array, s.old.array).transform(s.new_queries.array)
        return s.ndcg(as_vectors(mapped, OLD, "test"), s.old)

    led = gallery(ResidualMLP())
    asked = [queries(aligner) for aligner in (ResidualMLP(), MetricCompatible())]
    assert [led, *asked] == pytest.approx(OURS[name], abs=0.015)
    assert led > gallery(Ridge()) - 0.005
    assert max(asked) < queries(Procrustes())
