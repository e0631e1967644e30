"""The parts of the page that stay: the top, the forms, and the dialogs that scripts fill."""

from __future__ import annotations

from ..report.markup import Html, element, joined


def field(name: str, label: str, **attributes: str) -> Html:
    """An input with its label."""
    box = element("input", id=name, name=name, **attributes)
    return element("div", element("label", label, for_=name), box, class_="field")


def top(signed: str, can_sign: bool, version: str) -> Html:
    """The name, and who is signed in."""
    brand = element("a", "Holdfast", href="/", class_="brand", title=f"version {version}")
    if signed:
        who = joined(
            (
                element("span", f"signed in by {signed}", class_="quiet", id="who"),
                element("button", "Sign out", type="button", id="sign-out", class_="link"),
            )
        )
    elif can_sign:
        who = element("button", "Sign in", type="button", id="sign-in", class_="link")
    else:
        who = element("span", "read only: no token is set", class_="quiet")
    skip = element("a", "Skip to the content", href="#main", class_="skip")
    return element("header", skip, brand, element("div", who, class_="who"), class_="top")


def scriptless() -> Html:
    """For browsers that run no scripts: buttons would do nothing, and not say why."""
    words = (
        "Without JavaScript this page shows where the upgrade stood when it was loaded, no more."
    )
    return element("noscript", element("p", words, class_="trouble"))


def throttle_form(limit: float, button: Html) -> Html:
    """How fast items may move, and may at present; the button changes, what is typed stays."""
    number = field(
        "rate",
        "Items a second, 0 for no limit",
        type="number",
        min="0",
        step="any",
        inputmode="decimal",
        value=f"{limit:g}",
        required="",
    )
    form = element(
        "form", number, element("div", button, id="part-throttle"), id="throttle", class_="row"
    )
    return joined((form, element("p", "", id="told", class_="note")))


def search_form() -> Html:
    """One question to three sides."""
    text = field(
        "question", "Question", type="search", maxlength="2000", autocomplete="off", required=""
    )
    button = element("button", "Ask", type="submit", class_="button main")
    form = element("form", text, button, id="ask", class_="row", role="search")
    found = element("div", "", id="answers", aria_live="polite", aria_busy="false")
    return joined((form, found))


def sign_in_dialog() -> Html:
    """Asks for a token, once."""
    token = field("token", "Token", type="password", autocomplete="current-password", required="")
    inner = element(
        "form",
        element("input", name="username", value="holdfast", autocomplete="username", hidden=""),
        element("h2", "Sign in", id="sign-title"),
        element(
            "p",
            "Commands need the token that the service was started with. It is sent once; the "
            "browser then keeps a cookie that pages cannot read.",
        ),
        token,
        element("p", "", id="sign-wrong", class_="fail", role="alert"),
        element(
            "div",
            element("button", "Cancel", type="button", class_="button", data_close="sign-dialog"),
            element("button", "Sign in", type="submit", class_="button main"),
            class_="buttons end",
        ),
        id="sign-form",
    )
    return element("dialog", inner, id="sign-dialog", aria_labelledby="sign-title")


def _stage_fields() -> Html:
    """Who reads the new side, in a cut-over in stages."""
    share = field(
        "stage-share",
        "Share of the traffic, in %",
        type="number",
        min="0",
        max="100",
        step="any",
        inputmode="decimal",
        autocomplete="off",
    )
    lines = element("textarea", id="stage-tenants", name="tenants", rows="2", spellcheck="false")
    label = element("label", "Tenants, one a line", for_="stage-tenants")
    tenants = element("div", label, lines, class_="field")
    slices = field(
        "stage-where",
        "Searches whose filter asks for, as JSON",
        placeholder='{"lang": "en"}',
        autocomplete="off",
        spellcheck="false",
    )
    legend = element("legend", "Who reads the new side: one is enough")
    return element(
        "fieldset", legend, share, tenants, slices, id="stage-field", hidden="", disabled=""
    )


def _checked(name: str, words: str) -> Html:
    """A box to tick; shown where it means something."""
    box = element("input", type="checkbox", id=name)
    return element("label", box, f" {words}", class_="check", id=f"{name}-field", hidden="")


def confirm_dialog() -> Html:
    """Says what will happen; the gravest command wants its words typed."""
    words = element(
        "div",
        element(
            "label", "To go on, type: ", element("strong", "", id="words-wanted"), for_="words"
        ),
        element("input", id="words", name="words", autocomplete="off", spellcheck="false"),
        class_="field",
        id="words-field",
        hidden="",
    )
    inner = element(
        "form",
        element("h2", "", id="confirm-title"),
        element("p", "", id="confirm-tells"),
        _stage_fields(),
        _checked("leave-behind", "leave quarantined items behind"),
        _checked("early", "finish early, before the holdover has passed"),
        words,
        element("p", "", id="confirm-wrong", class_="fail", role="alert"),
        element(
            "div",
            element(
                "button",
                "Cancel",
                type="button",
                class_="button",
                id="confirm-cancel",
                data_close="confirm-dialog",
            ),
            element("button", "Go on", type="submit", class_="button main", id="confirm-do"),
            class_="buttons end",
        ),
        id="confirm-form",
    )
    return element(
        "dialog",
        inner,
        id="confirm-dialog",
        aria_labelledby="confirm-title",
        aria_describedby="confirm-tells",
    )
