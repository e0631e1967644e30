"""The page on upgrading a photo gallery, typed line by line, with two models of seconds."""

import json
from dataclasses import replace

import pytest

from tests.encode.tiny import KINDS, NEW, OLD, photographs, trained_folder
from tests.house.documents import blocks_of
from tests.house.test_walkthrough import walk
from tests.house.tree import ROOT

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "how-to" / "upgrade-clip.md"
MODELS = ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14")


def test_the_page_can_be_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = photographs(tmp_path / "photos", each=8)
    (tmp_path / "photos" / "2019").mkdir()
    (tmp_path / "photos" / names[0]).rename(tmp_path / "photos" / "2019" / "beach.png")
    pictures = sorted((tmp_path / "photos").rglob("*-*.png"))
    told = [f"a {p.parent.name} {p.name.partition('-')[0]}" for p in pictures]
    rows = [{"image": str(p), "text": text} for p, text in zip(pictures, told, strict=True)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = [f"{how} {c} {s}" for how in ("a", "the", "picture of the") for c, s in KINDS]
    (tmp_path / "captions.txt").write_text("\n".join(texts * 5) + "\n")

    page = PAGE.read_text(encoding="utf-8")
    for name, size, steps in zip(MODELS, (OLD, NEW), (120, 150), strict=True):
        assert name in page
        folder = trained_folder(tmp_path / "models", size, steps=steps)
        page = page.replace(name, str(folder))
    blocks = list(blocks_of(PAGE, page))
    commands = [block for block in blocks if block.language == "sh"]
    code = [block for block in blocks if block.language == "python"]
    assert (len(commands), len(code)) == (4, 2)
    walk([commands[0], commands[1], commands[2]])
    # A gallery that was never upgraded, for the second half of the page.
    config = (tmp_path / "holdfast.toml").read_text()
    walk([commands[3]])
    (tmp_path / "before.toml").write_text(config.replace('gallery = "gallery"', 'gallery = "kept"'))
    walk([replace(commands[2], code="holdfast build -c before.toml\n")])
    capsys.readouterr()
    walk(code)
    printed = capsys.readouterr().out
    assert printed.count("chosen") == 2
    assert "projection + slerp" in printed


def test_what_the_file_holds_is_what_the_page_says(tmp_path, monkeypatch):
    """The settings shown are those that `init` writes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "beach.png").touch()
    blocks = list(blocks_of(PAGE, PAGE.read_text(encoding="utf-8")))
    walk([next(b for b in blocks if b.code.startswith("holdfast init"))])
    written = (tmp_path / "holdfast.toml").read_text()
    shown = next(b for b in blocks if b.language == "toml").code
    lines = {line for line in shown.splitlines() if "=" in line}
    assert lines <= {line.strip() for line in written.splitlines()}
