"""`holdfast search`: ask the gallery, whatever its state."""

from __future__ import annotations

import json
from typing import Any

import click

from ..errors import InvalidFilter
from .face import Face, command
from .tables import grid, spoken


@command("search")
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="Hits a query.")
@click.option("--where", metavar="JSON", help="""Filter, such as '{"lang": "en"}'.""")
def search(face: Face, queries: tuple[str, ...], k: int, where: str | None) -> None:
    """Answer text queries from the gallery, old and new side together."""
    tree = _tree(where)
    with face.gallery() as gallery:
        hits = gallery.search(list(queries), k, tree)
        rows = [hits.row(i) for i in range(len(hits))]
        names = list(dict.fromkeys(name for row in rows for name, _ in row))
        payloads = dict(zip(names, gallery.get(names).payloads, strict=True)) if names else {}
        state, reads, share = gallery.state, gallery.reads, gallery.share
    answers = [
        {
            "query": query,
            "hits": [
                {"id": name, "score": round(score, 6), "payload": dict(payloads[name])}
                for name, score in row
            ],
        }
        for query, row in zip(queries, rows, strict=True)
    ]
    data = {"state": state, "reads": reads, "share": share, "answers": answers}
    face.answer(data, *(word for answer in answers for word in _words(answer)))


def _tree(where: str | None) -> Any:
    if where is None:
        return None
    try:
        return json.loads(where)
    except ValueError as cause:
        raise InvalidFilter(
            "--where", "a JSON object", repr(where), """Quote it: --where '{"lang": "en"}'."""
        ) from cause


def _words(answer: dict[str, Any]) -> list[Any]:
    rows = [
        (place, f"{hit['score']:.4f}", hit["id"], spoken(hit["payload"]))
        for place, hit in enumerate(answer["hits"], start=1)
    ]
    return [f"“{answer['query']}”", grid(("", "score", "id", "payload"), rows), ""]
