"""Too little memory for a batch, said as every encoder says what may pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import EncoderUnavailable, no_memory


@contextmanager
def room_for(batch_size: int, owner: str) -> Iterator[None]:
    """Run a model on one batch.

    Args:
        batch_size: The setting to lower, for the message.
        owner: Whose batch it is, for the message.
    Raises:
        EncoderUnavailable: The device, or the machine, has too little memory now.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as cause:
        if not no_memory(cause):
            raise
        raise EncoderUnavailable(
            owner,
            "memory for a batch",
            str(cause)[:200] or type(cause).__name__,
            f"Lower batch_size, which is {batch_size}.",
        ) from cause
