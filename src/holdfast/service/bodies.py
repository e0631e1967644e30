"""What requests carry and what answers look like, as the OpenAPI describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    model_validator,
)

from .settings import (
    ANSWERED,
    CONDITIONS,
    DEPTH,
    DIM,
    FIELDS,
    HITS,
    ITEMS,
    LISTED,
    NAME,
    QUERIES,
    SPACES,
    TEXT,
    WORDS,
)

_WIDEST = 2**63  # numbers that every store can keep
_WRITTEN = json.JSONEncoder(ensure_ascii=False).encode


def plain(value: Any) -> Any:
    """JSON that every part behind us can take: not too deep, of text and of 64-bit numbers.

    Raises:
        ValueError: Nested too deeply, half of a surrogate pair, or a number that is too large.
    """
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEPTH:
            raise ValueError(f"nested at most {DEPTH} deep")
        if isinstance(part, str):
            _readable(part)
        elif isinstance(part, int) and not -_WIDEST <= part < _WIDEST:
            raise ValueError("whole numbers of at most 64 bits")
        elif isinstance(part, dict):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
    return value


def brief(where: Any) -> Any:
    """A filter that no store holds against its items for minutes; nobody is answered meanwhile.

    Raises:
        ValueError: More conditions and numbers, or more words, than a filter may have.
    """
    conditions, words, waiting = 0, 0, [where]
    while waiting:
        box = waiting.pop()
        parts = list(box.values()) if isinstance(box, dict) else box
        texts = 0 if isinstance(box, dict) else sum(isinstance(part, str) for part in parts)
        conditions, words = conditions + len(parts) - texts, words + texts
        if conditions > CONDITIONS or words > WORDS:
            raise ValueError(f"at most {CONDITIONS} conditions and numbers, {WORDS:,} words")
        waiting += [part for part in parts if isinstance(part, dict | list)]
    return where


def _readable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("text that can be written as UTF-8") from None
    return text


def carried(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A stored payload as JSON in UTF-8 can carry it.

    Stores keep half of a surrogate pair, as files with cut texts have it; UTF-8 knows none, so
    that a search which finds such an item could not be answered.
    """
    text = _WRITTEN(dict(payload))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            units = text.encode("utf-16-le", "surrogatepass")
            whole: dict[str, Any] = json.loads(units.decode("utf-16-le", "replace"))
            return whole
    return dict(payload)


def _worded(text: str) -> str:
    if not text.strip():
        raise ValueError("a question with words")
    return text


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Strict(BaseModel):
    """A body. The text "3" is no number, and true is not 1."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _of_few(cls, value: Any) -> Any:
        """Each unknown field is an error of its own: of a million the loop would stand still."""
        if isinstance(value, dict) and len(value) > FIELDS:
            raise ValueError(f"an object of at most {FIELDS} fields")
        return value


Text = Annotated[str, StringConstraints(max_length=TEXT), AfterValidator(_readable)]
Reason = Annotated[str, StringConstraints(max_length=500), AfterValidator(_readable)]
Question = Annotated[Text, AfterValidator(_worded)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME), AfterValidator(_readable)]
Fields = Annotated[dict[str, Any], AfterValidator(plain)]
Filter = Annotated[dict[str, Any], AfterValidator(brief), AfterValidator(plain)]
Limit = Annotated[int, Field(ge=1, le=LISTED)]
Number = Annotated[int, Field(ge=0, le=2**53)]
Count = Annotated[int, BeforeValidator(_whole)]
Row = Annotated[list[float], Field(min_length=1, max_length=DIM), FailFast()]


class Search(_Strict):
    """Queries as text, or as vectors of each space that is read."""

    texts: list[Question] | None = Field(default=None, min_length=1, max_length=QUERIES)
    vectors: dict[str, Annotated[list[Row], Field(min_length=1, max_length=QUERIES)]] | None = (
        Field(
            default=None,
            max_length=SPACES,
            description="Rows by the name or fingerprint of their space.",
        )
    )
    k: Count = Field(default=10, ge=1, le=HITS)
    where: Filter | None = Field(default=None, description="A filter over payloads.")
    payloads: bool = Field(default=True, description="Whether hits carry their payloads.")
    key: Name | None = Field(default=None, description="Who asks: the same key, the same side.")
    tenant: Name | None = Field(default=None, description="Whose search this is.")

    @model_validator(mode="after")
    def _of_limited_size(self) -> Self:
        queries = max(map(len, [self.texts or (), *(self.vectors or {}).values()]))
        if queries * self.k > ANSWERED:
            raise ValueError(f"at most {ANSWERED:,} hits in all, which are queries times k")
        return self


class Hit(BaseModel):
    """One item that was found."""

    id: str
    score: float
    payload: dict[str, Any] | None = None


class Answer(BaseModel):
    """The hits of one query, best first."""

    hits: list[Hit]


class Found(BaseModel):
    """What a search found, and which side answered."""

    state: str | None
    reads: str
    without: str | None = Field(
        description="Why one of the two models had no part in this, and the other ranked all."
    )
    share: float
    seconds: float
    answers: list[Answer]


class Compare(_Strict):
    """One question to the old side, to both, and to the new side."""

    text: Question
    k: Count = Field(default=10, ge=1, le=50)
    where: Filter | None = None


class Document(_Strict):
    """An item to store."""

    id: Name
    content: Annotated[Any, AfterValidator(plain)] = Field(description="What the model reads.")
    payload: Fields = Field(default_factory=dict)


class Upsert(_Strict):
    """Items to insert or to replace."""

    items: list[Document] = Field(min_length=1, max_length=ITEMS)


class Names(_Strict):
    """Items by their ids."""

    ids: list[Name] = Field(min_length=1, max_length=ITEMS)


class Written(BaseModel):
    """How many items a call wrote, or named to be removed, whether they were there or not."""

    items: int


class Stored(BaseModel):
    """An item as it is stored."""

    id: str
    revision: int
    payload: dict[str, Any]


class Command(_Strict):
    """What comes with a command; most need nothing."""

    confirm: str = Field(default="", max_length=100, description="The words that it asks for.")
    why: Reason = Field(default="", description="For the audit.")
    items_per_second: float | None = Field(
        default=None, ge=0.0, le=1e9, description="For throttle, which needs it; 0 for no limit."
    )
    leave_behind_quarantined: bool = False
    share: float = Field(default=0.0, ge=0.0, le=1.0, description="For stage: of all keys.")
    tenants: list[Name] = Field(
        default_factory=list, max_length=1_000, description="For stage: all searches of these."
    )
    where: Filter = Field(
        default_factory=dict, description="For stage: searches whose filter asks for this."
    )
    early: bool = Field(
        default=False, description="For finish: although the holdover has not passed."
    )
    wait: float = Field(default=30.0, ge=0.0, le=120.0, description="Seconds to wait for the end.")


class Told(BaseModel):
    """What became of a command."""

    command: str
    done: bool = Field(description="False while it is under way.")
    state: str | None
    words: str


class Possible(BaseModel):
    """A command: whether it is allowed now, what it would do, and the words it needs."""

    name: str
    allowed: bool
    why_not: str
    tells: str
    confirm: str


class Problem(BaseModel):
    """A refusal: who expected what, what came, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    who: str
    expected: str
    got: str
    fix: str


class SignIn(_Strict):
    """A token, shown once."""

    token: str = Field(min_length=1, max_length=1_000)
