"""What lasts as long as the service: libraries, mostly, of which garbage collection keeps off.

A full collection looks at each object of every library, and searches wait for that: 50 ms, or 200
where torch is loaded. So what is there at the start is set apart, and what a plan loads on top of
it, if that is much. What is set apart is freed as usual once nothing refers to it any more, but
for what refers to itself.
"""

from __future__ import annotations

import gc

MUCH = 20_000  # objects, which a collection looks at in about 5 ms


def set_apart() -> None:
    """Collect, and spare collections from now on what is there."""
    gc.collect()
    gc.freeze()


def set_apart_new() -> None:
    """The same for what came since, if it is much; in a process that never did it, nothing.

    It is not collected before, since searches would wait for that: loading has done so.
    """
    if gc.get_freeze_count() and len(gc.get_objects()) >= MUCH:
        gc.freeze()
