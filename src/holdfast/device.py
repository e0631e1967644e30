"""Where a model computes: on what this machine has, told before anything is loaded."""

from __future__ import annotations

from .errors import ConfigError, no_memory
from .optional import need


def check_device(asked: str | None, owner: str) -> None:
    """Refuse a device that torch does not have here.

    Args:
        asked: Such as "cuda:0"; None for the best there is.
        owner: Whose setting it is, for the message.
    Raises:
        ConfigError: No device has this name, or this machine has none of them.
    """
    if asked is None:
        return
    torch = need("torch")
    try:
        got = "one that holds no numbers" if torch.device(asked).type == "meta" else ""
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError, ImportError) as error:  # each kind lacks in its own way
        if no_memory(error):
            return  # it is there, and whoever loads a model will say so
        got = " ".join(str(error).split())[:120]
    if got:
        raise ConfigError(
            owner,
            "one that torch has on this machine",
            f"{asked!r}: {got}",
            'Set "cpu", or leave it out.',
        )


def best_device(asked: str | None, owner: str) -> str:
    """The device that was asked for, or the best there is.

    Args:
        asked: Such as "cuda:0"; None for the best there is.
        owner: Whose setting it is, for the message.
    Raises:
        ConfigError: As `check_device` does.
    """
    check_device(asked, owner)
    return asked or ("cuda" if need("torch").cuda.is_available() else "cpu")
