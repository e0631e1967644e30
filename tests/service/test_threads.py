"""A service leaves its cores to searches."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys
import numpy
from threadpoolctl import threadpool_info
from holdfast.service.threads import share_cores
share_cores()
blas = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
print(json.dumps([blas, sys.getswitchinterval(), os.environ["OMP_WAIT_POLICY"]]))
"""


def test_products_of_arrays_take_one_thread_and_turns_are_short():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    blas, turn, _ = json.loads(done.stdout)
    assert blas
    assert set(blas) == {1}
    assert turn == 0.001


@pytest.mark.parametrize(("told", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_of_models_do_not_spin_unless_somebody_wants_them_to(told, wanted):
    known = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=known | ({"OMP_WAIT_POLICY": told} if told else {}),
    )
    assert json.loads(done.stdout)[2] == wanted
