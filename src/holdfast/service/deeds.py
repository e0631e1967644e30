"""What the upgrade can be told to do, when, and in which words it must be confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput, UpgradeError
from ..report.words import counted, duration, percent

Stand = Mapping[str, Any]

READ_NEW = "read the new side alone"
READ_PART = "read the new side in part"
READ_OLD = "read the old side alone"
STEP_BACK = "read the old side for now"
GIVE_UP = "give up the old side"


def _never(stand: Stand) -> str:
    del stand
    return ""


@dataclass(frozen=True, slots=True)
class Deed:
    """One command.

    Args:
        name: In paths.
        label: On a button.
        states: Those of an upgrade in which it is allowed; None stands for no upgrade.
        tells: What will happen, from where the upgrade stands.
        confirm: The words that must come with it; empty where none are needed.
        unless: Why it is not allowed although the state would do; empty where it is.
    """

    name: str
    label: str
    states: tuple[str | None, ...]
    tells: Callable[[Stand], str]
    confirm: str = ""
    unless: Callable[[Stand], str] = _never

    def refusal(self, stand: Stand) -> str:
        """Why it is not allowed now; empty where it is."""
        if stand["state"] in self.states:
            return self.unless(stand)
        return f"the upgrade is {stand['state'] or 'not planned'}"

    def check(self, stand: Stand, confirm: str) -> None:
        """Refuse what is not allowed now, or not confirmed in the right words.

        Raises:
            UpgradeError: Not allowed now.
            InvalidInput: Other words, or none; the fix says what would happen.
        """
        why = self.refusal(stand)
        if why:
            allowed = " or ".join(state or "not planned" for state in self.states)
            raise UpgradeError(self.label.lower(), f"an upgrade that is {allowed}", why)
        if self.confirm and confirm != self.confirm:
            raise InvalidInput(
                f"{self.label.lower()}: confirm",
                f'"{self.confirm}"',
                "no such words" if not confirm else ascii(confirm)[:80],
                self.tells(stand),
            )


def _start(stand: Stand) -> str:
    items = counted(stand["items"], "item")
    return f"{items} begin to move to {_name(stand, 'new')}; searches and writes go on meanwhile."


def _resume(stand: Stand) -> str:
    return f"Moving goes on, with {counted(stand['todo'], 'item')} left."


def _cut_over(stand: Stand) -> str:
    answer = counted(stand["items"] - stand["quarantined"], "item")
    return (
        "A scan looks for anything missed. Then searches read the new side alone: "
        f"{answer} answer from {_name(stand, 'new')}. {_left_behind(stand, 'until a rollback')}"
        "The old side is kept up to date, and rolling back undoes this."
    )


def _left_behind(stand: Stand, where: str) -> str:
    left = stand["quarantined"]
    return f"{counted(left, 'quarantined item')} cannot be found {where}. " if left else ""


def _stage(stand: Stand) -> str:
    before = "A scan looks for anything missed. Then"
    if stand["stage"]:
        before = f"At present the new side is read by {stand['stage']['words']}. From now on"
    return (
        f"{before} the part of the traffic that is named here reads the new side alone, and the "
        "rest the old side; the same key stays on the same side. "
        f"{_left_behind(stand, 'on the new side')}Stepping back undoes this."
    )


def _step_back(stand: Stand) -> str:
    return (
        f"Everybody reads the old side again, at once: {_name(stand, 'old')}. Both sides are kept "
        "up to date, so that a stage can be given again."
    )


def _held(stand: Stand) -> str:
    stage = stand["stage"]
    return "everybody reads the old side" if stage and stage["held"] else ""


def _roll_back(stand: Stand) -> str:
    words = "Nothing has moved. The plan is given up."
    if stand["whole"]:
        words = (
            f"Searches read the old side alone, at once: {_name(stand, 'old')}, with every "
            "document written since. The upgrade is given up."
        )
    elif stand["share"]:
        words = (
            f"The {percent(stand['share'])} that moved go back, piece by piece. Then searches read "
            f"the old side alone: {_name(stand, 'old')}, with every document written since."
        )
    return f"{words} What the new model computed is kept."


def _finish(stand: Stand) -> str:
    words = f"The store of {_name(stand, 'old')} is deleted. There is no way back."
    if stand["quarantined"]:
        words += f" {counted(stand['quarantined'], 'quarantined item')} would be lost with it."
    if stand["held_over"]:
        words += f" The plan holds it over for another {duration(3600.0 * stand['held_over'])}."
    return words


def _name(stand: Stand, side: str) -> str:
    space = stand[side]
    return str(space["name"]) if space else f"the {side} model"


_BEFORE = ("planned", "copying", "paused", "ready", "cutting over", "cut over", "rolling back")
_OPEN = ("planned", "copying", "paused", "ready")

DEEDS = {
    deed.name: deed
    for deed in (
        Deed(
            "plan",
            "Plan",
            (None, "rolled back", "finished"),
            lambda _: (
                "Reads holdfast.toml again and plans the upgrade to the model under [new]. Nothing "
                "moves yet; searches wait for a moment while the stores are opened."
            ),
        ),
        Deed(
            "start",
            "Start",
            ("planned",),
            _start,
            unless=lambda stand: "it has begun" if stand["running"] else "",
        ),
        Deed(
            "pause",
            "Pause",
            ("planned", "copying", "paused", "ready"),
            lambda _: "Moving stops after the batch under way; searches and writes go on.",
            unless=lambda stand: "" if stand["running"] else "nothing moves",
        ),
        Deed(
            "resume",
            "Resume",
            ("paused", "copying", "ready"),
            _resume,
            unless=lambda stand: (
                "it is moving"
                if stand["running"]
                else ""
                if stand["todo"] or stand["state"] != "ready"
                else "everything has moved"
            ),
        ),
        Deed(
            "throttle",
            "Throttle",
            _OPEN,
            lambda _: "At most so many items a second move from the next batch on.",
        ),
        Deed(
            "retry",
            "Try again",
            _OPEN,
            lambda stand: f"Another try for {counted(stand['quarantined'], 'quarantined item')}.",
            unless=lambda stand: "" if stand["quarantined"] else "no item is quarantined",
        ),
        Deed("stage", "Cut over in part", ("ready", "cutting over"), _stage, READ_PART),
        Deed("step-back", "Step back", ("cutting over",), _step_back, STEP_BACK, _held),
        Deed("cut-over", "Cut over", ("ready", "cutting over"), _cut_over, READ_NEW),
        Deed("roll-back", "Roll back", _BEFORE, _roll_back, READ_OLD),
        Deed("finish", "Finish", ("cut over",), _finish, GIVE_UP),
    )
}
