"""The LangChain drop-in: by values, through an upgrade, and by LangChain's own suite."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import pytest

from holdfast.errors import ConfigError, EncoderUnavailable, InvalidInput, WrongSpace
from holdfast.items import Item
from holdfast.upgrade.sides.stage import Stage
from tests.cli import toys
from tests.dropin.world import plain, upgrading

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever

from holdfast.dropin.langchain import HoldfastVectorStore

TEXTS = [f"w{n} w{n + 1} w{n + 2}" for n in range(20)]


def best(model, query, texts, k):
    scores = model(texts) @ model([query])[0]
    order = np.argsort(-scores, kind="stable")[:k]
    return [(texts[i], pytest.approx(float(scores[i]), abs=1e-5)) for i in order]


@pytest.fixture
def store():
    gallery = plain()
    yield HoldfastVectorStore(gallery)
    gallery.close()


def test_texts_are_found_with_their_metadata(store):
    ids = store.add_texts(TEXTS, [{"even": n % 2 == 0} for n in range(20)])
    assert len(set(ids)) == 20
    found = store.similarity_search_with_score("w3 w4", k=4)
    assert [(d.page_content, s) for d, s in found] == best(toys.old, "w3 w4", TEXTS, 4)
    assert found[0][0].id == ids[TEXTS.index(found[0][0].page_content)]
    even = store.similarity_search("w3 w4", k=20, filter={"even": True})
    assert [d.metadata for d in even] == [{"even": True}] * 10
    assert [d.page_content for d in even] == [
        text for text, _ in best(toys.old, "w3 w4", TEXTS[::2], 10)
    ]


def test_a_chain_may_write_into_what_it_found(store):
    store.add_texts(["w1"], [{"tags": ["a"]}], ids=["d"])
    for (found,) in (store.similarity_search("w1", k=1), store.get_by_ids(["d"])):
        found.metadata["tags"].append("b")
    assert store.get_by_ids(["d"])[0].metadata == {"tags": ["a"]}
    assert store.similarity_search("w1", k=1, filter={"tags": "b"}) == []


def test_items_of_others_are_documents_whatever_their_field_holds(store):
    payloads = {"text": {"text": "w1"}, "number": {"text": 5}, "list": {"text": ["w"]}, "none": {}}
    store.gallery.upsert([Item(name, "w1", payload) for name, payload in payloads.items()])
    found = {one.id: one.page_content for one in store.similarity_search("w1", k=4)}
    assert found == {"text": "w1", "number": "5", "list": '["w"]', "none": ""}
    assert [one.id for one in store.get_by_ids(["", "list", "gone", "list"])] == ["list"]


def test_a_retriever_answers_the_same_through_the_whole_upgrade(tmp_path):
    gallery, engine = upgrading(tmp_path)
    store = HoldfastVectorStore(gallery)
    store.add_documents([Document(page_content=t, id=t) for t in TEXTS])
    retriever = store.as_retriever(search_kwargs={"k": 3, "key": "user-1"})
    assert isinstance(retriever, VectorStoreRetriever)

    def asked():
        return [d.page_content for d in retriever.invoke("w3 w4")]

    old = [text for text, _ in best(toys.old, "w3 w4", TEXTS, 3)]
    new = [text for text, _ in best(toys.new, "w3 w4", TEXTS, 3)]
    assert asked() == old
    engine.run(0.5)
    assert len(set(asked())) == 3
    store.add_texts(["w3 w4"], ids=["fresh"])
    assert asked()[0] == "w3 w4"
    assert store.delete(["fresh"]) is True
    engine.run()
    assert asked() == new
    engine.stage(Stage(tenants=("acme",)))
    assert asked() == old
    acme = store.similarity_search("w3 w4", k=3, tenant="acme")
    assert [d.page_content for d in acme] == new
    engine.cut_over()
    engine.finish()
    assert asked() == new
    gallery.close()


def test_the_log_says_where_one_model_answers_alone(tmp_path, caplog, monkeypatch):
    gallery, engine = upgrading(tmp_path)
    store = HoldfastVectorStore(gallery)
    store.add_texts(list(TEXTS), ids=list(TEXTS))
    engine.run(0.5)
    assert store.similarity_search("w3 w4", k=3)
    assert not caplog.records
    old = [text for text, _ in best(toys.old, "w3 w4", TEXTS, 3)]

    def fail(texts, role):
        raise EncoderUnavailable("new model", "an answer", "none")

    monkeypatch.setattr(gallery.new.encoder, "encode", fail, raising=False)
    assert [d.page_content for d in store.similarity_search("w3 w4", k=3)] == old
    (told,) = caplog.messages
    assert told == (
        "one model ranked all items: the new model gave no answer: new model: "
        "expected an answer, got none."
    )
    gallery.close()


def test_a_vector_belongs_to_the_one_space_that_is_read(tmp_path):
    gallery, engine = upgrading(tmp_path)
    store = HoldfastVectorStore(gallery)
    store.add_texts(TEXTS, ids=TEXTS)
    by = store.similarity_search_by_vector
    assert [d.id for d in by(toys.old(["w3 w4"])[0].tolist(), 3)] == [
        d.id for d in store.similarity_search("w3 w4", 3)
    ]
    engine.run(0.5)
    with pytest.raises(WrongSpace):
        by(toys.old(["w3 w4"])[0].tolist(), 3)
    engine.run()
    engine.stage(Stage(tenants=("acme",)))
    fresh = toys.new(["w3 w4"])[0].tolist()
    assert by(fresh, 3, tenant="acme") == store.similarity_search("w3 w4", 3, tenant="acme")
    with pytest.raises(WrongSpace):
        by(fresh, 3, tenant="other")
    engine.cut_over()
    assert [d.id for d in by(toys.new(["w3 w4"])[0].tolist(), 3)] == [
        d.id for d in store.similarity_search("w3 w4", 3)
    ]
    gallery.close()


def test_relevance_is_the_cosine_between_nought_and_one(store):
    store.add_texts(TEXTS, ids=TEXTS)
    scores = dict(
        store.similarity_search_with_score("w3 w4", 5)
        and [(d.id, s) for d, s in store.similarity_search_with_score("w3 w4", 5)]
    )
    told = store.similarity_search_with_relevance_scores("w3 w4", 5)
    assert [(d.id, r) for d, r in told] == [
        (name, pytest.approx((1 + score) / 2)) for name, score in scores.items()
    ]


def marginal(rows, query, k, share):
    """The greedy rule, one row after the other."""
    chosen = []
    while len(chosen) < k:
        worth = {
            n: share * float(rows[n] @ query)
            - (1 - share) * max((float(rows[n] @ rows[m]) for m in chosen), default=0.0)
            for n in range(len(rows))
            if n not in chosen
        }
        chosen.append(max(worth, key=worth.get))
    return chosen


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2])
def test_marginal_relevance_is_that_of_the_side_that_has_every_item(tmp_path, share):
    gallery, engine = upgrading(tmp_path)
    store = HoldfastVectorStore(gallery)
    store.add_texts(TEXTS, ids=TEXTS)
    kept = ["w3 w4 w5", "w4 w5 w6", "w2 w3 w4", "w15 w16 w17"]
    even = {"fetch_k": 20, "lambda_mult": share, "k": 4}

    def wanted(model):
        return [TEXTS[n] for n in marginal(model(TEXTS), model(["w3 w4"])[0], 4, share)]

    def asked():
        return [d.id for d in store.max_marginal_relevance_search("w3 w4", **even)]

    def by_vector(model):
        vector = model(["w3 w4"])[0].tolist()
        found = store.max_marginal_relevance_search_by_vector(vector, **even)
        return [d.id for d in found]

    assert asked() == by_vector(toys.old) == wanted(toys.old)
    engine.run(0.5)
    with gallery._gate.moving():  # a move is not waited for
        assert asked() == wanted(toys.old)
    with pytest.raises(WrongSpace):
        by_vector(toys.old)
    engine.run()
    engine.cut_over()
    assert asked() == by_vector(toys.new) == wanted(toys.new)
    assert len(store.max_marginal_relevance_search("w3 w4", k=30)) == 20
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 9})
    assert len(retriever.invoke("w3 w4")) == 2
    store.delete([text for text in TEXTS if text not in kept])
    assert {d.id for d in store.max_marginal_relevance_search("w3 w4", k=4)} == set(kept)
    gallery.close()


async def relevance_later(store, query, k):
    return await store.asimilarity_search_with_relevance_scores(query, k)


@pytest.mark.parametrize("mode", ["fused", "by_rank", "calibrated"])
def test_relevance_stays_a_cosine_while_two_sides_are_read(tmp_path, mode):
    gallery, engine = upgrading(tmp_path, mode)
    store = HoldfastVectorStore(gallery)
    store.add_texts(TEXTS, ids=TEXTS)
    engine.run(0.5)
    rows, query = toys.old(TEXTS), toys.old(["w3 w4"])[0]
    told = store.similarity_search_with_relevance_scores("w3 w4", 6)
    assert [d.id for d, _ in told] == [d.id for d in store.similarity_search("w3 w4", 6)]
    for document, relevance in told:
        cosine = float(rows[TEXTS.index(document.id)] @ query)
        assert relevance == pytest.approx((1 + cosine) / 2, abs=1e-5)
    assert asyncio.run(relevance_later(store, "w3 w4", 6)) == told
    limit = sorted(relevance for _, relevance in told)[2]
    near = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": limit, "k": 6}
    )
    assert [d.id for d in near.invoke("w3 w4")] == [d.id for d, r in told if r >= limit]
    gallery.close()


def test_a_document_deleted_while_it_is_found_is_left_out(store, monkeypatch):
    store.add_texts(TEXTS, ids=TEXTS)
    search, wanted = store.gallery.search, [d.id for d in store.similarity_search("w3 w4", 4)]

    def late(*asked, **more):
        hits = search(*asked, **more)
        store.gallery.delete([hits.ids[0, 1]])
        return hits

    monkeypatch.setattr(store.gallery, "search", late)
    assert [d.id for d in store.similarity_search("w3 w4", 4)] == [wanted[0], *wanted[2:]]
    monkeypatch.undo()
    assert [d.id for d in store.get_by_ids([*wanted, "gone"])] == [wanted[0], *wanted[2:]]


def test_what_cannot_be_is_refused(store):
    with pytest.raises(InvalidInput, match="metadata without 'text'"):
        store.add_texts(["a"], [{"text": "b"}])
    with pytest.raises(InvalidInput, match="one per text"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(InvalidInput, match="ids, got none"):
        store.delete()
    with pytest.raises(ConfigError, match="a gallery"):
        HoldfastVectorStore.from_texts(["a"])
    assert len(store.gallery) == 0


def test_a_mistyped_keyword_is_no_search_without_a_filter(store):
    store.add_texts(TEXTS, [{"even": n % 2 == 0} for n in range(20)], ids=TEXTS, batch_size=3)
    said = "keywords among k, filter, key, tenant, got filters. Did you mean filter?"
    for ask in (
        store.similarity_search,
        store.similarity_search_with_score,
        store.similarity_search_with_relevance_scores,
        store.max_marginal_relevance_search,
    ):
        with pytest.raises(InvalidInput) as refused:
            ask("w3 w4", k=4, filters={"even": True})
        assert said in str(refused.value)
    vector = toys.old(["w3 w4"])[0].tolist()
    for ask in (
        store.similarity_search_by_vector,
        store.max_marginal_relevance_search_by_vector,
    ):
        with pytest.raises(InvalidInput, match=r"got filters\. Did you mean filter"):
            ask(vector, k=4, filters={"even": True})
    retriever = store.as_retriever(search_kwargs={"k": 2, "tenent": "acme"})
    with pytest.raises(InvalidInput, match=r"got tenent\. Did you mean tenant"):
        retriever.invoke("w3 w4")
    with pytest.raises(InvalidInput, match="got score_threshold"):  # of another kind of retriever
        store.similarity_search("w3 w4", score_threshold=0.9)
    spread = {"k": 2, "fetch_k": 9, "lambda_mult": 0.5}  # which changes no answer of this kind
    assert store.similarity_search("w3 w4", **spread) == store.similarity_search("w3 w4", 2)


def test_a_mistyped_keyword_writes_and_deletes_nothing(store):
    with pytest.raises(InvalidInput, match=r"got metadata\. Did you mean metadatas"):
        store.add_texts(["a"], metadata=[{"page": 1}])
    with pytest.raises(InvalidInput, match=r"got id\. Did you mean ids"):
        HoldfastVectorStore.from_texts(["a"], None, gallery=store.gallery, id=["a"])
    assert len(store.gallery) == 0
    store.add_texts(TEXTS, ids=TEXTS)
    with pytest.raises(InvalidInput, match="got filter"):
        store.delete(TEXTS[:2], filter={"even": True})
    assert len(store.gallery) == 20


def test_one_text_or_id_is_no_list_of_its_letters(store):
    store.add_texts(["w1", "w2"], ids=["1", "2"])
    for call in (store.delete, store.get_by_ids):
        with pytest.raises(InvalidInput, match="a sequence of ids, got one string"):
            call("12")
    with pytest.raises(InvalidInput, match=r"a sequence of contents, got one str\. Put it in"):
        store.add_texts("w1 w2")
    assert [found.id for found in store.get_by_ids(["1", "2"])] == ["1", "2"]
    assert len(store.gallery) == 2


def test_from_documents_fills_a_gallery():
    gallery = plain()
    documents = [Document(page_content="w1 w2", metadata={"page": 7})]
    store = HoldfastVectorStore.from_documents(documents, None, gallery=gallery, text="body")
    (found,) = store.similarity_search("w1")
    assert (found.page_content, found.metadata) == ("w1 w2", {"page": 7})
    assert gallery.get([found.id]).payloads[0] == {"page": 7, "body": "w1 w2"}
    gallery.close()


if os.environ.get("LANGCHAIN_TESTS"):  # its plugins ask for settings that are not ours
    from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

    class TestStandard(VectorStoreIntegrationTests):
        """LangChain's own suite for vector stores.

        pip install langchain-tests
        LANGCHAIN_TESTS=1 pytest tests/dropin/test_langchain.py -W default \\
            -o asyncio_mode=auto -o filterwarnings=default
        """

        @pytest.fixture
        def vectorstore(self):
            gallery = plain()
            yield HoldfastVectorStore(gallery)
            gallery.close()
