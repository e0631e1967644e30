"""The LlamaIndex drop-in: by values, through an index, and through an upgrade."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.errors import ConfigError, InvalidFilter, InvalidInput
from holdfast.items import Item
from tests.cli import toys
from tests.dropin.world import plain, upgrading

pytest.importorskip("llama_index.core")
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from holdfast.dropin.llama_index import HoldfastVectorStore, where_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TEXTS = [f"w{n} w{n + 1} w{n + 2}" for n in range(20)]


def nodes():
    made = []
    for n, text in enumerate(TEXTS):
        node = TextNode(
            text=text,
            id_=f"n{n}",
            metadata={"year": 2000 + n, "tags": ["a", "b"] if n % 2 else ["c"]},
            excluded_embed_metadata_keys=["year", "tags"],
        )
        book = RelatedNodeInfo(node_id=f"book-{n % 3}")
        node.relationships[NodeRelationship.SOURCE] = book
        made.append(node)
    return made


def order(model, query="w3 w4", rows=range(20)):
    rows = list(rows)
    scores = model([TEXTS[n] for n in rows]) @ model([query])[0]
    return [f"n{rows[i]}" for i in np.argsort(-scores, kind="stable")]


def ask(store, text="w3 w4", k=4, **more):
    return store.query(VectorStoreQuery(query_str=text, similarity_top_k=k, **more))


@pytest.fixture
def store():
    gallery = plain()
    store = HoldfastVectorStore(gallery)
    assert store.add(nodes()) == [f"n{n}" for n in range(20)]
    yield store
    gallery.close()


def test_nodes_are_found_and_come_back_whole(store):
    got = ask(store)
    assert got.ids == order(toys.old)[:4]
    assert got.similarities[0] == pytest.approx(
        float(toys.old([TEXTS[int(got.ids[0][1:])]])[0] @ toys.old(["w3 w4"])[0]), abs=1e-5
    )
    (node,) = store.get_nodes(["n5"])
    assert node.get_content() == TEXTS[5]
    assert node.metadata == {"year": 2005, "tags": ["a", "b"]}
    assert (node.node_id, node.ref_doc_id) == ("n5", "book-2")


def filters(*parts, condition=FilterCondition.AND):
    made = [MetadataFilter(key=k, operator=o, value=v) for k, o, v in parts]
    return MetadataFilters(filters=made, condition=condition)


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (filters(("year", "==", 2003)), [3]),
        (filters(("year", "!=", 2003)), [n for n in range(20) if n != 3]),
        (filters(("year", ">", 2015), ("year", "<=", 2018)), [16, 17, 18]),
        (filters(("year", ">=", 2018)), [18, 19]),
        (filters(("year", "<", 2002)), [0, 1]),
        (filters(("year", "in", [2001, 2002])), [1, 2]),
        (filters(("year", "nin", list(range(2001, 2020)))), [0]),
        (filters(("tags", "any", ["c", "x"])), range(0, 20, 2)),
        (filters(("tags", "all", ["a", "b"])), range(1, 20, 2)),
        (filters(("tags", "contains", "a")), range(1, 20, 2)),
        (filters(("year", "==", 2001), ("year", "==", 2002), condition="or"), [1, 2]),
        (filters(("year", ">", 2001), condition="not"), [0, 1]),
        (filters(("tags", "in", "c")), range(0, 20, 2)),
        (filters(("tags", "any", "cab")), []),  # a text, not its letters
        (filters(condition="or"), range(20)),
        (filters(condition="not"), range(20)),
    ],
)
def test_filters_mean_what_they_say(store, wanted, rows):
    assert ask(store, k=20, filters=wanted).ids == order(toys.old, rows=rows)


def test_metadata_that_the_text_would_hide_is_refused():
    gallery = plain()
    node = TextNode(text="w1 w2", id_="a", metadata={"text": "mine"})
    other = TextNode(text="w1 w2", id_="b")
    with pytest.raises(InvalidInput, match=r"without 'text', which keeps the text, got node 'a'"):
        HoldfastVectorStore(gallery).add([other, node])
    assert len(gallery) == 0
    store = HoldfastVectorStore(gallery, text="content")
    store.add([other, node])
    mine = MetadataFilters(filters=[MetadataFilter(key="text", value="mine")])
    assert [found.metadata for found in store.get_nodes(filters=mine)] == [{"text": "mine"}]
    gallery.close()


def test_nested_filters_and_ids_of_documents(store):
    inner = filters(("year", "<", 2003), ("year", ">", 2017), condition="or")
    nested = MetadataFilters(filters=[inner, *filters(("tags", "any", ["c"])).filters])
    assert ask(store, k=20, filters=nested).ids == order(toys.old, rows=[0, 2, 18])
    assert ask(store, k=20, doc_ids=["book-1"]).ids == order(toys.old, rows=range(1, 20, 3))
    assert ask(store, k=20, node_ids=["n4", "n8"]).ids == order(toys.old, rows=[4, 8])
    assert where_of(None) is None


def test_no_document_allowed_is_nothing_found(store):
    assert ask(store, doc_ids=[]).ids == []
    assert ask(store, node_ids=[]).ids == order(toys.old)[:4]  # as indexes ask for any node


def test_what_galleries_cannot_do_is_refused(store):
    with pytest.raises(InvalidFilter):
        where_of(filters(("text", FilterOperator.TEXT_MATCH.value, "w")))
    for word in ("and", "or", "not"):  # a field of that name, not what joins filters
        with pytest.raises(InvalidFilter, match=f"not named .*got '{word}'"):
            where_of(filters((word, ">", 3)))
    for sign in ("==", "!=", "contains"):  # a list is no one value, and not one of several
        wanted = filters(("tags", sign, ["a", "x"]))
        with pytest.raises(InvalidFilter, match=f"one value for '{sign}', .*'a', 'x'.*'any'"):
            ask(store, filters=wanted)
        with pytest.raises(InvalidFilter):
            store.delete_nodes(filters=wanted)
    assert len(store.client) == 20
    with pytest.raises(ConfigError, match="mode 'default'"):
        ask(store, mode=VectorStoreQueryMode.MMR)


def test_nodes_are_deleted_by_document_by_id_by_filter_and_all(store):
    store.delete("book-1")
    assert len(store.client) == 13
    store.delete_nodes(["n0", "gone"])
    assert not store.get_nodes(["n0"])
    store.delete_nodes(filters=filters(("year", ">", 2010)))
    assert {n.metadata["year"] for n in store.get_nodes()} == {2002, 2003, 2005, 2006, 2008, 2009}
    assert [n.node_id for n in store.get_nodes(["n2", "n3"], filters(("year", "==", 2003)))] == [
        "n3"
    ]
    store.clear()
    assert len(store.client) == 0


def test_one_id_is_no_list_of_its_letters(store):
    store.add([TextNode(text="w1", id_="n"), TextNode(text="w1", id_="5")])
    for call in (store.delete_nodes, store.get_nodes):
        with pytest.raises(InvalidInput, match="a sequence of ids, got one string"):
            call("n5")
    for asked in ({"node_ids": "n5"}, {"doc_ids": "book-1"}):
        with pytest.raises(InvalidInput, match="a sequence of ids, got one string"):
            ask(store, **asked)
    assert len(store.client) == 22


def test_deleting_without_a_word_of_what_deletes_nothing(store):
    for filtered in (None, filters()):
        with pytest.raises(InvalidInput, match=r"ids or filters, got neither.*clear\(\)"):
            store.delete_nodes(filters=filtered)
    store.delete_nodes([])
    assert len(store.client) == 20


def test_items_that_did_not_come_from_llama_index_are_nodes_too(store):
    store.client.upsert([Item("plain", "w3 w4", {"text": "w3 w4", "year": 1999})])
    got = ask(store, k=1)
    assert got.ids == ["plain"]
    assert (got.nodes[0].node_id, got.nodes[0].text) == ("plain", "w3 w4")
    assert got.nodes[0].metadata == {"year": 1999}
    assert store.get_nodes(["gone", "plain"])[0] == got.nodes[0]
    store.client.upsert([Item("numbers", "w3 w4", {"text": [3, "é"]}), Item("none", "w3 w4")])
    assert [node.text for node in store.get_nodes(["numbers", "none"])] == ['[3, "é"]', ""]


def test_who_found_a_node_may_write_into_it(store):
    store.client.upsert([Item("other", "w1", {"text": "w1", "tags": ["a"]})])
    for name in ("other", "n5"):
        store.get_nodes([name])[0].metadata["tags"].append("c")
        assert "c" not in store.get_nodes([name])[0].metadata["tags"]


def test_a_vector_of_ones_own_asks_where_the_text_is_empty(store):
    vector = toys.old(["w3 w4"])[0].tolist()
    asked = {"similarity_top_k": 4, "query_embedding": vector}
    for text in ("", None):
        got = store.query(VectorStoreQuery(query_str=text, **asked))
        assert got.ids == order(toys.old)[:4]
    assert store.query(VectorStoreQuery(query_str="w9 w10", **asked)).ids != got.ids


def test_a_node_deleted_while_it_is_found_is_left_out(store, monkeypatch):
    gallery, search = store.client, store.client.search

    def late(*asked, **more):
        hits = search(*asked, **more)
        gallery.delete([hits.ids[0, 1]])
        return hits

    monkeypatch.setattr(gallery, "search", late)
    wanted = order(toys.old)[:4]
    got = ask(store)
    assert got.ids == [wanted[0], *wanted[2:]] == [node.node_id for node in got.nodes]
    assert len(got.similarities) == 3
    monkeypatch.undo()
    assert [node.node_id for node in store.get_nodes(wanted)] == got.ids


def test_an_index_over_it_needs_no_model_of_its_own_and_lives_through_an_upgrade(tmp_path):
    gallery, engine = upgrading(tmp_path)
    store = HoldfastVectorStore(gallery)
    index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(1))
    index.insert_nodes(nodes())
    retriever = index.as_retriever(similarity_top_k=3)

    def asked():
        return [found.node.node_id for found in retriever.retrieve("w3 w4")]

    assert asked() == order(toys.old)[:3]
    engine.run(0.5)
    assert len(set(asked())) == 3
    engine.run()
    engine.cut_over()
    assert asked() == order(toys.new)[:3]
    vector = toys.new(["w3 w4"])[0].tolist()
    by = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=3))
    assert by.ids == order(toys.new)[:3]
    index.delete_ref_doc("book-0")
    assert len(gallery) == 13
    gallery.close()
