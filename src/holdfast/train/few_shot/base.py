"""What all few-shot methods share: sessions of classes, and the nearest class row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ...arrays import FloatArray, IntArray
from ...errors import DimensionMismatch, InvalidInput, NotFitted
from ..model import Inputs, taken
from ..scenarios import Scenario
from ..tensors import Tensor, as_tensor, torch, unit


class Towers(Protocol):
    """Unit rows of pictures and texts in one space: `PromptedClip`, or anything like it."""

    def image_vectors(self, images: Tensor, /) -> Tensor:
        """(b, d) unit rows of (b, ...) pictures."""
        ...

    def text_vectors(self, texts: Sequence[str], /) -> Tensor:
        """(c, d) unit rows of texts."""
        ...


class SessionClassifier(ABC):
    """Classes come session by session; the class whose row is nearest by cosine answers.

    Args:
        towers: Of pictures and texts.
        templates: Texts with one {} for the name of a class.
        device: Where pictures are looked at.
        size: Pictures at once, where nothing is learned.
    """

    def __init__(
        self,
        towers: Towers,
        templates: Sequence[str] = ("{}.",),
        device: str = "cpu",
        size: int = 256,
    ) -> None:
        wrong = [text for text in templates if text.count("{}") != 1]
        if not templates or wrong:
            raise InvalidInput(
                type(self).__name__, "templates with one {}", repr(wrong or list(templates))
            )
        self.towers, self.templates = towers, tuple(templates)
        self.device, self.size = device, size
        self.sessions: list[tuple[str, ...]] = []

    @property
    def classes(self) -> tuple[str, ...]:
        """All that are known, in the order in which they came."""
        return tuple(name for names in self.sessions for name in names)

    def fit_session(self, images: Inputs, labels: npt.ArrayLike, names: Sequence[str]) -> Self:
        """Learn the classes of one session; earlier pictures are not needed.

        Args:
            images: (n) pictures.
            labels: (n,) place of each picture's class among `names`.
            names: New classes.
        Raises:
            InvalidInput: Known classes, one without pictures, or other numbers of labels.
        """
        who, numbers = type(self).__name__, np.asarray(labels)
        new = len({*self.classes, *names}) == len(self.classes) + len(names)
        if not names or isinstance(names, str) or not new:
            raise InvalidInput(who, "names of new classes", f"{names!r}"[:80])
        whole = numbers.dtype.kind in "iu" and numbers.shape == (len(images),)
        got = (
            f"labels {sorted({*numbers.tolist()})}" if whole else f"{numbers.dtype} {numbers.shape}"
        )
        if not whole or not np.array_equal(np.unique(numbers), np.arange(len(names))):
            raise InvalidInput(
                who,
                f"{len(images)} labels, and pictures of {len(names)} classes",
                got[:80],
                "Labels are places among the names of this session.",
            )
        self.sessions.append(tuple(names))
        try:
            self._learn(images, torch.from_numpy(numbers.astype(np.int64)))
        except BaseException:
            self.sessions.pop()
            raise
        return self

    @abstractmethod
    def _learn(self, images: Inputs, labels: Tensor) -> None:
        """Learn the last of `sessions`."""

    @abstractmethod
    def class_vectors(self) -> Tensor:
        """(C, d) unit rows of all classes."""

    def predict(self, images: Inputs) -> IntArray:
        """(n,) places in `classes`.

        Raises:
            NotFitted: There was no session yet.
        """
        return self.nearest(self.vectors(images))

    def nearest(self, rows: FloatArray) -> IntArray:
        """(n,) places in `classes`, of (n, d) `vectors` made before.

        Raises:
            NotFitted: There was no session yet.
            DimensionMismatch: Rows of another length.
        """
        owner = type(self).__name__
        if not self.sessions:
            raise NotFitted(owner, "a session", "none", "Call fit_session first.")
        known = self.class_vectors().float().cpu()
        if rows.shape[-1] != known.shape[1]:
            raise DimensionMismatch(owner, f"rows of {known.shape[1]} numbers", str(rows.shape))
        scores = as_tensor(rows, owner).float() @ known.T
        found: IntArray = scores.argmax(dim=1).numpy()
        return found

    def vectors(self, images: Inputs) -> FloatArray:
        """(n, d) unit rows of pictures, such as a gallery would store now."""
        found: FloatArray = self._rows(images).numpy()
        return found

    def _rows(self, images: Inputs) -> Tensor:
        parts = []
        for start in range(0, len(images), self.size):
            places = np.arange(start, min(start + self.size, len(images)))
            with torch.no_grad():
                part = self.towers.image_vectors(taken(images, places, self.device))
            parts.append(part.float().cpu())
        if not parts:
            raise InvalidInput(type(self).__name__, "at least one picture", "none")
        rows = torch.cat(parts)
        wild = torch.nonzero(~torch.isfinite(rows).all(1))
        if len(wild):
            raise InvalidInput(
                type(self).__name__, "finite rows of pictures", f"others of picture {int(wild[0])}"
            )
        return rows

    def _names_rows(self, names: Sequence[str]) -> Tensor:
        """(c, d) unit rows of names: the mean over the templates."""
        with torch.no_grad():
            rows = [self.towers.text_vectors([t.format(n) for n in names]) for t in self.templates]
        return unit(torch.stack(rows).mean(dim=0).float().cpu())


def means(rows: Tensor, labels: Tensor, count: int) -> Tensor:
    """(count, d) unit rows: the mean of each class's rows, scaled."""
    sums = torch.zeros(count, rows.shape[1], dtype=rows.dtype)
    return unit(sums.index_add_(0, labels, rows))


def sessions(
    method: SessionClassifier, images: Inputs, scenario: Scenario
) -> Iterator[SessionClassifier]:
    """Fit one session after another.

    Args:
        method: Fresh.
        images: (N) pictures, of the items of the scenario.
        scenario: From `scenarios.few_shot`.
    Yields:
        The method after each session.
    """
    for task in scenario.tasks:
        places = {task.interface.places[name]: n for n, name in enumerate(task.classes)}
        labels = [places[number] for number in task.labels[task.items].tolist()]
        yield method.fit_session(_Part(images, task.items), labels, task.classes)


class _Part:
    """Some of the pictures; looked at when they are asked for, as there may be many."""

    def __init__(self, images: Inputs, items: IntArray) -> None:
        self.images, self.items = images, torch.from_numpy(items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, places: Any) -> Any:
        return self.images[self.items[places]]
