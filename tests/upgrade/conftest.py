"""What tests of the upgrade share."""

import pytest

from tests.upgrade.setup import Setup


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
