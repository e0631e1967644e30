"""Filters as conditions over a jsonb column; what they mean is said in `where.py`.

Fields and values are parameters, never part of the statement. Every condition is true or
false, never null, so that a negation is one too.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from ..postgres import sql
from .pgvector_payload import as_json, escaped
from .where import And, Equals, Not, OneOf, Or, Range, Scalar, Where

Condition: TypeAlias = tuple[Any, list[Any]]  # SQL, and its parameters in order

_FEW = 8  # values that are asked for one by one, which an index over payloads can answer
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def condition(where: Where | None) -> Condition:
    """A filter as SQL over the column `payload`.

    Args:
        where: The tree; None for no filter.
    Returns:
        The condition in parentheses, and its parameters.
    """
    match where:
        case None:
            return sql("TRUE"), []
        case Equals(field, value):
            return _one_of(field, (value,))
        case OneOf(field, values):
            return _one_of(field, values)
        case Range():
            return _range(where)
        case And(parts):
            return _joined(" AND ", parts, "TRUE")
        case Or(parts):
            return _joined(" OR ", parts, "FALSE")
        case Not(part):
            inner, parameters = condition(part)
            return sql("(NOT {})").format(inner), parameters


def _joined(word: str, parts: tuple[Where, ...], empty: str) -> Condition:
    if not parts:
        return sql(empty), []
    found = [condition(part) for part in parts]
    inner = sql(word).join([text for text, _ in found])
    return sql("({})").format(inner), [value for _, values in found for value in values]


def _one_of(field: str, values: tuple[Scalar, ...]) -> Condition:
    """The field, or an element of it, is one of these: jsonb compares as `where.py` does."""
    if not values:
        return sql("FALSE"), []
    objects = [as_json({field: form}) for value in values for form in (value, [value])]
    if len(values) > _FEW:
        return sql("(payload @> ANY(%s::text[]::jsonb[]))"), [objects]
    parts = [sql("payload @> %s::jsonb")] * len(objects)
    return sql("({})").format(sql(" OR ").join(parts)), objects


def _range(where: Range) -> Condition:
    """A number, or a number in a list, within bounds. jsonb orders numbers as numbers."""
    signs, bounds = [], []
    for name, sign in _SIGNS.items():
        bound = getattr(where, name)
        if bound is None:
            continue
        if bound in (math.inf, -math.inf):  # `isinf` fails beyond the largest float
            if (bound > 0) == name.startswith("g"):
                return sql("FALSE"), []  # nothing is beyond it
            continue
        signs.append(sign)
        bounds.append(as_json(bound))
    key = escaped(where.field)
    alone = [f"payload -> %s {sign} %s::jsonb" for sign in signs]
    each = ["jsonb_typeof(part.v) = 'number'", *(f"part.v {sign} %s::jsonb" for sign in signs)]
    text = (
        f"(CASE jsonb_typeof(payload -> %s) WHEN 'number' THEN {' AND '.join(alone) or 'TRUE'} "
        "WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements(payload -> %s) AS part(v) "
        f"WHERE {' AND '.join(each)}) ELSE FALSE END)"
    )
    return sql(text), [key, *(word for bound in bounds for word in (key, bound)), key, *bounds]
