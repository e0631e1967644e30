"""Read judgements and queries as benchmarks publish them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from ..errors import InvalidInput, said
from ..settings import json_of

_QUERY = ("query-id", "query_id", "qid")
_DOCUMENT = ("corpus-id", "corpus_id", "doc_id", "docid")
_GRADE = ("score", "relevance", "rel")
_TEXT_ID = ("_id", "id", "query_id")

# An integer, or one that a table program wrote as 2.0.
_INTEGER = re.compile(r"([+-]?\d+)(\.0+)?")


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Query id to {document id: relevance}, in the order of the file.

    Each line says for itself what it is: a JSON object with `query_id`, `doc_id` and
    `relevance` (or BEIR's `query-id`, `corpus-id`, `score`); three fields, query, document
    and relevance; or TREC's four, with the unused one second. Fields are split at tabs
    where there are any, else at white space. A header in the first line is skipped.

    Raises:
        InvalidInput: A line that is none of these, or one pair with two grades.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        place = f"{path.name} line {number}"
        if line.startswith("{"):
            query, document, grade = _from_object(line, place)
        else:
            fields = line.split("\t") if "\t" in line else line.split()
            if number == 1 and not _INTEGER.fullmatch(fields[-1].strip()):
                continue
            query, document, grade = _from_fields(fields, place)
        known = qrels.setdefault(query, {})
        if known.setdefault(document, grade) != grade:
            raise InvalidInput(
                place,
                "one relevance for a pair",
                f"{known[document]} and {grade} for query {query!r}, document {document!r}",
            )
    return qrels


def read_texts(path: Path) -> dict[str, str]:
    """Query id to text, from JSONL with an id (`_id`, `id` or `query_id`) and `text`.

    Raises:
        InvalidInput: A line without them, or an id twice.
    """
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        place = f"{path.name} line {number}"
        record = _object(line, place)
        query, text = _pick(record, _TEXT_ID, place), record.get("text")
        if not isinstance(text, str):
            raise InvalidInput(place, "a string in `text`", repr(text))
        if query in texts:
            raise InvalidInput(place, "each query once", f"{query!r} twice")
        texts[query] = text
    return texts


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, counted from 1, without the blank ones."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.strip("\r\n ")
    except (OSError, EOFError, UnicodeDecodeError) as cause:
        raise InvalidInput(str(path), "a readable UTF-8 file", said(cause)) from cause


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _from_fields(fields: list[str], place: str) -> tuple[str, str, int]:
    fields = [field.strip() for field in fields]
    if len(fields) == 4:
        del fields[1]
    match = _INTEGER.fullmatch(fields[-1])
    if len(fields) != 3 or match is None or not all(fields):
        raise InvalidInput(
            place, "query, document and an integer relevance", " | ".join(fields) or "nothing"
        )
    return fields[0], fields[1], int(match[1])


def _from_object(line: str, place: str) -> tuple[str, str, int]:
    record = _object(line, place)
    grade = next((record[key] for key in _GRADE if key in record), None)
    match = None if isinstance(grade, bool) else _INTEGER.fullmatch(str(grade))
    if match is None:
        raise InvalidInput(place, f"an integer in one of {', '.join(_GRADE)}", repr(grade))
    return _pick(record, _QUERY, place), _pick(record, _DOCUMENT, place), int(match[1])


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        record = json_of(line)
    except ValueError as cause:
        raise InvalidInput(place, "a JSON object", str(cause)) from cause
    if not isinstance(record, dict):
        raise InvalidInput(place, "a JSON object", type(record).__name__)
    return record


def _pick(record: dict[str, Any], keys: tuple[str, ...], place: str) -> str:
    value = next((record[key] for key in keys if key in record), None)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise InvalidInput(place, f"an id in one of {', '.join(keys)}", repr(value))
    return value
