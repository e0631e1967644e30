"""A gallery as a LangChain `VectorStore`, and so as a retriever.

The gallery's own models encode, so that a change of models needs no change of the chain. The text
of a document is kept in the payload, beside its metadata: filters speak of the metadata's fields.

LangChain hands on whatever keywords it is given. One that means nothing here is refused: a filter
that was mistyped must not be a search without one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ..arrays import FloatArray
from ..errors import ConfigError, InvalidInput
from ..items import Item, as_contents
from ..optional import need
from ..store.where import WhereLike
from ..upgrade.gallery import Gallery
from ..upgrade.search.routes import Routes
from .held import asked_by, distinct, held, in_one_space, searched, text_of

_vectorstores = need("langchain_core.vectorstores")
_utils = need("langchain_core.vectorstores.utils")
_documents = need("langchain_core.documents")
_run = need("langchain_core.runnables").run_in_executor

_SEARCH = ("k", "filter", "key", "tenant")
_IDLE = ("fetch_k", "lambda_mult", "batch_size")  # of another kind of retriever, or of `index`


class HoldfastVectorStore(_vectorstores.VectorStore):  # type: ignore[misc, name-defined]
    """Searches and writes a gallery.

    Args:
        gallery: Open; whoever opened it closes it.
        text: The payload field that keeps the text.
    """

    def __init__(self, gallery: Gallery, text: str = "text") -> None:
        self.gallery, self._text = gallery, text

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = None,  # noqa: ARG003 - the interface has it
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        gallery: Gallery | None = None,
        text: str = "text",
        **more: Any,
    ) -> HoldfastVectorStore:
        """Fill a gallery; `embedding` is not used, since the gallery has its models.

        Raises:
            ConfigError: No gallery.
            InvalidInput: An unknown keyword.
        """
        _refuse_unknown("from_texts", more, ("metadatas", "ids", "gallery", "text"))
        if gallery is None:
            raise ConfigError(
                "HoldfastVectorStore.from_texts", "a gallery", "none", "Pass gallery=..."
            )
        store = cls(gallery, text)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    # writing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **more: Any,
    ) -> list[str]:
        """Insert or replace texts; answers their ids, made up where there is none.

        Raises:
            InvalidInput: An unknown keyword, one text that is in no list, or not one of
                metadatas and ids for each text.
        """
        _refuse_unknown("add_texts", more, ("metadatas", "ids"))
        contents = as_contents(texts, "document", "HoldfastVectorStore.add_texts")
        told = metadatas if metadatas is not None else [{}] * len(contents)
        given = list(ids) if ids is not None else [None] * len(contents)
        if not len(contents) == len(told) == len(given):
            raise InvalidInput(
                "HoldfastVectorStore.add_texts",
                f"{len(contents)} metadatas and ids, one per text",
                f"{len(told)} and {len(given)}",
            )
        names = [name or str(uuid.uuid4()) for name in given]
        rows = zip(names, contents, told, strict=True)
        self.gallery.upsert(
            [Item(name, text, self._payload(text, more)) for name, text, more in rows]
        )
        return names

    def _payload(self, text: str, metadata: dict[str, Any] | None) -> dict[str, Any]:
        payload = dict(metadata or {})
        if self._text in payload:
            raise InvalidInput(
                "HoldfastVectorStore.add_texts",
                f"metadata without {self._text!r}, which keeps the text",
                f"{self._text} = {payload[self._text]!r}",
                "Name another field: HoldfastVectorStore(gallery, text='...').",
            )
        return {**payload, self._text: text}

    def delete(self, ids: list[str] | None = None, **more: Any) -> bool:
        """Remove documents; absent ids are fine, but without ids nothing is.

        Raises:
            InvalidInput: No ids, one that is in no list, or an unknown keyword.
        """
        _refuse_unknown("delete", more, ("ids",))
        if ids is None:
            raise InvalidInput("HoldfastVectorStore.delete", "ids", "none", "Name them.")
        self.gallery.delete(distinct(ids, "documents"))
        return True

    # reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Any]:
        """Documents by id; absent ones are left out."""
        kept = held(self.gallery, distinct(ids, "documents"))
        return [self._document(name, payload) for name, payload in kept.items()]

    def _document(self, name: str, payload: Any) -> Any:
        metadata = {key: value for key, value in payload.items() if key != self._text}
        text = text_of(payload, self._text)
        return _documents.Document(id=name, page_content=text, metadata=metadata)

    def similarity_search(self, query: str, k: int = 4, **more: Any) -> list[Any]:
        """The k best documents; takes what `similarity_search_with_score` takes."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **more)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: WhereLike = None,  # noqa: A002 - the interface calls it so
        key: str | None = None,
        tenant: str | None = None,
        **more: Any,
    ) -> list[tuple[Any, float]]:
        """The k best documents with their scores, higher is better.

        Args:
            query: Text.
            k: At least 1.
            filter: Over the metadata, see `store/where.py`.
            key: Who asks, while a cut-over goes in stages.
            tenant: On whose behalf.
            more: Nothing but what another kind of search takes, which says nothing here.
        Raises:
            InvalidInput: An unknown keyword.
        """
        _refuse_unknown("similarity_search", more, _SEARCH)
        return self._found(searched(self.gallery, [query], k, filter, key, tenant))

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: WhereLike = None,  # noqa: A002 - the interface calls it so
        key: str | None = None,
        tenant: str | None = None,
        **more: Any,
    ) -> list[Any]:
        """The k best documents for a vector of the space that is read.

        Raises:
            InvalidInput: An unknown keyword.
            WrongSpace: Two sides are read: a bare vector does not say which it belongs to.
        """
        _refuse_unknown("similarity_search_by_vector", more, _SEARCH)
        asked = asked_by(self.gallery, embedding)
        row = searched(self.gallery, asked, k, filter, key, tenant)
        return [document for document, _ in self._found(row)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **more: Any,
    ) -> list[Any]:
        """Documents near the query and unlike each other, out of the fetch_k best.

        While two sides are read, the old model's vectors say what is near and what is alike.

        Args:
            query: Text.
            k: How many.
            fetch_k: How many are looked at.
            lambda_mult: 1 counts only how near a document is, 0 only how unlike the others.
            more: What `similarity_search_with_score` takes.
        """
        found = self.similarity_search(query, max(k, fetch_k), **more)
        return self._spread(found, [query], k, lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **more: Any,
    ) -> list[Any]:
        """The same for a vector of the space that is read.

        Raises:
            WrongSpace: Two sides are read: a bare vector does not say which it belongs to.
        """
        found = self.similarity_search_by_vector(embedding, max(k, fetch_k), **more)
        return self._spread(found, asked_by(self.gallery, embedding), k, lambda_mult)

    def _spread(self, found: list[Any], asked: Any, k: int, lambda_mult: float) -> list[Any]:
        query, there, rows = self._vectors(found, asked)
        places = _utils.maximal_marginal_relevance(query, list(rows), lambda_mult, k)
        return [there[place] for place in places]

    def _vectors(self, found: list[Any], asked: Any) -> tuple[FloatArray, list[Any], FloatArray]:
        """(d,) of the query, documents that are still there, and (n, d) of theirs, in one space."""
        by_id = {document.id: document for document in found}
        side, there, rows = in_one_space(self.gallery, list(by_id))
        query = Routes(self.gallery.old, self.gallery.new, asked).into(side).array[0]
        return query, [by_id[name] for name in there], rows

    def _found(self, row: list[tuple[str, float]]) -> list[tuple[Any, float]]:
        documents = {document.id: document for document in self.get_by_ids([n for n, _ in row])}
        return [(documents[name], score) for name, score in row if name in documents]

    # relevance

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **more: Any
    ) -> list[tuple[Any, float]]:
        return self._relevance(query, self.similarity_search_with_score(query, k, **more))

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **more: Any
    ) -> list[tuple[Any, float]]:
        work = self._similarity_search_with_relevance_scores
        made: list[tuple[Any, float]] = await _run(None, work, query, k, **more)
        return made

    def _relevance(self, query: str, scored: list[tuple[Any, float]]) -> list[tuple[Any, float]]:
        """The cosines as relevance; while two sides are read those of the old model, since the
        scores of two models that were merged are no cosines.
        """
        told = self._select_relevance_score_fn()
        if self.gallery.reads != "both" or not scored:
            return [(document, told(score)) for document, score in scored]
        asked, there, rows = self._vectors([document for document, _ in scored], [query])
        cosines = (rows @ asked).tolist()
        return [(document, told(one)) for document, one in zip(there, cosines, strict=True)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Scores of a cosine as relevance in [0, 1]."""
        for side in filter(None, (self.gallery.old, self.gallery.new)):
            if side.space.metric != "cosine":
                fix = "Use scores as they are."
                raise ConfigError("relevance scores", "a cosine space", f"{side.space}", fix)
        return lambda score: min(max((1.0 + score) / 2.0, 0.0), 1.0)


def _refuse_unknown(method: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse keywords that would be without effect although somebody counts on them."""
    unknown = [name for name in given if name not in _IDLE]
    if unknown:
        near = get_close_matches(unknown[0], known, 1)
        raise InvalidInput(
            f"HoldfastVectorStore.{method}",
            f"keywords among {', '.join(known)}",
            ", ".join(unknown),
            f"Did you mean {near[0]}?" if near else "Leave it out.",
        )
