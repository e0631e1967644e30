"""The page: one HTML file without scripts, and with nothing to fetch.

It says so itself: its content security policy lets a browser load nothing at all.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ..artifact import write_whole
from ..errors import InvalidInput
from ..upgrade.ledger import Ledger
from . import decision, sections
from .build import Report
from .markup import Html, element, joined
from .words import headline, state_words

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_MARK = b' name="generator" content="holdfast '
_HEAD = 1_000  # bytes of a page, within which its mark stands


def render(report: Report) -> str:
    """The whole page; the same report gives the same text."""
    upgrade = report.upgrade
    title = f"{upgrade.old.name} → {upgrade.new.name}" if upgrade else "No upgrade yet"
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"holdfast {report.versions['holdfast']}"),
        element("title", f"Upgrade report: {title}"),
        element("style", Html(style)),
    )
    body = element("body", element("main", *_parts(report, title)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _parts(report: Report, title: str) -> list[Html]:
    state = report.state or "none"
    pill = element("span", state, class_=f"pill {state.replace(' ', '-')}")
    top = element(
        "header",
        element("p", joined(("Holdfast upgrade report ", pill)), class_="kind"),
        element("h1", title),
        element("p", headline(report), class_="verdict"),
        element("p", state_words(report)),
        sections.summary(report),
    )
    told = (
        sections.quality,
        sections.steps,
        sections.history,
        sections.quarantine,
        sections.plan,
        sections.reproduce,
    )
    parts = [top, *(section(report) for section in told)]
    if report.assessment is not None:  # before all that came of it
        parts.insert(1, decision.decision(report, report.assessment))
    return parts


def write_report(ledger: Ledger, path: Path | str) -> Path:
    """Write the report of a ledger, whole or not at all.

    Args:
        ledger: May be read-only.
        path: The HTML file; an earlier report is replaced, its folder is created.
    Returns:
        The file.
    Raises:
        InvalidInput: The path is a folder, or a file that is no report.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidInput("write_report", "a file to write", f"the folder {path}", "Name a file.")
    if path.exists() and not _is_replaceable(path):
        raise InvalidInput(
            "write_report",
            "a new file, or an earlier report",
            f"{path}, which is something else",
            "Name another file, or remove this one.",
        )
    text = render(Report.of(ledger))
    write_whole(path, text.encode())
    return path


def _is_replaceable(path: Path) -> bool:
    """Whether there is a report, or an empty file; a device is none, and would be renamed over."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_HEAD)
    return not start or _MARK in start
