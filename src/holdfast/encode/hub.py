"""transformers: its import, without its progress bars, and its rule about the network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from ..optional import need


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
