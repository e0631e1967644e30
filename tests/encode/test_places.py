"""Spherical harmonics: orthonormal, the addition theorem, and scores that fall with distance."""

import numpy as np
import pytest
from scipy.special import eval_legendre
from scipy.stats import spearmanr

from holdfast.encode.check import encoder_checks
from holdfast.encode.places import PlacesEncoder, harmonics, read_place
from holdfast.errors import ConfigError, EncoderError
from holdfast.space import relation

RNG = np.random.default_rng(0)
PLACES = np.column_stack(
    [np.degrees(np.arcsin(RNG.uniform(-1, 1, 200))), RNG.uniform(-180, 180, 200)]
)


def angles(places):
    """(n, n) great-circle angles."""
    lat, lon = np.radians(places).T
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return np.arccos(np.clip(xyz @ xyz.T, -1, 1))


def test_harmonics_are_orthonormal():
    degree = 10
    nodes, weights = np.polynomial.legendre.leggauss(2 * degree)
    around = np.arange(4 * degree) * 360.0 / (4 * degree)
    places = np.array([(lat, lon) for lat in np.degrees(np.arcsin(nodes)) for lon in around])
    weights = np.repeat(weights, 4 * degree) * 2 * np.pi / (4 * degree)
    table = harmonics(places, degree)
    product = (table * weights[:, None]).T @ table
    assert np.abs(product - np.eye(degree**2)).max() < 1e-10


def test_products_follow_the_addition_theorem():
    table, cosines = harmonics(PLACES, 12), np.cos(angles(PLACES))
    wanted = sum((2 * d + 1) / (4 * np.pi) * eval_legendre(d, cosines) for d in range(12))
    assert np.abs(table @ table.T - wanted).max() < 1e-10


def test_damped_scores_fall_strictly_with_distance_and_undamped_ones_do_not():
    angle = np.linspace(0, np.pi, 500)
    equator = np.column_stack([np.zeros(500), np.degrees(angle)])
    rows = PlacesEncoder(12, 0.2).encode(equator.tolist(), "document").array.astype(np.float64)
    scores = rows @ rows[0]
    assert (np.diff(scores) < 1e-9).all()
    assert spearmanr(scores, -angle).statistic > 0.999
    plain = harmonics(equator, 12)
    assert spearmanr(plain @ plain[0], -angle).statistic < 0.6


def test_a_higher_degree_extends_the_space_bit_by_bit():
    old, new = PlacesEncoder(10), PlacesEncoder(20, extends=10)
    assert relation(new.space, old.space) == "extends"
    assert relation(PlacesEncoder(20, 0.1, extends=10).space, old.space) == "unrelated"
    few, many = (e.encode(PLACES.tolist(), "query").array for e in (old, new))
    ratio = np.linalg.norm(many[:, :100], axis=1, keepdims=True)
    np.testing.assert_allclose(many[:, :100] / ratio, few, atol=1e-6)
    assert np.ptp(ratio) < 1e-5  # every place has the same length at every degree


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check):
    check(PlacesEncoder, ["48.85, 2.35", "-33.9 151.2", "0, 0", "90, 0"])


def test_places_are_read_in_any_of_their_forms():
    forms = ["48.85, 2.35", "48.85 2.35", (48.85, 2.35), {"lat": 48.85, "lng": 2.35},
             {"latitude": "48.85", "longitude": 2.35}]  # fmt: skip
    assert {read_place(form) for form in forms} == {(48.85, 2.35)}
    for wrong in ("Paris", "1, 2, 3", {"lat": 1}, None, "151, -33", (10**400, 1)):
        with pytest.raises(EncoderError):
            read_place(wrong)
    with pytest.raises(ConfigError):
        PlacesEncoder(10, extends=10)
