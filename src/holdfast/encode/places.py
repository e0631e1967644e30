"""Places on the globe: spherical harmonics, damped so that nearer places score higher.

    coordinate of degree l, order m:   exp(-t l (l + 1) / 2) Y_lm(place),   l < degree

The product of two such rows depends on the angle between the places alone. Undamped it
ripples: a place far away may beat a near one. Damped as heat spreads, with t the spread, it
falls strictly with distance once the degree is high enough for t. Raising the degree
appends coordinates, so a space of degree 20 `extends` one of degree 10 and the same spread.

Only for the nearest place three numbers do: the unit vectors of places, whose product falls
with distance exactly. Harmonics earn their length where a straight reader or a weighted
merge must use the place, at the scale that the spread sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import Vectors
from ..errors import ConfigError, EncoderError
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .base import as_answer, nothing

Float64Array = npt.NDArray[np.float64]

_NAMES = (("lat", "lon"), ("latitude", "longitude"), ("lat", "lng"))


class PlacesEncoder:
    """Places on the globe by damped spherical harmonics.

    A content is latitude and longitude in degrees: text, "48.85, 2.35"; or a pair of numbers;
    or an object with lat and lon.

    Args:
        degree: Harmonics below this degree are used: degree^2 coordinates.
        spread: Similarity has faded at a distance of about twice the square root of this,
            in radians. Too small a spread for the degree ripples.
        extends: Degree of the space, of the same spread, that this one extends.
        name: Label of the space.
    Raises:
        ConfigError: A degree below 1, a spread that is not positive, or no lower degree.
    Source: Russwurm et al. 2024 (arXiv 2310.06743), whose harmonics feed a network. Departs
        from it: none follows, so degrees are damped by the heat kernel.
    Example:
        >>> encoder = PlacesEncoder(degree=12, spread=0.2)
        >>> rows = encoder.encode(["48.9, 2.4", "51.5, -0.1", "-33.9, 151.2"], "document").array
        >>> bool(rows[0] @ rows[1] > rows[0] @ rows[2])
        True
    """

    def __init__(
        self,
        degree: int = 20,
        spread: float = 0.05,
        extends: int | None = None,
        name: str | None = None,
    ) -> None:
        if degree < 1 or not spread > 0.0 or not (extends is None or 1 <= extends < degree):
            raise ConfigError(
                "PlacesEncoder",
                "a degree from 1, a positive spread, and a lower degree to extend",
                f"{degree}, {spread}, {extends}",
            )
        self.degree, self.spread = int(degree), float(spread)
        old = None if extends is None else self._mark(extends)
        label = name or f"places-{degree}"
        self.space = Space(label, degree**2, "cosine", self._mark(self.degree), extends=old)

    def _mark(self, degree: int) -> str:
        return fingerprint("spherical-harmonics", revision="1", degree=degree, spread=self.spread)

    @cached_property
    def _damping(self) -> Float64Array:
        degrees = np.repeat(np.arange(self.degree), 2 * np.arange(self.degree) + 1)
        out: Float64Array = np.exp(-self.spread * degrees * (degrees + 1) / 2.0)
        return out

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_contents(contents, role, repr(self))
        if not given:
            return nothing(self.space)
        places = np.array([read_place(content, at) for at, content in enumerate(given)])
        rows = harmonics(places, self.degree) * self._damping
        return as_answer(rows.astype(np.float32), len(given), self.space, repr(self))

    def __repr__(self) -> str:
        return f"PlacesEncoder(degree={self.degree}, spread={self.spread:g})"


def harmonics(places: Float64Array, degree: int) -> Float64Array:
    """(n, degree^2) real, orthonormal spherical harmonics, by rising degree and order.

    Args:
        places: (n, 2) latitude and longitude in degrees.
        degree: At least 1; harmonics below it.
    """
    from scipy.special import sph_harm_y

    polar, around = np.radians(90.0 - places[:, 0]), np.radians(places[:, 1])
    out = np.empty((len(places), degree**2))
    for each in range(degree):
        orders = np.arange(each + 1)[:, None]
        complex_ = sph_harm_y(each, orders, polar, around)
        middle = each**2 + each
        out[:, middle] = complex_[0].real
        sign = np.sqrt(2.0) * (-1.0) ** orders[1:]
        out[:, middle + 1 : middle + each + 1] = (sign * complex_[1:].real).T
        out[:, each**2 : middle] = (sign * complex_[1:].imag).T[:, ::-1]
    return out


def read_place(content: Any, at: int = 0) -> tuple[float, float]:
    """Latitude and longitude of a content.

    Args:
        content: See `PlacesEncoder`.
        at: Its place in the call, for the message.
    Raises:
        EncoderError: No two numbers, or none on the globe.
    """
    try:
        if isinstance(content, str):
            parts: Sequence[Any] = content.replace(",", " ").split()
        elif isinstance(content, Mapping):
            named = next(names for names in _NAMES if all(name in content for name in names))
            parts = [content[name] for name in named]
        else:
            parts = list(content)
        latitude, longitude = (float(part) for part in parts)
    except (TypeError, ValueError, OverflowError, StopIteration) as cause:
        raise EncoderError(
            "PlacesEncoder",
            'latitude and longitude, such as "48.85, 2.35"',
            f"{content!r:.60} at place {at}",
        ) from cause
    if not (abs(latitude) <= 90.0 and -180.0 <= longitude <= 360.0):
        raise EncoderError(
            "PlacesEncoder",
            "latitude in [-90, 90] and longitude in [-180, 360]",
            f"{latitude:g}, {longitude:g} at place {at}",
            "Latitude comes first.",
        )
    return latitude, longitude
