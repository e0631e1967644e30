"""A collection of Qdrant, seen through one of its named vectors.

Points carry named vectors, one a space, and payloads as `edge_payload.py` makes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import FloatArray
from ..errors import OccupiedStore, StoreError
from ..space import Space
from .edge_payload import ID, Plain
from .qdrant_connection import Connection, Place, has_id, models, rendered, uuid_of

_NUMBERS = 1_000_000  # in the vectors of one request: servers refuse bodies beyond 32 MB
_READ = 1_000  # points in one reading
# Servers before the first overlook the condition of a write; the second adds vectors to a
# collection that is in use.
_NEEDED = (1, 16), "With an older one an older write could win: upgrade the server."
_NEEDED_BY_PAIR = (1, 18), "Upgrade the server, or leave pair out."
_GROUP = 64  # queries in one request
_GREEN = 0.5  # seconds between two looks at an optimiser


@dataclass(frozen=True, slots=True)
class Point:
    """What is written.

    Args:
        key: 32 hexadecimal digits.
        vectors: By their names.
        payload: As it is stored.
    """

    key: str
    vectors: Mapping[str, Any]
    payload: dict[str, Any]


class Collection:
    """Points of one collection, seen through one of its named vectors.

    Args:
        place: Where it is.
        name: Its name.
        vector: Name of the vector.
        space: Of that vector.
        shared: Whether other spaces may have vectors in here; then this one is added to a
            collection that is in use.
        made: Settings for a new collection, such as `shard_number`.
    Raises:
        OccupiedStore: The collection holds vectors of another space.
        StoreError: It cannot be reached, was not made by Holdfast, or its server is too old.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        vector: str,
        space: Space,
        shared: bool,
        made: Mapping[str, Any],
    ) -> None:
        self.name, self.vector, self.space = name, vector, space
        self._place, self._shared = place, shared
        self._connection = Connection(place)
        try:
            self._connection.require(*_NEEDED_BY_PAIR if shared else _NEEDED)
            self._prepare(made)
        except BaseException:
            self.close()
            raise

    def _prepare(self, made: Mapping[str, Any]) -> None:
        if not self._call("collection_exists"):
            self._create(made)
        found = self._vectors()
        mine = found.get(self.vector)
        if mine is None and self._shared:
            self._add_vector()
            mine = self._vectors()[self.vector]
        alone = self._shared or len(found) == 1
        if mine is None or not alone or mine.size != self.space.dim:
            raise OccupiedStore(
                f"collection {self.name} at {self._place}",
                f"vectors of {self.space} under the name {self.vector!r}",
                f"vectors named {', '.join(map(repr, sorted(found)))}",
                "Choose another collection.",
            )
        self._others = sorted(set(found) - {self.vector})

    def _create(self, made: Mapping[str, Any]) -> None:
        params = models().VectorParams(size=self.space.dim, distance=self._distance)
        try:
            self._call("create_collection", {self.vector: params}, **made)
        except StoreError:
            if not self._call("collection_exists"):
                raise  # otherwise another process made it meanwhile

    def _add_vector(self) -> None:
        """To a collection that is searched and written meanwhile."""
        types = models()
        config = types.DenseVectorNameConfig(
            dense=types.DenseVectorConfig(size=self.space.dim, distance=self._distance)
        )
        self._call("create_vector_name", vector_name=self.vector, vector_name_config=config)

    @property
    def _distance(self) -> Any:
        # Rows of a cosine space come as unit rows, whose product is the cosine: the engine
        # need not scale them again, and what was stored is read back bit for bit.
        distances = models().Distance
        return distances.EUCLID if self.space.metric == "euclidean" else distances.DOT

    def _vectors(self) -> dict[str, Any]:
        found = self._call("get_collection").config.params.vectors
        if not isinstance(found, Mapping):
            raise StoreError(
                f"collection {self.name} at {self._place}",
                "named vectors, as Holdfast makes them",
                "one without a name",
                "Choose another collection.",
            )
        return dict(found)

    def look(self) -> None:
        """See which vectors there are now: the other side of a pair may have come or gone."""
        if self._shared:
            self._others = sorted(set(self._vectors()) - {self.vector})

    @property
    def others(self) -> list[str]:
        """Names of the vectors of other spaces."""
        return self._others

    def _call(self, method: str, *values: Any, **options: Any) -> Any:
        return self._connection.call(method, self.name, *values, **options)

    # writing

    def put(self, points: Sequence[Point], condition: Callable[[Sequence[Point]], Plain]) -> None:
        """Insert points, or replace them whole.

        Args:
            points: In any number.
            condition: For some of them, what a stored point must fulfil to be replaced; it
                is looked at by the server, in one step with the replacing.
        """
        types = models()
        size = max(1, _NUMBERS // (self.space.dim * (1 + len(self._others))))
        for start in range(0, len(points), size):
            some = points[start : start + size]
            made = [
                types.PointStruct(id=uuid_of(p.key), vector=dict(p.vectors), payload=p.payload)
                for p in some
            ]
            only = rendered(condition(some))
            self._call("upsert", made, wait=True, update_filter=only)

    def drop(self, keys: Sequence[str]) -> None:
        """Remove points; absent ones are fine."""
        listed = models().PointIdsList(points=[uuid_of(key) for key in keys])
        self._call("delete", listed, wait=True)

    def strip(self, keys: Sequence[str], fields: list[str]) -> None:
        """Remove this vector and some fields, and leave the points."""
        those = rendered({"must": [has_id(keys)]})
        self._call("delete_vectors", [self.vector], points=those, wait=True)
        self.unmark(keys, fields)

    def mend(self, fields: list[str]) -> None:
        """Finish what a process that died in `strip` has left: fields of a vector that is gone.

        Args:
            fields: Of this vector; the first one is there while the vector is.
        """
        gone = {"must_not": [{"has_vector": self.vector}, {"is_empty": {"key": fields[0]}}]}
        self._call("delete_payload", fields, points=rendered(gone), wait=True)

    def mark(self, keys: Sequence[str], fields: dict[str, Any]) -> None:
        """Set fields of the points that are there."""
        those = rendered({"must": [has_id(keys)]})
        self._call("set_payload", fields, points=those, wait=True)

    def unmark(self, keys: Sequence[str], fields: list[str]) -> None:
        """Remove fields of the points that are there."""
        those = rendered({"must": [has_id(keys)]})
        self._call("delete_payload", fields, points=those, wait=True)

    # reading

    def read(self, keys: Sequence[str], fields: Any, vectors: Sequence[str]) -> list[Any]:
        """The points that are there, with `payload`, and `vector` by name."""
        found: list[Any] = []
        for start in range(0, len(keys), _READ):
            some = [uuid_of(key) for key in keys[start : start + _READ]]
            found += self._call(
                "retrieve", some, with_payload=fields, with_vectors=list(vectors) or False
            )
        return found

    def scroll(self, start: str | None, limit: int, vectors: bool, where: Plain) -> list[Any]:
        """Points from a key on, in the order of keys."""
        points: list[Any] = self._call(
            "scroll",
            scroll_filter=rendered(where) if where else None,
            limit=limit,
            offset=None if start is None else uuid_of(start),
            with_payload=True,
            with_vectors=[self.vector] if vectors else False,
        )[0]
        return points

    def search(
        self, queries: FloatArray, k: int, where: Plain, exact: bool, ef: int
    ) -> Iterator[list[Any]]:
        """For each query its best points, best first, with `score` and their ids as payload.

        Local mode is always exact, and says so when it is asked to be anything.
        """
        types, passing = models(), rendered(where) if where else None
        how = None if self._place.local else types.SearchParams(hnsw_ef=max(ef, k), exact=exact)
        for start in range(0, len(queries), _GROUP):
            requests = [
                types.QueryRequest(
                    query=query,
                    using=self.vector,
                    filter=passing,
                    params=how,
                    limit=k,
                    with_payload=[ID],
                )
                for query in queries[start : start + _GROUP].tolist()
            ]
            answers = self._call("query_batch_points", requests)
            yield from (answer.points for answer in answers)

    def count(self, where: Plain) -> int:
        """How many points fulfil this, all with nothing to fulfil."""
        only = rendered(where) if where else None
        return int(self._call("count", only, exact=True).count)

    # upkeep

    def index(self, fields: Mapping[str, str]) -> None:
        """Index fields of payloads, by their kinds: "keyword", "float", "bool"."""
        if self._place.local:  # it has none
            return
        have = set(self._call("get_collection").payload_schema)
        for field in sorted(set(fields) - have):
            self._call("create_payload_index", field, field_schema=fields[field], wait=True)

    def settle(self) -> None:
        """Wait until the optimiser has nothing to do."""
        while not self._place.local:
            status = self._call("get_collection").status
            if str(getattr(status, "value", status)) != "yellow":
                return
            time.sleep(_GREEN)

    def lead(self, alias: str) -> None:
        """Let an alias name this collection, in one step for all who use it."""
        types = models()
        known = self._connection.call("get_aliases").aliases
        held = {found.alias_name: found.collection_name for found in known}
        if held.get(alias) == self.name:
            return
        steps: list[Any] = []
        if alias in held:
            steps.append(types.DeleteAliasOperation(delete_alias={"alias_name": alias}))
        made = types.CreateAlias(collection_name=self.name, alias_name=alias)
        steps.append(types.CreateAliasOperation(create_alias=made))
        self._connection.call("update_collection_aliases", steps)

    def give_up(self, mine: list[str], others: list[str]) -> None:
        """Remove the vector of this space, or the whole collection when no other is in it.

        Args:
            mine: Fields that belong to this vector; the first one is there while it is.
            others: Fields of which a point has one when it has another vector.
        """
        if not others:
            self._call("delete_collection")
            return
        empty = [{"is_empty": {"key": field}} for field in (mine[0], *others)]
        alone = rendered({"must": empty[1:], "must_not": empty[:1]})  # others' points stay
        self._call("delete", alone, wait=True)
        self._call("delete_vector_name", vector_name=self.vector)
        self._call("delete_payload", mine, points=rendered({"must": []}), wait=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
