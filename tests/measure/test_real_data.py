"""Published figures of two real models on three real sets."""

from pathlib import Path

import numpy as np
import pytest

from holdfast.measure.judgements import Judgements
from holdfast.measure.ranking import parse
from holdfast.space import Space
from holdfast.store.memory import MemoryStore

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MODELS = {"old/old": ("wordllama256", 256), "new/new": ("minilm384", 384)}
FIGURES = {
    "scifact": {"old/old": 0.513, "new/new": 0.645},
    "cranfield": {"old/old": 0.328, "new/new": 0.382},
    "cosqa": {"old/old": 0.311, "new/new": 0.593},
}


@pytest.mark.skipif(not (DATA / "embeddings").is_dir(), reason=f"no real data at {DATA}")
@pytest.mark.parametrize("cell", MODELS)
@pytest.mark.parametrize("name", FIGURES)
def test_ndcg_of_two_models(name, cell):
    judgements = Judgements.from_files(
        DATA / name / "queries.jsonl.gz", DATA / name / "qrels-test.tsv", unanswerable="drop"
    )
    model, dim = MODELS[cell]
    with np.load(DATA / "embeddings" / f"{name}.npz") as arrays:
        row = {q: i for i, q in enumerate(arrays["query_ids"].tolist())}
        queries = arrays[f"{model}_queries"][[row[q] for q in judgements.query_ids]]
        store = MemoryStore(Space(model, dim))
        store.upsert(arrays["doc_ids"].tolist(), arrays[f"{model}_docs"])
    value = parse("nDCG@10").per_query(store.search(queries, 10), judgements).mean()
    assert value == pytest.approx(FIGURES[name][cell], abs=0.002)
