"""Set-up on a bare machine: exact pins, and torch before anything that would pull it."""

import os
import re
import subprocess

import pytest

from tests.house.test_optional import normal, requirements
from tests.house.tree import ROOT, pyproject

PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def make(*arguments: str) -> str:
    ours = ("MAKE", "MFLAGS", "PIP_FLAGS")  # settings of the `make test` that runs this
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_every_pin_is_one_exact_public_version():
    assert [line for line in PINS if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+", line)] == []
    names = [line.partition("==")[0] for line in PINS]
    assert sorted(set(names)) == names


def test_every_direct_requirement_is_pinned():
    core = {normal(re.match(r"[\w.-]+", d).group()) for d in pyproject()["project"]["dependencies"]}
    wanted = core | requirements("all") | requirements("dev")
    assert wanted - {line.partition("==")[0] for line in PINS} == set()


@pytest.mark.parametrize("target", ["demo", "install", "test"])
def test_torch_is_installed_before_anything_that_needs_it(target, tmp_path):
    lines = make("--dry-run", target, f"VENV={tmp_path / 'venv'}").splitlines()
    installs = [
        line.split("install ", 1)[1] for line in lines if "pip" in line and "install" in line
    ]
    assert installs[0] == "--quiet --quiet --upgrade pip"
    assert installs[1] == "torch==2.13.0"
    assert [re.search(r"-c constraints.txt -e", line) is not None for line in installs[2:]] == [
        True
    ]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ('case "$2" in *version_info*) exit 1;; esac', "Python 3.11 or newer, got Python 3.9.2"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_refused_before_anything_is_made(tmp_path, answers, message):
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2"\n{answers}\n', encoding="utf-8"
    )
    python.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make("install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert message in caught.value.stdout
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_named(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        make("install", "PYTHON=no-such-python", f"VENV={tmp_path / 'venv'}")
    assert "found no 'no-such-python'" in caught.value.stdout


def test_help_lists_every_target():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split()
    assert [line.split()[0] for line in make("help").splitlines()] == targets
