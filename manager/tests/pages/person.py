"""Somebody at a browser: fills in what the page shows, presses what it offers, and tries once more when a line broke."""

import re
import time
from urllib.parse import urlsplit

from playwright.sync_api import Error

from browser import wait_until
from visitor import totp

STEP_SECS = 30


class Person:
    """One browser of one person."""

    def __init__(self, browser, url, lang="ja"):
        self.context = browser.context(url, lang)
        self.page = self.context.new_page()
        self.wrong, self.retries, self.secret, self.recovery = [], 0, None, []
        self._code_after = 0
        self.page.on("dialog", lambda dialog: dialog.accept())
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("console", self._said)

    def _said(self, message):
        # A line that breaks under the live board is what a retry is for.
        if message.type == "error" and "net::ERR" not in message.text:
            self.wrong.append(f"console at {self.path}: {message.text}")

    @property
    def path(self):
        return urlsplit(self.page.url).path

    def go(self, path):
        """Opens a page; once more when the line broke."""
        try:
            answer = self.page.goto(path)
        except Error:
            self.retries += 1
            time.sleep(1)
            answer = self.page.goto(path)
        assert answer.status == 200, f"{path} answers {answer.status}"
        return self

    def fill(self, action, button=None, /, **values):
        """Fills in the form that goes to `action`, by the names of its fields, and sends it; it must be taken."""
        form = self.page.locator(f'form[action="{action}"]' + "".join(f':has([name="{name}"])' for name in values)).first
        for summary in self.page.locator("details:not([open]) > summary").all():
            if summary.locator("xpath=..").locator(f'form[action="{action}"]').count():
                summary.click()
        for name, value in values.items():
            field = form.locator(f'[name="{name}"]')
            kind = field.first.evaluate("(field) => field.type")
            if kind in ("checkbox", "radio"):
                form.locator(f'[name="{name}"][value="{value}"]').check()
            elif kind == "select-one":
                field.select_option(value)
            else:
                field.fill(str(value))
        pressed = form.locator(f'button[name="{button[0]}"][value="{button[1]}"]' if button else
                               "button.primary, button.danger, button").first
        with self.page.expect_navigation():
            pressed.click()
        mistakes = self.page.locator(".mistake, .banner.bad").all_inner_texts()
        assert not mistakes, f"{action} is not taken: {mistakes}"
        return self

    def press(self, selector):
        with self.page.expect_navigation():
            self.page.locator(selector).first.click()
        return self

    def says(self, text):
        assert text in self.page.locator("body").inner_text(), f"{self.path} does not say {text}"
        return self

    def shown_secret(self):
        """What is shown once."""
        return self.page.locator(".secret").first.text_content().strip()

    # --- logging in --------------------------------------------------------------------------------------------

    def log_in(self, user, password, company=None, door="/login"):
        self.go(door)
        return self.fill(door, user=user, password=password, **({"company": company} if company else {}))

    def change_password(self, old, new):
        return self.fill("/account/password", old=old, new=new, again=new)

    def set_factor_up(self, base="", **proof):
        """Types the secret into an authenticator, its code into the page, and keeps the recovery codes. Outside of a login
        that needs it the page asks for the `password`."""
        self.page.locator("details > summary").first.click()
        self.secret = self.page.locator("p.secret").text_content()
        self.fill(f"{base}/login/factor", code=self.code(), **proof)
        self.recovery = [text.strip() for text in self.page.locator(".codes .secret").all_text_contents()]
        assert len(self.recovery) == 10
        return self.press("main a.button.primary")

    def code(self):
        """The next code that was not taken yet; an authenticator may be half a minute ahead."""
        now = max(time.time(), self._code_after)
        wait_until(lambda: now <= time.time() + STEP_SECS - 2, patience=2 * STEP_SECS)
        self._code_after = (now // STEP_SECS + 1) * STEP_SECS
        return totp(self.secret, now)

    def log_out(self):
        return self.press('form[action$="/logout"] button')

    # --- lists -------------------------------------------------------------------------------------------------

    def download(self, selector):
        """What a link that saves a file gives."""
        for summary in self.page.locator("details.files:not([open]) > summary").all():
            summary.click()
        with self.page.expect_download() as caught:
            self.page.locator(selector).first.click()
        return caught.value.path().read_bytes()

    def rows(self):
        return [re.sub(r"\s+", " ", text) for text in self.page.locator("tbody tr").all_inner_texts()]
