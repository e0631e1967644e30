"""What losses know of the classes of an old model, measured once from its vectors."""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import Tensor, as_labels, as_rows, as_tensor, torch, unit


def class_means(vectors: object, labels: object, classes: int) -> Tensor:
    """Mean of the unit vectors of each class; not scaled to length one.

    A short mean says that the old model scatters the class. OCA and BT^2 take the means of
    classes that the old model never saw as well.

    Args:
        vectors: (n, d) rows of the old model.
        labels: (n,) class numbers.
        classes: Number of classes.
    Returns:
        (classes, d); zero rows for classes without items.
    """
    rows = unit(as_rows(vectors, "class_means"))
    numbers = class_numbers(labels, rows, classes)
    counts = torch.bincount(numbers, minlength=classes).clamp(min=1)
    sums = rows.new_zeros(classes, rows.shape[1]).index_add_(0, numbers, rows)
    return sums / counts[:, None]


def class_radii(vectors: object, labels: object, centres: Tensor) -> Tensor:
    """(classes,) largest distance of a unit vector from the centre of its class."""
    rows = unit(as_rows(vectors, "class_radii"))
    numbers = class_numbers(labels, rows, len(centres))
    distances = (rows - centres[numbers]).norm(dim=1)
    return rows.new_zeros(len(centres)).scatter_reduce_(0, numbers, distances, "amax")


def class_floors(vectors: object, labels: object, centres: Tensor) -> Tensor:
    """(classes,) smallest cosine of a vector with the centre of its class; 1 without items."""
    rows = unit(as_rows(vectors, "class_floors"))
    numbers = class_numbers(labels, rows, len(centres))
    cosines = (rows * unit(centres)[numbers]).sum(1)
    return rows.new_ones(len(centres)).scatter_reduce_(0, numbers, cosines, "amin")


def credible_rows(vectors: object, labels: object, classes: int, share: float = 0.9) -> Tensor:
    """(n,) whether a vector is among the share of its class that lies nearest its mean.

    Args:
        vectors: (n, d) rows of the old model.
        labels: (n,) class numbers.
        classes: Number of classes.
        share: In (0, 1]; at least one row of each class is believed.
    Raises:
        InvalidInput: A share outside (0, 1], or labels that are no classes.
    """
    if not 0.0 < share <= 1.0:
        raise InvalidInput("credible_rows", "a share in (0, 1]", repr(share))
    rows = unit(as_rows(vectors, "credible_rows"))
    numbers = class_numbers(labels, rows, classes)
    distances = (rows - class_means(rows, numbers, classes)[numbers]).norm(dim=1)
    order = torch.argsort(distances, stable=True)
    order = order[torch.argsort(numbers[order], stable=True)]
    counts = torch.bincount(numbers, minlength=classes)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - starts[numbers[order]]
    return rank < (counts * share).ceil().clamp(min=1)[numbers]


def known_classes(known: object | None, rows: Tensor, owner: str) -> Tensor:
    """(classes,) which classes are known; all where nothing is said.

    Args:
        known: (classes,) which ones, or None.
        rows: (classes, d) what is known of them.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: Another number of them.
    """
    found = torch.ones(len(rows)) if known is None else as_tensor(known, owner)
    if found.shape != (len(rows),):
        raise InvalidInput(owner, f"{len(rows)} entries of known", str(tuple(found.shape)))
    return found.bool().to(rows.device)


def own_rows(labels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """(b,) the row of each item's class, or the first, and (b,) whether that class is known."""
    inside = labels < len(known)
    own = torch.where(inside, labels, torch.zeros_like(labels))
    return own, inside & known[own]


def class_numbers(labels: object, rows: Tensor, classes: int) -> Tensor:
    """(n,) class numbers of (n, d) rows, where these are.

    Raises:
        InvalidInput: Another number of them, or one that is no class.
    """
    numbers = as_labels(labels, len(rows), "prototypes").to(rows.device)
    if len(numbers) and int(numbers.max()) >= classes:
        raise InvalidInput("prototypes", f"classes below {classes}", str(int(numbers.max())))
    return numbers
