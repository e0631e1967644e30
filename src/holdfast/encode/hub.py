"""transformers and its hub: the import without progress bars, and one question before a download.

The libraries look for a model file by file, and try each file six times over 23 seconds before
they believe that there is no network. That is right for a download, and a long time for a name
that is mistyped. So the hub is asked once whether it has the model at all; where it has not, or
does not answer, only what is on this machine counts.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from ..errors import ConfigError
from ..optional import need
from .retry import Retry

_TIMEOUT = "HF_HUB_ETAG_TIMEOUT"  # the libraries' own setting, for networks that are slow
_SECONDS = 4.0  # for the hub's answer, where that is not set
_FIX = "Check the name, or the folder; without a network it must be there already."


def offline() -> bool:
    """Whether the user told the hub's libraries to stay away from the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


@contextmanager
def quiet(library: str = "transformers") -> Iterator[ModuleType]:
    """Importing and loading say nothing: no warnings of other libraries, no progress bars.

    Args:
        library: What is imported: this one, or one that stands on it.
    Raises:
        MissingExtra: It is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = need(library)
        logging = import_module("transformers.utils.logging")
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield module
        finally:
            if shown:
                logging.enable_progress_bar()


@dataclass(frozen=True, slots=True)
class Absent:
    """The hub does not give a model.

    Args:
        got: What it said instead, or that it did not answer.
        fix: What the reader can do.
    """

    got: str
    fix: str


def absent(names: Sequence[str], revision: str | None, retry: Retry | None = None) -> Absent | None:
    """Ask the hub whether it has a model; None where it has, and nothing is downloaded.

    Args:
        names: Under which the library would look for it, one after the other.
        revision: Commit or tag; None for the latest.
        retry: How often an answer is waited for. By default twice, 8 seconds at the longest.
    """
    retry = retry or Retry(tries=2, first=0.5)
    told = None
    for name in names:
        told = _asked(name, revision, retry)
        if told is None:
            return None
    return told


def _asked(name: str, revision: str | None, retry: Retry) -> Absent | None:
    errors = import_module("huggingface_hub.utils")
    home = import_module("huggingface_hub.constants").ENDPOINT
    hub = import_module("huggingface_hub").HfApi(endpoint=home)
    seconds, tries = float(os.environ.get(_TIMEOUT) or _SECONDS), 0
    while True:
        try:
            hub.model_info(name, revision=revision, timeout=seconds)
        except errors.RepositoryNotFoundError:
            got = f"a name that {home} does not know, or shows to nobody without a token"
            return Absent(got, "Check the name; for a private model set HF_TOKEN.")
        except errors.RevisionNotFoundError:
            return Absent(f"no revision {revision!r} of it at {home}", "Check the revision.")
        except (errors.HfHubHTTPError, ValueError):
            return None  # a busy hub, or a mirror of its own kind: the library knows its ways
        except _lost() as cause:
            tries += 1
            wait = retry.wait(tries, None)
            if wait is None:
                words = " ".join(str(cause).split())[:120]
                got = f"no answer from {home} ({type(cause).__name__}: {words})"
                fix = f"Check the name, or the folder, and the network; a slow one: {_TIMEOUT}=30."
                return Absent(got, fix)
            retry.sleep(wait)
        else:
            return None


def _lost() -> tuple[type[Exception], ...]:
    """What a request raises without an answer: of requests, httpx or httpx2, by its version."""
    return (OSError, *import_module("huggingface_hub.utils").HfHubHTTPError.__bases__)


def _failures() -> tuple[type[Exception], ...]:
    """What loading raises where a model is not as it should be, or not there."""
    return (ValueError, ImportError, *_lost())


@contextmanager
def opening(model: str, what: str, ask: Callable[[], Absent | None]) -> Iterator[bool]:
    """Open a model; yields whether only what is on this machine counts.

    Args:
        model: Name or folder.
        what: Would have been accepted, for the message.
        ask: Answers whether the hub lacks it, see `absent`; not called where the user told
            the libraries to stay off the network.
    Raises:
        ConfigError: It cannot be opened.
    """
    away = offline()
    lacking = None if away else ask()
    try:
        yield away or lacking is not None
    except _failures() as cause:
        got = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        if lacking is not None:
            got = f"{lacking.got}, and no whole copy on this machine"
        fix = _FIX if lacking is None else lacking.fix
        raise ConfigError(f"model {model!r}", what, got, fix) from cause
