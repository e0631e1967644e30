"""What each paper of the reading list must show, and whether it does.

python -m bench.reading_list [--quick] [--parts spaces,diagnoses,encoders,recipes]

Every figure is the "accept when" of one method: an identity of its maths, and a figure on real
data beside a named simple baseline. docs/reading-list.md says where each one lives here.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from . import reading_diagnoses as diagnoses
from . import reading_encoders as encoders
from . import reading_spaces as spaces
from .judged import present
from .record import Record, arguments, held_to, say, writes

Part = Callable[[Record], None]

PARTS: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "spaces": (
            spaces.moments,
            spaces.sentences,
            spaces.weights,
            spaces.merging,
            spaces.stitches,
        ),
        "diagnoses": (
            diagnoses.shrinking,
            diagnoses.shortcuts,
            diagnoses.audits,
            diagnoses.known,
            diagnoses.trees,
            diagnoses.graphs,
            diagnoses.gates,
        ),
        "encoders": (encoders.places, encoders.records, encoders.codes),
        "recipes": (
            encoders.proteins,
            encoders.selections,
            encoders.series,
            encoders.clouds,
            encoders.shapes,
        ),
    }
)
QUICK = ("moments", "shrinking", "audits", "graphs", "gates", "clouds", "shapes")


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    record = Record(
        "reading_list",
        "what each paper of the reading list must show, and whether it does",
        "see each row",
        notes=[
            (
                "The number before a cell is the paper's in docs/reading-list.md. A target is what "
                "the method must reach to be part of the package; one that is missed is "
                "why it is a recipe, or why its baseline is the default."
            ),
            (
                "Figures are of one split unless seeds are named; differences below 0.01 are ties. "
                "Nothing here is a timing."
            ),
        ],
        aims=True,
    )
    wanted = [part for name in options.parts.split(",") for part in PARTS[name]]
    if options.quick:
        wanted = [part for part in wanted if part.__name__ in QUICK]
    if not present() and not options.quick:
        say("no real data here: only what --quick measures is run")
        wanted = [part for part in wanted if part.__name__ in QUICK]
    with held_to(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of readers that stop before they have converged
        for part in wanted:
            begun = time.process_time()
            part(record)
            say(f"{part.__name__}: {time.process_time() - begun:.0f} s of processor time")
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
