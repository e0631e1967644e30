"""`holdfast inspect`: what is in the folder of a gallery, without changing any of it."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HoldfastError, StoreHeld, said
from .face import Face, command
from .tables import facts

if TYPE_CHECKING:
    from ..space import Space
    from ..upgrade.project import Project

_SAMPLE = 100  # rows whose payload keys are collected


@command("inspect")
def inspect(face: Face) -> None:
    """Show what the gallery holds: spaces, counts, keys, files."""
    project = face.project
    state, spaces, serving = _known(project)
    if serving is None:
        models = {"old": _model(project, "old"), "new": _model(project, "new")}
    else:
        models = {"new": _model(project, "new")} if "new" not in spaces else {}
    stores = {
        name: _store(project, space)
        for name, space in {**spaces, **({"serving": serving} if serving else {})}.items()
        if name != "serving" or serving not in spaces.values()
    }
    data = {
        "folder": str(project.folder),
        "built": serving is not None,
        "state": state,
        "serving": serving.to_json() if serving else None,
        "relation": _relation(spaces, serving, models),
        "models": models,
        "stores": stores,
        "files": _files(project.folder),
    }
    face.answer(data, facts(_spoken(data)))


def _known(project: Project) -> tuple[str | None, dict[str, Space], Space | None]:
    """State, the spaces of the latest upgrade, and the space that is read: old while both are."""
    if not (project.folder / "ledger.sqlite").exists():
        return None, {}, None
    ledger = project.ledger(readonly=True)
    try:
        upgrade = ledger.upgrade()
        serving = project.serving(ledger)
        if upgrade is None:
            return None, {}, serving
        if upgrade.state == "finished":
            return upgrade.state, {"new": upgrade.new}, upgrade.new
        if upgrade.state == "cut over":
            serving = upgrade.new
        return upgrade.state, {"old": upgrade.old, "new": upgrade.new}, serving
    finally:
        ledger.close()


def _model(project: Project, name: str) -> dict[str, Any]:
    """The space of a configured model, or why it cannot be opened."""
    try:
        encoder = project.old_encoder if name == "old" else project.new_encoder
        # Some know their space only once the model is loaded.
        return {"space": encoder.space.to_json() if encoder else None, "problem": None}
    except HoldfastError as error:
        return {"space": None, "problem": str(error)}


def _relation(
    spaces: dict[str, Space], serving: Space | None, models: dict[str, Any]
) -> str | None:
    """How the new space relates to the old one."""
    from ..space import Space, relation

    ends = []
    for name in ("new", "old"):
        told = models.get(name, {}).get("space")
        ends.append(spaces.get(name) or (Space.from_json(told) if told else None))
    new, old = ends[0], ends[1] or serving
    return relation(new, old) if new and old else None


def _store(project: Project, space: Space) -> dict[str, Any]:
    """What a store holds; opened only where it exists, since opening would make it."""
    found: dict[str, Any] = {
        "space": space.to_json(),
        "items": None,
        "visible": None,
        "payload_keys": None,
        "problem": None,
    }
    if not list((project.folder / "stores").glob(f"*-{space.fingerprint}")):
        return {**found, "problem": "no store yet"}
    try:
        store = project.store(space)
    except StoreHeld as error:
        return {**found, "problem": error.got.removeprefix("one ")}
    except HoldfastError as error:
        return {**found, "problem": str(error)}
    except OSError as error:  # such as a disk that is read-only
        return {**found, "problem": said(error)}
    try:
        payloads = store.scan(limit=_SAMPLE).rows.payloads
        keys = sorted(set(chain.from_iterable(payloads)))
        return {**found, "items": len(store), "visible": store.visible, "payload_keys": keys}
    finally:
        store.close()


def _files(folder: Path) -> dict[str, int]:
    """Bytes on disk, one entry for each store, bridge and file of the folder."""
    if not folder.is_dir():
        return {}
    tops = [path for path in folder.iterdir() if path.name not in ("stores", "bridges")]
    for name in ("stores", "bridges"):
        tops += (folder / name).iterdir() if (folder / name).is_dir() else []
    sizes = {str(path.relative_to(folder)): _size(path) for path in sorted(tops)}
    return {name: size for name, size in sizes.items() if size}


def _size(path: Path) -> int:
    """What it takes on disk; stores reserve more than they use."""
    parts = path.rglob("*") if path.is_dir() else [path]
    return sum(512 * part.stat().st_blocks for part in parts if part.is_file())


def _spoken(data: dict[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [("folder", data["folder"])]
    if not data["built"]:
        rows.append(("state", "nothing built yet: holdfast build"))
    else:
        rows.append(("state", data["state"] or "no upgrade planned"))
    for name, model in data["models"].items():
        rows.append((f"{name} model", model["problem"] or _space(model["space"])))
    if data["relation"]:
        rows.append(("relation", f"new to old: {data['relation']}"))
    for name, store in data["stores"].items():
        rows.append((f"{name} side", _space(store["space"])))
        if store["problem"]:
            rows.append(("", store["problem"]))
        else:
            rows.append(("", f"{store['items']:,} items, {store['visible']:,} of them visible"))
            rows.append(("", f"payload keys: {', '.join(store['payload_keys']) or 'none'}"))
    rows += [("file", f"{name}, {_bytes(size)}") for name, size in data["files"].items()]
    return rows


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _space(told: dict[str, Any] | None) -> str:
    if told is None:
        return "none: dead"
    return f"{told['name']}, {told['dim']}-d {told['metric']}, {told['fingerprint']}"
