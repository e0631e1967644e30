"""The command line itself: quick to start, light to import, and complete."""

import json
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

import holdfast
from holdfast.cli import main

HEAVY = {"torch", "sklearn", "qdrant_edge", "pydantic", "numpy", "rich", "matplotlib", "faiss"}


def python(program):
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing_heavy():
    program = "import json, sys, {}; print(json.dumps([m.partition('.')[0] for m in sys.modules]))"
    plain = set(json.loads(python(program.format("os"))))
    loaded = set(json.loads(python(program.format("holdfast.cli")))) - plain
    assert loaded & HEAVY == set()
    assert "click" in loaded


def test_help_is_there_at_once():
    command = [sys.executable, "-m", "holdfast", "--help"]
    bare = min(timed([sys.executable, "-c", "pass"]) for _ in range(3))
    assert min(timed(command) for _ in range(5)) - bare < 0.3


def timed(command):
    """Seconds of a core: other processes may keep it waiting."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_the_version_is_the_package_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"holdfast, version {holdfast.__version__}\n"


def test_as_a_module_it_is_called_holdfast():
    out = subprocess.run(
        [sys.executable, "-m", "holdfast", "backfill", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out.startswith("Usage: holdfast backfill [OPTIONS]")


def test_commands_are_listed_in_the_order_of_an_upgrade():
    names = list(main.commands)
    order = ["demo", "init", "build", "plan", "backfill", "cutover", "rollback", "finish"]
    assert [name for name in names if name in order] == order
    lines = CliRunner().invoke(main, []).stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == names


def test_the_bare_word_shows_help():
    bare, asked = CliRunner().invoke(main, []), CliRunner().invoke(main, ["--help"])
    assert (bare.exit_code, bare.stdout) == (0, asked.stdout)
    assert "holdfast demo" in bare.stdout


@pytest.mark.parametrize("name", list(main.commands))
def test_every_command_takes_the_shared_options_and_has_help(name):
    options = {opt for parameter in main.commands[name].params for opt in parameter.opts}
    assert {"--json", "--quiet"} <= options
    # A demo brings its own configuration; training is told by a recipe, not by an upgrade's.
    assert ("--config" in options) == (name not in {"demo", "train"})
    assert main.commands[name].help
