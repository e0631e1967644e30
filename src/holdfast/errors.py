"""Every error Holdfast raises on purpose.

    HoldfastError
    ├── InvalidInput (ValueError)     what was passed in cannot be used; nothing was written
    │   ├── DimensionMismatch         rows of the wrong length
    │   ├── NotFinite                 NaN or infinity
    │   ├── ZeroVector                no direction, under cosine
    │   ├── DuplicateIds              one id twice in one call
    │   ├── InvalidFilter             a `where` nobody can evaluate
    │   └── NotEnoughPairs            fewer paired rows than a bridge needs
    ├── WrongSpace (ValueError)       vectors of a space that does not belong here
    │   └── WrongDirection            a bridge used backwards
    ├── NotFitted (ValueError, AttributeError)
    ├── NotInvertible                 an aligner without a way back
    ├── BelowStatusQuo                no bridge serves as well as what serves now
    ├── MissingIds (KeyError)         ids that are not stored
    ├── MissingExtra (ImportError)    an optional dependency is not installed
    ├── ArtifactError                 a file that is not, or no longer, one of ours
    ├── ConfigError (ValueError)      holdfast.toml or a plan
    ├── SourceError                   the content of items cannot be read
    ├── EncoderError                  a model gave no usable answer
    │   ├── UnfitContent              a content that no model of its kind can read
    │   ├── WrongCount                more or fewer vectors than items
    │   ├── EncoderMisconfigured      no item can be encoded until a setting changes
    │   ├── EncoderUnavailable        no answer now; the same call may succeed later
    │   └── Throttled                 the provider asked us to wait
    ├── StoreError                    a store refused or failed
    │   ├── StoreHeld                 somebody else holds the folder
    │   └── OccupiedStore             the folder holds vectors of another space
    ├── UpgradeError                  the state of an upgrade forbids it
    │   └── LedgerError               the ledger cannot be read or trusted
    └── ContractBroken (AssertionError)  a part does not do what its kind promises

Every message has one form: *who: expected what, got what. What to do.*
"""

from __future__ import annotations


def said(cause: BaseException) -> str:
    """What a library or the machine said, without the number and the name of the file.

    Example:
        >>> said(FileNotFoundError(2, "No such file or directory", "a.jsonl"))
        'No such file or directory'
    """
    return getattr(cause, "strerror", None) or str(cause)


def no_memory(cause: BaseException) -> bool:
    """Whether a failure only says that a device, or the machine, has too little memory now.

    Example:
        >>> no_memory(RuntimeError("MPS backend out of memory (18 GB)")), no_memory(TypeError())
        (True, False)
    """
    # CUDA's error has a name of its own; other devices answer a plain RuntimeError of these words.
    if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":
        return True
    text = str(cause).lower()
    return "out of memory" in text or "can't allocate memory" in text


def spelled(text: str) -> str:
    r"""Text that UTF-8 can write: half of a surrogate pair, which it cannot, is spelled out.

    Example:
        >>> spelled("kelp \ud800")
        'kelp \\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode()


class HoldfastError(Exception):
    """Base of all errors; carries its parts so that programs need not parse text.

    Args:
        who: The object or setting that refuses.
        expected: What would have been accepted.
        got: What came instead.
        fix: What the reader can do about it.
    """

    def __init__(self, who: str, expected: str, got: str, fix: str = "") -> None:
        self.who, self.expected, self.got, self.fix = who, expected, got, fix
        super().__init__(who, expected, got, fix)

    def __str__(self) -> str:
        # What a library said often ends in a full stop of its own.
        text = f"{self.who}: expected {self.expected}, got {self.got.removesuffix('.')}."
        return f"{text} {self.fix}" if self.fix else text


class InvalidInput(HoldfastError, ValueError):
    """What was passed in cannot be used; nothing was written."""


class DimensionMismatch(InvalidInput):
    """Rows of the wrong length."""


class NotFinite(InvalidInput):
    """NaN or infinity among the numbers."""


class ZeroVector(InvalidInput):
    """A vector without a direction, under cosine."""


class DuplicateIds(InvalidInput):
    """One id twice in one call."""


class InvalidFilter(InvalidInput):
    """A `where` that cannot be evaluated."""


class NotEnoughPairs(InvalidInput):
    """Fewer paired rows than a bridge needs."""


class WrongSpace(HoldfastError, ValueError):
    """Vectors of a space that does not belong here."""


class WrongDirection(WrongSpace):
    """A bridge used backwards."""


class NotFitted(HoldfastError, ValueError, AttributeError):
    """An aligner or calibrator used before `fit`."""


class NotInvertible(HoldfastError):
    """An aligner without a way back."""


class BelowStatusQuo(HoldfastError):
    """No bridge serves as well as what serves now; `table` shows all that were tried."""

    table = ""


class MissingIds(HoldfastError, KeyError):
    """Ids that are not stored."""

    __str__ = HoldfastError.__str__


class MissingExtra(HoldfastError, ImportError):
    """An optional dependency is not installed."""


class ArtifactError(HoldfastError):
    """A file that is not, or no longer, one of ours."""


class ConfigError(HoldfastError, ValueError):
    """A setting in holdfast.toml or in a plan is wrong."""


class SourceError(HoldfastError):
    """The content of items cannot be read."""


class EncoderError(HoldfastError):
    """A model gave no usable answer.

    `transient` says whether the same call may succeed later.
    """

    transient = False


class UnfitContent(EncoderError):
    """A content that no model of its kind can read; nobody was asked."""


class WrongCount(EncoderError):
    """More or fewer vectors than items."""


class EncoderMisconfigured(EncoderError):
    """No item can be encoded until a setting changes: a token, an address, a model's name.

    The items are not at fault, so a batch that fails with this is not worth splitting.
    """


class EncoderUnavailable(EncoderError):
    """No answer now: a time-out, a lost connection, a server in trouble."""

    transient = True


class Throttled(EncoderError):
    """The provider asked us to wait; `retry_after` is in seconds, if it said."""

    transient = True

    def __init__(
        self, who: str, expected: str, got: str, fix: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(who, expected, got, fix)
        self.retry_after = retry_after


class StoreError(HoldfastError):
    """A store refused or failed."""


class StoreHeld(StoreError):
    """Another process, or another part of this one, holds the folder."""


class OccupiedStore(StoreError):
    """The folder already holds vectors of another space."""


class UpgradeError(HoldfastError):
    """The state of an upgrade forbids what was asked."""


class LedgerError(UpgradeError):
    """The ledger cannot be read, written or trusted."""


class ContractBroken(HoldfastError, AssertionError):
    """A part does not do what its kind promises; raised by the shipped contract suites."""
