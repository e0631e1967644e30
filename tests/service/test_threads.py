"""A service leaves its cores to searches."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, sys
import numpy
from threadpoolctl import threadpool_info
from holdfast.service.threads import share_cores
share_cores()
blas = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
print(json.dumps([blas, sys.getswitchinterval()]))
"""


def test_products_of_arrays_take_one_thread_and_turns_are_short():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    blas, turn = json.loads(done.stdout)
    assert blas
    assert set(blas) == {1}
    assert turn == 0.001
