"""Trainings here are small: one thread, so that they end alike on a machine of any cores."""

from importlib.util import find_spec

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums of floats depend on how many threads share them, and idle threads spin."""
    if not find_spec("torch"):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
