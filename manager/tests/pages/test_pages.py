"""Every page that the site links, by role, in Japanese and English, light and dark, wide and narrow.

The first role that has a page looks at it in every look; the others look once, in English, dark, on a phone, unless
UKETSUKE_SITE=full.
"""

import os

import checks
from browser import Watched

FULL = os.environ.get("UKETSUKE_SITE") == "full"
SIZES = {"wide": checks.DESKTOP, "phone": checks.PHONE}
# Every rule in two looks that differ in everything; in the two others the rules for which colour or width matter.
LOOKS = {("light", "wide"): True, ("dark", "phone"): True, ("dark", "wide"): FULL, ("light", "phone"): FULL}


def slug(role, kind):
    return f"{role}{kind.replace('/', '_').replace('{id}', 'ID')}"


def looks(page, lang, pictures, name):
    """Every look of a page that is open."""
    wrong = []
    for (scheme, size), whole in LOOKS.items():
        checks.view(page, SIZES[size], scheme)
        pictures.take(page, f"{name}.{lang}.{scheme}.{size}")
        wrong += [f"{lang} {scheme} {size}: {what}" for what in checks.accessible(page, whole) + checks.fits(page)]
    return wrong


def closely(page, lang, pictures, name):
    """All looks, and what need be asked once."""
    wrong = looks(page, lang, pictures, name) + checks.worded(page, lang) + checks.narrow(page)
    if lang == "ja":
        wrong += checks.forced(page)
        pictures.take(page, f"{name}.{lang}.forced.wide")
        wrong += checks.by_keyboard(page)
    return wrong


def again_briefly(page, lang):
    """A page that another role has been looked at with."""
    checks.view(page, checks.PHONE, "dark")
    return checks.worded(page, lang) + checks.fits(page)


def test_page(visit, site, browser, pictures):
    role, page, again = visit
    wrong = []
    for lang in ("en",) if again and not FULL else ("ja", "en"):
        watched = Watched(browser.shared(site, role, lang), site.house.url)
        status = watched.open(page.path, cached=False)
        wrong += [] if status == 200 else [f"{page.path} answers {status}"]
        wrong += checks.light(watched)
        checks.arm(watched.page)
        ran = checks.ask(watched.page, "substance")
        if again and not FULL:
            wrong += again_briefly(watched.page, lang)
        else:
            wrong += closely(watched.page, lang, pictures, slug(role, page.kind))
        wrong += [f"{lang}: {what}" for what in watched.wrong + watched.refused()]
        watched.close()
    if not again:
        wrong += without_scripts(browser, site, role, page, ran)
    assert not wrong, "\n".join([page.path, *wrong])


def without_scripts(browser, site, role, page, ran):
    """The page has the same substance when nothing runs in it."""
    still = substance(browser, site, role, page, scripts=False)
    if still != ran:
        # A call may have gone out since the page was looked at: now one right after the other.
        ran = substance(browser, site, role, page, scripts=True)
        still = substance(browser, site, role, page, scripts=False)
    return [] if still == ran else [f"is another page without scripts: {still} instead of {ran}"]


def substance(browser, site, role, page, scripts):
    watched = Watched(browser.shared(site, role, "en", scripts=scripts), site.house.url)
    watched.open(page.path)
    checks.arm(watched.page)
    found = checks.ask(watched.page, "substance")
    watched.close()
    return found
