"""What must hold for every page in every look. Each check gives sentences about what is wrong, none when nothing is."""

import re
from pathlib import Path

import axe_playwright_python

HERE = Path(__file__).resolve().parent
PROBES = (HERE / "probes.js").read_text()
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WEIGHT_MAX = 150_000
TABS_MAX = 900

DESKTOP, PHONE, NARROW, ZOOMED = (1280, 900), (375, 812), (320, 640), (640, 450)


# Rules for which colour or width matter.
AXE_LOOK = ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable"]
# Rows of a table that are looked at: the next one is like the ones before.
ROWS_MAX = 12


def arm(page):
    """Lets the page be asked."""
    page.evaluate(PROBES)
    page.evaluate("(most) => document.querySelectorAll(`tbody tr:nth-child(n+${most + 1})`).forEach((row) => row.remove())",
                  ROWS_MAX)


def ask(page, probe, *arguments):
    return page.evaluate(f"(a) => window.__probe.{probe}(...a)", list(arguments))


def view(page, size, scheme=None, forced=None):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme, forced_colors=forced, reduced_motion="reduce")


def accessible(page, whole=True):
    """What axe-core finds at WCAG 2.0, 2.1 and 2.2, A and AA; or only by the rules for which the look matters."""
    if not page.evaluate("!!window.axe"):
        page.evaluate(AXE)
    rules = {"type": "tag", "values": AXE_TAGS} if whole else {"type": "rule", "values": AXE_LOOK}
    options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False, "iframes": False}
    found = page.evaluate("async (options) => (await axe.run(document, options)).violations", options)
    return [
        f"axe {violation['id']}: {violation['help']}: " + "; ".join(
            f"{node['target']} {re.sub(chr(10), ' ', node['failureSummary'])[:200]}" for node in violation["nodes"][:3])
        for violation in found
    ]


def fits(page):
    """Nothing goes out of the page sideways, and no text is cut."""
    over = ask(page, "overflow")
    wrong = [f"scrolls sideways: {over}"] if over else []
    wrong += [f"text is cut: {what}" for what in ask(page, "cut")]
    return wrong + [f"does not hold its words: {what}" for what in ask(page, "squeezed")]


def narrow(page):
    """320 px, 200 % zoom of a desktop, letters twice as large, and wide spacing of text."""
    wrong = []
    for size in (NARROW, ZOOMED):
        view(page, size)
        wrong += [f"{size[0]} px: {what}" for what in fits(page)]
    for size in (DESKTOP, NARROW):
        view(page, size)
        ask(page, "spacing", True)
        wrong += [f"{size[0]} px, wide spacing: {what}" for what in fits(page)]
        ask(page, "spacing", False)
    view(page, DESKTOP)
    ask(page, "fontSize", 200)
    wrong += [f"letters twice as large: {what}" for what in fits(page)]
    ask(page, "fontSize", 0)
    return wrong


def worded(page, lang):
    """No mark of a missing sentence; on an English page no Japanese of ours."""
    wrong = [f"a sentence is missing: {what!r}" for what in ask(page, "markers")]
    if lang == "en":
        wrong += [f"is not in English: {what}" for what in ask(page, "untranslated")]
    if page.evaluate("document.documentElement.lang") != lang:
        wrong.append("says that it is in another language")
    return wrong


def by_keyboard(page):
    """The tabulator reaches every control, one sees where it is, the skip link works, and nothing holds it."""
    view(page, DESKTOP)
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0); getSelection().removeAllRanges()")
    # From the top of the page on, wherever the page put the focus.
    page.evaluate("document.body.tabIndex = -1; document.body.focus({ preventScroll: true }); document.body.removeAttribute('tabindex')")
    wrong, reached, names = [], [], []
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        seen = ask(page, "focus")
        if seen is None or (reached and seen["number"] == reached[0]):
            break
        # A field for dates has several stops.
        if reached and seen["number"] == reached[-1]:
            continue
        reached.append(seen["number"])
        names.append(seen["name"])
        if not seen["ring"]:
            wrong.append(f"the focus is not seen on {seen['name']}")
        if not seen["inside"]:
            wrong.append(f"the focus is out of sight on {seen['name']}")
        if seen["covered"]:
            wrong.append(f"{seen['covered']} covers the focused {seen['name']}")
    else:
        wrong.append(f"the tabulator does not come to an end, last {names[-3:]}")
    wrong += [f"the tabulator does not reach {what}" for what in ask(page, "unreached", reached)]
    return wrong + skips(page)


def skips(page):
    """The first stop leads past the menu."""
    page.evaluate("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().width > 40")
    page.keyboard.press("Enter")
    inside = page.evaluate("document.activeElement.matches('main, main *')")
    return [] if first and inside else ["the skip link does not lead to the content"]


def forced(page):
    """With colours of the system every control still has its edge."""
    view(page, DESKTOP, forced="active")
    return [f"forced colours hide {what}" for what in ask(page, "faint")]


def light(watched):
    """The page with all it needs, as it came over the line."""
    return [] if 0 < watched.bytes <= WEIGHT_MAX else [f"weighs {watched.bytes} bytes"]
