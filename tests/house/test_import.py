"""Importing is cheap: nothing heavy before it is needed, and extras only through `need`."""

import functools
import json
import subprocess
import sys

import pytest

from holdfast.optional import EXTRAS

# Prints which packages, outside the standard library, an import has loaded.
LOADED = """
import json, sys
{statement}
roots = {{name.partition(".")[0] for name in sys.modules}}
print(json.dumps(sorted(roots - set(sys.stdlib_module_names))))
"""

# Imports every module, or those of training, which are torch but for what lies below.
EVERYTHING = """
import importlib, pkgutil, holdfast
light = {{"holdfast.train.interface", "holdfast.train.vertices"}}
for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
    trains = module.name.startswith("holdfast.train.") and module.name not in light
    drops = module.name.startswith("holdfast.dropin.")  # a class of a framework is its purpose
    if trains == {training} and not drops and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""

COST = """
import time
start = time.process_time()
import numpy
middle = time.process_time()
import holdfast
print((time.process_time() - middle) / (middle - start))
"""


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@functools.cache
def loaded(statement: str) -> set[str]:
    return set(json.loads(run(LOADED.format(statement=statement))))


def test_the_package_loads_numpy_at_most():
    environment = loaded("pass")  # hooks that the environment itself puts into every process
    assert loaded("import holdfast") - environment <= {"holdfast", "numpy"}


def test_the_probe_sees_what_is_loaded():
    assert {"holdfast", "safetensors"} <= loaded("import holdfast, safetensors")


@pytest.mark.parametrize("name", ["Space", "Hits", "Item", "Vectors", "MemoryStore"])
def test_values_and_the_memory_store_need_numpy_only(name):
    extra = loaded(f"from holdfast import {name}") - loaded("import numpy")
    assert extra == {"holdfast"}


def test_a_service_starts_without_what_only_maps_need():
    """Scikit-learn and SciPy take longer to import than all the rest: commands wait for it."""
    found = loaded("import holdfast.service.serve, holdfast.upgrade.assess, holdfast.report")
    assert "pydantic" in found
    assert found & {"sklearn", "scipy"} == set()


def test_no_module_loads_an_extra_when_it_is_imported():
    assert loaded(EVERYTHING.format(training=False)) & set(EXTRAS) == set()


def test_training_loads_torch_alone():
    assert loaded(EVERYTHING.format(training=True)) & set(EXTRAS) == {"torch"}


@pytest.mark.parametrize(
    ("module", "framework", "other"),
    [("langchain", "langchain_core", "llama_index"), ("llama_index", "llama_index", "torch")],
)
def test_a_drop_in_loads_its_own_framework(module, framework, other):
    found = loaded(f"import holdfast.dropin.{module}")
    assert framework in found
    assert other not in found


def test_importing_costs_a_fraction_of_importing_numpy():
    assert min(float(run(COST)) for _ in range(3)) < 0.25
