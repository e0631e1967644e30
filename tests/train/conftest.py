"""What tests of training share."""

from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def _seeded():
    """The same numbers for a test whatever ran before it in the process."""
    if find_spec("torch"):
        import torch

        torch.manual_seed(0)
