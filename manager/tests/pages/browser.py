"""Debian's Chromium with one context for each look, and what a page did in it that it should not have done."""

import json
import os
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("UKETSUKE_CHROMIUM", "/usr/bin/chromium")
# Another style sheet than that of the program can be tried without building: UKETSUKE_STYLE names its file.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars=false"]
LANG_COOKIE = "__Host-uketsuke-lang"

# Keeps what the browser refuses, and whether anything of a stranger ran.
WATCH = """
window.__refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__refused.push(event.violatedDirective + " " + event.blockedURI);
});
"""


class Browser:
    """Chromium, from start to end of the tests."""

    def __init__(self):
        self._playwright = sync_playwright().start()
        self.chromium = self._playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        self._shared = {}

    def close(self):
        self.chromium.close()
        self._playwright.stop()

    def shared(self, site, role, lang, scripts=True):
        """The context of a role that many pages are opened in, one after the other."""
        key = (role, lang, scripts)
        if key not in self._shared:
            cookies = site.visitors[role].cookies()
            self._shared[key] = self.context(site.house.url, lang, cookies, java_script_enabled=scripts)
        return self._shared[key]

    def context(self, url, lang, cookies=(), **how):
        how = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **how}
        context = self.chromium.new_context(base_url=url, ignore_https_errors=True,
                                            locale={"ja": "ja-JP", "en": "en-US"}[lang], **how)
        host = url.split("//")[1].split(":")[0]
        spoken = {"name": LANG_COOKIE, "value": lang, "domain": host, "path": "/", "secure": True}
        context.add_cookies([*(cookie for cookie in cookies if cookie["name"] != LANG_COOKIE), spoken])
        context.add_init_script(WATCH)
        if style := os.environ.get("UKETSUKE_STYLE"):
            context.route("**/static/*.css", lambda route: route.fulfill(path=style, content_type="text/css"))
        context.set_default_timeout(90_000)
        return context


class Watched:
    """A page and everything it did since `begin`."""

    def __init__(self, context, url):
        self.origin = url
        self.page = context.new_page()
        self.wrong = []
        self.bytes = 0
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._dialog)
        self._devtools = context.new_cdp_session(self.page)
        self._devtools.send("Network.enable")
        self._devtools.on("Network.loadingFinished", self._loaded)

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, request):
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.wrong.append(f"asks a third party: {request.url}")

    def _dialog(self, dialog):
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _loaded(self, event):
        self.bytes += event["encodedDataLength"]

    def open(self, path, cached=True):
        """Opens a page from the net; the answer's status."""
        self.wrong.clear()
        self.bytes = 0
        self._devtools.send("Network.setCacheDisabled", {"cacheDisabled": not cached})
        answer = self.page.goto(path, wait_until="load")
        return answer.status if answer else 0

    def refused(self):
        return self.page.evaluate("window.__refused || []")

    def close(self):
        self.page.close()


class Pictures:
    """Pictures of pages, when somebody wants to look at them (`UKETSUKE_PAGES`)."""

    def __init__(self):
        wanted = os.environ.get("UKETSUKE_PAGES")
        self.folder = Path(wanted) if wanted else None
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, page, name, full=True):
        if self.folder:
            page.screenshot(path=self.folder / f"{name}.png", full_page=full)

    def note(self, name, value):
        if self.folder:
            (self.folder / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, indent=1))


def wait_until(what, patience=30.0, pause=0.1):
    """Waits until `what()` is true; gives what it gave."""
    deadline = time.monotonic() + patience
    while True:
        found = what()
        if found or deadline <= time.monotonic():
            return found
        time.sleep(pause)
