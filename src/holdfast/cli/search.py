"""`holdfast search`: ask the gallery, whatever its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import InvalidFilter
from ..settings import json_of
from .face import Face, command
from .tables import cut, grid, spoken, visible

_ID = 80  # signs of an id that are shown to people; --json has them all


@command("search")
@click.argument("queries", nargs=-1, metavar="[QUERY]...")
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A picture that asks; any number of them.",
)
@click.option(
    "-k",
    type=click.IntRange(min=1),
    default=10,
    metavar="N",
    show_default=True,
    help="Hits a query.",
)
@click.option("--where", metavar="JSON", help="""Filter, such as '{"lang": "en"}'.""")
def search(
    face: Face, queries: tuple[str, ...], images: tuple[Path, ...], k: int, where: str | None
) -> None:
    """Answer queries, texts or pictures, from both sides as one."""
    tree, asked = read_where(where), [*queries, *images]
    if not asked:
        raise click.UsageError("Give a QUERY or more, or --image PATH.")
    if any(not query.strip() for query in queries):
        raise click.UsageError("A QUERY needs words; one is empty.")
    with face.gallery() as gallery:
        # Room is made for all k of them, so that "all there are" must not be asked for literally.
        hits = gallery.search(asked, min(k, max(len(gallery), 1)), tree)
        rows = [hits.row(i) for i in range(len(hits))]
        names = list(dict.fromkeys(name for row in rows for name, _ in row))
        payloads = dict(zip(names, gallery.get(names).payloads, strict=True)) if names else {}
        state, reads, share = gallery.state, gallery.reads, gallery.share
    answers = [
        {
            "query": str(query),
            "hits": [
                {"id": name, "score": round(score, 6), "payload": dict(payloads[name])}
                for name, score in row
            ],
        }
        for query, row in zip(asked, rows, strict=True)
    ]
    without = hits.without or None
    data = {
        "state": state,
        "reads": reads,
        "without": without,
        "share": share,
        "answers": answers,
    }
    face.answer(data, *(word for answer in answers for word in _words(answer)))
    if without and not face.as_json:
        told = f"One model ranked all items: {without}"
        face.side.print(visible(told), soft_wrap=True, markup=False)


def read_where(where: str | None) -> Any:
    """What --where says; None where it was not given.

    Raises:
        InvalidFilter: No JSON, or null, which would be no filter.
    """
    if where is None:
        return None
    cause = None
    try:
        tree = json_of(where)
    except ValueError as error:
        tree, cause = None, error
    if tree is None:
        raise InvalidFilter(
            "--where", "a JSON object", f"{where!r:.80}", """Quote it: --where '{"lang": "en"}'."""
        ) from cause
    return tree


def _words(answer: dict[str, Any]) -> list[Any]:
    rows = [
        (place, f"{hit['score']:.4f}", cut(hit["id"], _ID), spoken(hit["payload"]))
        for place, hit in enumerate(answer["hits"], start=1)
    ]
    asked = f"“{visible(answer['query'])}”"
    if not rows:
        return [asked, "Nothing was found.", ""]
    return [asked, grid(("", "score", "id", "payload"), rows), ""]
