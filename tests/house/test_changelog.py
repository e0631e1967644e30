"""The changelog speaks of the version that is here, in the form it promises."""

import re

import holdfast
from tests.house.tree import ROOT

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
VERSION = re.compile(r"^## \[(\d+\.\d+\.\d+)\] - (Unreleased|\d{4}-\d{2}-\d{2})$", re.MULTILINE)

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_newest_version_is_the_package_version():
    assert VERSION.findall(TEXT)[0][0] == holdfast.__version__


def test_versions_fall_and_only_the_newest_may_be_unreleased():
    entries = VERSION.findall(TEXT)
    numbers = [tuple(map(int, version.split("."))) for version, _ in entries]
    assert numbers == sorted(set(numbers), reverse=True)
    assert "Unreleased" not in [date for _, date in entries[1:]]


def test_every_heading_has_the_form_it_promises():
    assert len(re.findall(r"^## ", TEXT, re.MULTILINE)) == len(VERSION.findall(TEXT))
    kinds = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
    assert kinds
    assert set(kinds) <= KINDS
