"""Imports point downwards only: the contracts in pyproject.toml, and that they bite."""

import re
import subprocess
import sys

import pytest

from tests.house.tree import ROOT

LINT = "import sys; from importlinter.cli import lint_imports_command as run; run(sys.argv[1:])"


def lint(config) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-cache", "--no-logo", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_every_contract_is_kept():
    result = lint(ROOT / "pyproject.toml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", result.stdout)


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ('    "hits",\n    "arrays",\n', '    "arrays",\n    "hits",\n'),  # arrays above hits
        ('    "items",\n', ""),  # a module that belongs nowhere
        ('    "errors",\n', '    "errors",\n    "nothing",\n'),  # a layer that is not there
    ],
)
def test_a_broken_contract_is_reported(tmp_path, written, changed):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert text.count(written) == 1
    config = tmp_path / "pyproject.toml"
    config.write_text(text.replace(written, changed), encoding="utf-8")
    assert lint(config).returncode == 1
