"""A gallery as a LlamaIndex vector store.

It takes queries as text and encodes them, and nodes, with the gallery's own models, so that a
change of models needs no change of the index. The text that was encoded is kept in the payload,
beside the node and its metadata: filters speak of the metadata's fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..errors import ConfigError, InvalidFilter, InvalidInput
from ..items import Item
from ..optional import need
from ..upgrade.gallery import Gallery
from .held import asked_by, distinct, held, searched, text_of

_types = need("llama_index.core.vector_stores.types")
_utils = need("llama_index.core.vector_stores.utils")
_schema = need("llama_index.core.schema")

_RANGES = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_SCALAR = ("==", "!=", "contains")
_WORDS = ("and", "or", "not")
_NODE, _REFERENCE, _CONTENT = "node_id", "ref_doc_id", "_node_content"


class HoldfastVectorStore(_types.BasePydanticVectorStore):  # type: ignore[misc, name-defined]
    """Searches and writes a gallery.

    Args:
        gallery: Open; whoever opened it closes it.
        text: The payload field that keeps the encoded text.
    """

    stores_text: bool = True
    is_embedding_query: bool = False
    flat_metadata: ClassVar[bool] = False

    def __init__(self, gallery: Gallery, text: str = "text") -> None:
        super().__init__()
        object.__setattr__(self, "_kept", (gallery, text))

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex keeps."""
        return "HoldfastVectorStore"

    @property
    def client(self) -> Gallery:
        """The gallery."""
        gallery: Gallery = self._kept[0]
        return gallery

    # writing

    def add(self, nodes: Sequence[Any], **_: Any) -> list[str]:
        """Insert or replace nodes; their own embeddings are not used.

        Raises:
            InvalidInput: Metadata under the name of the field that keeps the text.
        """
        items = [self._item(node) for node in nodes]
        self.client.upsert(items)
        return [item.id for item in items]

    def _item(self, node: Any) -> Item:
        if self._kept[1] in node.metadata:  # filters would not see it
            raise InvalidInput(
                "HoldfastVectorStore.add",
                f"metadata without {self._kept[1]!r}, which keeps the text",
                f"node {node.node_id!r} with it",
                "Name another field: HoldfastVectorStore(gallery, text='...').",
            )
        text = node.get_content(metadata_mode=_schema.MetadataMode.EMBED)
        told = _utils.node_to_metadata_dict(node, flat_metadata=False)
        payload = {**told, _NODE: node.node_id, self._kept[1]: text}
        return Item(node.node_id, text, payload)

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Remove the nodes of a document; looks at every item's payload."""
        self.client.delete(self.client.find({_REFERENCE: ref_doc_id}))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: Any = None, **_: Any
    ) -> None:
        """Remove nodes by id, by filter, or by both.

        Raises:
            InvalidInput: Neither: only `clear` removes every node.
        """
        if node_ids is None and (filters is None or not filters.filters):
            raise InvalidInput(
                "HoldfastVectorStore.delete_nodes", "ids or filters", "neither", "Or call clear()."
            )
        self.client.delete(self._named(node_ids, filters))

    def clear(self) -> None:
        """Remove every node."""
        self.client.delete(self.client.find(None))

    # reading

    def get_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """Nodes by id, by filter, or by both; absent ones are left out."""
        kept = held(self.client, self._named(node_ids, filters))
        return [self._node(name, payload) for name, payload in kept.items()]

    def _named(self, node_ids: list[str] | None, filters: Any) -> list[str]:
        """Ids that were asked for; those that are not there may be among them."""
        if node_ids is not None and filters is None:
            return distinct(node_ids, "nodes")
        passing = self.client.find(where_of(filters))
        if node_ids is None:
            return passing
        wanted = set(distinct(node_ids, "nodes"))
        return [name for name in passing if name in wanted]

    def _node(self, name: str, payload: Any) -> Any:
        """The node; of an item that did not come from LlamaIndex, one of its text and payload."""
        if _CONTENT in payload:
            return _utils.metadata_dict_to_node(dict(payload))
        text = text_of(payload, self._kept[1])
        metadata = {key: value for key, value in payload.items() if key != self._kept[1]}
        return _schema.TextNode(id_=name, text=text, metadata=metadata)

    def query(self, query: Any, key: str | None = None, tenant: str | None = None, **_: Any) -> Any:
        """The best nodes for a text, or for a vector of the one space that is read.

        Args:
            query: With `query_str`, or with `query_embedding` alone.
            key: Who asks, while a cut-over goes in stages.
            tenant: On whose behalf.
        Raises:
            ConfigError: Another mode than the default one.
            InvalidFilter: A filter that galleries do not know.
        """
        if query.mode != _types.VectorStoreQueryMode.DEFAULT:
            raise ConfigError("HoldfastVectorStore.query", "mode 'default'", repr(query.mode))
        parts = [where_of(query.filters)] if query.filters is not None else []
        # Indexes pass an empty list of nodes for no restriction; nobody passes one of documents.
        parts += [{_NODE: distinct(query.node_ids, "nodes")}] if query.node_ids else []
        if query.doc_ids is not None:
            parts.append({_REFERENCE: distinct(query.doc_ids, "documents")})
        where = {"and": parts} if parts else None
        asked, k = self._asked(query), query.similarity_top_k
        found = searched(self.client, asked, k, where, key, tenant)
        kept = held(self.client, [name for name, _ in found])
        row = [(name, score) for name, score in found if name in kept]
        return _types.VectorStoreQueryResult(
            nodes=[self._node(name, kept[name]) for name, _ in row],
            similarities=[score for _, score in row],
            ids=[name for name, _ in row],
        )

    def _asked(self, query: Any) -> Any:
        # Who asks with a vector of their own leaves the text empty.
        if query.query_str or (query.query_str is not None and query.query_embedding is None):
            return [query.query_str]
        return asked_by(self.client, query.query_embedding)


def where_of(filters: Any) -> dict[str, Any] | None:
    """LlamaIndex's filters as a gallery's.

    Raises:
        InvalidFilter: An operator that galleries do not know.
    """
    if filters is None:
        return None
    if not filters.filters:  # whatever the condition
        return {"and": []}
    parts = [where_of(f) if hasattr(f, "filters") else _one(f) for f in filters.filters]
    condition = filters.condition.value if filters.condition else "and"
    return {"not": {"or": parts}} if condition == "not" else {condition: parts}


def _one(wanted: Any) -> dict[str, Any]:
    key, value, sign = wanted.key, wanted.value, wanted.operator.value
    if key in _WORDS:  # it would be read as what joins filters, and pass something else
        raise InvalidFilter("filter", f"a field not named {', '.join(_WORDS)}", repr(key))
    if sign in _SCALAR and isinstance(value, list | tuple):  # it would pass any one of them
        fix = "Write 'in' or 'any' for one of these, 'all' for all of them."
        raise InvalidFilter(f"filter on {key}", f"one value for {sign!r}", repr(value), fix)
    if sign in _RANGES:
        return {key: {_RANGES[sign]: value}}
    known: dict[str, Any] = {
        "==": lambda: {key: value},
        "!=": lambda: {"not": {key: value}},
        "in": lambda: {key: _list(value)},
        "any": lambda: {key: _list(value)},
        "nin": lambda: {"not": {key: _list(value)}},
        "all": lambda: {"and": [{key: each} for each in _list(value)]},
        "contains": lambda: {key: value},
    }
    if sign not in known:
        raise InvalidFilter(f"filter on {key}", f"one of {', '.join(known)}", repr(sign))
    made: dict[str, Any] = known[sign]()
    return made


def _list(value: Any) -> list[Any]:
    """A text is one value, not the list of its letters."""
    return list(value) if isinstance(value, list | tuple) else [value]
