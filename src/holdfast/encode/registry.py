"""Encoders by name, as configuration files write them.

An encoder is imported when it is opened, never before. A package of yours adds one by an
entry point of the group `holdfast.encoders`; a name of ours always means ours:

    [project.entry-points."holdfast.encoders"]
    mine = "my_package.encoder:MyEncoder"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..settings import among, check_options
from ..space import Metric, Space, fingerprint
from .base import Encoder
from .callable import CallableEncoder, Function

GROUP = "holdfast.encoders"
Opener: TypeAlias = Callable[..., Encoder]

# kind -> (module beside this one, what to call in it)
ENCODERS = MappingProxyType(
    {
        "clip": ("clip", "ClipEncoder"),
        "codes": ("codes", "CodesEncoder"),
        "http": ("http", "HttpEncoder"),
        "joined": ("joined", "open_joined"),
        "moments": ("moments", "MomentEncoder"),
        "open-clip": ("open_clip", "OpenClipEncoder"),
        "places": ("places", "PlacesEncoder"),
        "python": ("registry", "open_python"),
        "records": ("records", "RecordsEncoder"),
        "sentence-transformers": ("sentence_transformers", "SentenceTransformersEncoder"),
        "wordllama": ("wordllama", "WordLlamaEncoder"),
    }
)


def known_encoders() -> list[str]:
    """Every kind that `open_encoder` knows here, sorted; imports none of them."""
    return sorted({*ENCODERS, *entry_points(group=GROUP).names})


def open_encoder(kind: str, **options: Any) -> Encoder:
    """Make an encoder of a kind.

    Args:
        kind: One of `known_encoders()`.
        options: What its class takes, such as `model` or `query_prefix`.
    Raises:
        ConfigError: An unknown kind, an option it does not take, one of another type, or one
            that it lacks.
        MissingExtra: Its optional dependency is not installed; where models are loaded on
            first use, that use says so.
    Example:
        >>> open_encoder("http", base_url="http://localhost:8080/v1", model="e5", dim=384).space.dim
        384
    """
    return check_encoder(kind, **options)(**options)


def check_encoder(kind: str, **options: Any) -> Opener:
    """What makes an encoder of a kind, once it is known to take these options.

    Args:
        kind: One of `known_encoders()`.
        options: As for `open_encoder`.
    Raises:
        ConfigError: As `open_encoder` does.
    """
    make = _opener(kind)
    parameters = inspect.signature(make).parameters
    taken = among(parameters)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [option for option in options if option not in parameters and not open_ended]
    if unknown:
        raise ConfigError(f"encoder {kind!r}", taken, ", ".join(map(repr, unknown)))
    try:
        inspect.signature(make).bind(**options)
    except TypeError as cause:
        raise ConfigError(f"encoder {kind!r}", taken, str(cause)) from cause
    check_options(make, options, f"encoder {kind!r}")
    return make


def open_python(
    function: str,
    dim: int,
    query: str | None = None,
    name: str | None = None,
    metric: Metric = "cosine",
    revision: str = "",
) -> CallableEncoder:
    """An encoder around functions of yours.

    Args:
        function: "module:function" from a list of contents to an (n, dim) array.
        dim: Length of a row.
        query: Another such function for queries.
        name: Label of the space; the function's path without one.
        metric: How rows are compared.
        revision: Change it whenever the function answers other numbers.
    Raises:
        ConfigError: There is no such function.
    """
    mark = fingerprint(
        function,
        revision=revision,
        normalised=metric == "cosine",
        engine="python",
        query=query,
        dim=dim,
    )
    space = Space(name or function, dim, metric, mark)
    return CallableEncoder(space, imported(function), imported(query) if query else None)


def imported(path: str) -> Function:
    """What a path like "module:function" names.

    Raises:
        ConfigError: Nothing that can be called.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ConfigError("encoder 'python'", "a path like 'module:function'", repr(path))
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as cause:
        raise ConfigError(
            "encoder 'python'",
            f"a function at {path!r}",
            f"{type(cause).__name__}: {cause}",
            "Is its package installed here, or its folder on PYTHONPATH?",
        ) from cause
    if not callable(found):
        raise ConfigError("encoder 'python'", f"a function at {path!r}", type(found).__name__)
    function: Function = found
    return function


def _opener(kind: str) -> Opener:
    if kind in ENCODERS:
        module, name = ENCODERS[kind]
        ours: Opener = getattr(import_module(f"{__package__}.{module}"), name)
        return ours
    found: list[EntryPoint] = list(entry_points(group=GROUP, name=kind))
    if not found:
        raise ConfigError(
            "encoder",
            f"one of {', '.join(known_encoders())}",
            repr(kind),
            f"A package of yours can add one, by an entry point of the group {GROUP!r}.",
        )
    try:
        theirs: Opener = found[0].load()
    except (ImportError, AttributeError) as cause:
        raise ConfigError(
            f"encoder {kind!r}",
            f"{found[0].value} to be there",
            f"{type(cause).__name__}: {cause}",
            "Install or repair the package that registers it.",
        ) from cause
    return theirs
