"""What tests of the upgrade share."""

import pytest

from holdfast.upgrade.foresight.forecast import Measure
from holdfast.upgrade.foresight.sampling import first_sample, gather
from tests.upgrade.setup import Setup
from tests.upgrade.worlds import World


@pytest.fixture
def setup(tmp_path):
    """Makes a `Setup` from its options; its gallery is closed in the end."""
    made = []

    def make(**options):
        made.append(Setup(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.gallery.close()


@pytest.fixture(scope="module")
def world():
    """A new model that sees better than the old one, and few documents."""
    return World((0.12, 0.12), (0.05, 0.05), queries=60, count=800)


@pytest.fixture(scope="module")
def known(world):
    """What is known of it when a fifth was read."""
    measure = Measure(world.judge, "R@10")
    return gather(world.known, first_sample(world.relevant, 160), 160, measure)
