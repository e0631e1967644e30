"""Judgements: read from every usual form, with nothing guessed and nothing lost."""

import gzip
import json

import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.judgements import Judgements

WANTED = {"1": {"184": 3, "29": 0}, "two": {"x y": 1}}


def plain(judgements):
    return {q: dict(judgements.qrels[q]) for q in judgements.query_ids}


FORMS = {
    "beir": "query-id\tcorpus-id\tscore\n1\t184\t3\n1\t29\t0\ntwo\tx y\t1\n",
    "bare tsv": "1\t184\t3\n1\t29\t0\n\ntwo\tx y\t1\n",
    "trec with tabs": "1\t0\t184\t3\n1\t0\t29\t0\ntwo\t0\tx y\t1\n",
    "windows": "\ufeff1\t184\t3\r\n1\t29\t0\r\ntwo\tx y\t1.0\r\n",
    "jsonl": '{"query_id": 1, "doc_id": "184", "relevance": 3}\n'
    '{"query-id": "1", "corpus-id": "29", "score": 0}\n'
    '{"qid": "two", "docid": "x y", "rel": 1}\n',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_the_same(tmp_path, form):
    path = tmp_path / "qrels"
    path.write_text(FORMS[form], encoding="utf-8", newline="")
    assert plain(Judgements.from_qrels(path)) == WANTED
    packed = tmp_path / "qrels.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert plain(Judgements.from_qrels(packed)) == WANTED


def test_trec_lines_split_at_any_space(tmp_path):
    path = tmp_path / "qrels.txt"
    path.write_text("301 0 FBIS3-10082 1\n301  Q0   FBIS3-10169 -2\n")
    assert plain(Judgements.from_qrels(path)) == {"301": {"FBIS3-10082": 1, "FBIS3-10169": -2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q\td\t1\nq\td\n", "line 2"),
        ("q\td\t1\nq\te\thigh\n", "line 2"),
        ("q\td\t1\nq\td\t2\n", "line 2: expected one relevance"),
        ("q\td\t1\nq\te\t1.5\n", "line 2"),
        ("q\t\t1\n", "line 1"),
        ('{"query_id": "q", "doc_id": "d"}\n', "line 1"),
        ('{"query_id": "q", "doc_id": "d", "score": true}\n', "line 1"),
        ("{broken\n", "line 1"),
        ("", "at least one query with a relevant document, got none"),
    ],
)
def test_broken_files_are_refused_by_line(tmp_path, text, message):
    path = tmp_path / "qrels"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        Judgements.from_qrels(path)


def test_a_missing_file_and_broken_bytes_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="absent"):
        Judgements.from_qrels(tmp_path / "absent")
    (tmp_path / "bytes").write_bytes(b"q\t\xff\t1\n")
    with pytest.raises(InvalidInput, match="UTF-8"):
        Judgements.from_qrels(tmp_path / "bytes")


def test_queries_without_an_answer_are_refused_or_counted():
    qrels = {"a": {"x": 1}, "b": {"x": 0, "y": -1}, "c": {}, "d": {"y": 2}}
    with pytest.raises(InvalidInput, match=r"none for 'b' \(2 of 4"):
        Judgements.from_dict(qrels)
    kept = Judgements.from_dict(qrels, unanswerable="drop")
    assert (kept.query_ids, kept.dropped) == (("a", "d"), 2)


@pytest.mark.parametrize("grade", [True, 1.0, "1", None])
def test_relevance_is_an_integer(grade):
    with pytest.raises(InvalidInput, match="an integer"):
        Judgements.from_dict({"q": {"d": grade}})


@pytest.mark.parametrize("document", [17, 17.0, b"17", None, ("17",)])
def test_documents_are_strings_as_the_ids_of_a_gallery_are(document):
    with pytest.raises(InvalidInput, match=r"strings|non-empty"):
        Judgements.from_dict({"p": {"17": 1}, "q": {"a": 1, document: 1}})


@pytest.mark.parametrize("query", [17, 0, None])
def test_queries_are_strings_too(query):
    with pytest.raises(InvalidInput, match="query ids that are strings"):
        Judgements.from_dict({"p": {"a": 1}, query: {"a": 1}})


@pytest.mark.parametrize("answers", [["a"], {"a"}, "a", None], ids=repr)
def test_answers_without_their_relevance_are_refused(answers):
    with pytest.raises(InvalidInput, match="judgements of 'q': expected relevance by document id"):
        Judgements.from_dict({"q": answers})
    with pytest.raises(InvalidInput, match="Judgements: expected grades by query id, got a"):
        Judgements.from_dict(answers)


def write_queries(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


def test_from_files_takes_the_split_in_query_order(tmp_path):
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    write_queries(queries, [{"_id": str(i), "text": f"text {i}"} for i in range(5)])
    qrels.write_text("query-id\tcorpus-id\tscore\n3\ta\t1\n1\tb\t2\n4\ta\t0\n")
    judgements = Judgements.from_files(queries, qrels, unanswerable="drop")
    assert judgements.query_ids == ("1", "3")
    assert [(i.id, i.content) for i in judgements.items()] == [("1", "text 1"), ("3", "text 3")]
    assert judgements.dropped == 1
    part = judgements.take([1])
    assert (part.query_ids, part.texts) == (("3",), ("text 3",))


def test_judgements_of_other_queries_are_refused(tmp_path):
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    write_queries(queries, [{"id": "1", "text": "one"}])
    qrels.write_text("1\ta\t1\n7\ta\t1\n")
    with pytest.raises(InvalidInput, match="none for '7'"):
        Judgements.from_files(queries, qrels)
    write_queries(queries, [{"id": "1", "text": "one"}, {"id": "1", "text": "again"}])
    with pytest.raises(InvalidInput, match="line 2: expected each query once"):
        Judgements.from_files(queries, qrels)
    write_queries(queries, [{"id": "1"}])
    with pytest.raises(InvalidInput, match="line 1: expected a string"):
        Judgements.from_files(queries, qrels)


def test_queries_without_texts_cannot_be_items():
    with pytest.raises(InvalidInput, match="from_files"):
        Judgements.from_dict({"q": {"d": 1}}).items()


def test_unequal_lengths_and_repeats_are_refused():
    with pytest.raises(InvalidInput, match="each query once, got 'q' twice"):
        Judgements(("q", "q"), {"q": {"d": 1}})
    with pytest.raises(InvalidInput, match="1 query texts"):
        Judgements(("q",), {"q": {"d": 1}}, ("a", "b"))
