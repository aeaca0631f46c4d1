"""Whoever visits the site without a browser: cookies, forms as they stand in the page, codes of the second factor."""

import base64
import hashlib
import hmac
import re
import struct
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

STEP_SECS = 30


def totp(secret, at=None):
    """The code of an authenticator. Source: RFC 6238 with SHA-1, six digits, 30 seconds."""
    secret = secret.replace(" ", "")
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    step = struct.pack(">Q", int(time.time() if at is None else at) // STEP_SECS)
    digest = hmac.new(key, step, hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


@dataclass
class Control:
    """One control of a form."""

    name: str
    kind: str
    value: str = ""
    options: list = field(default_factory=list)
    attributes: dict = field(default_factory=dict)


@dataclass
class HtmlForm:
    """One form, as a browser would read it."""

    method: str
    action: str
    controls: list = field(default_factory=list)
    buttons: list = field(default_factory=list)

    def filled(self, values, button=None):
        """What a browser would send."""
        pairs = []
        for control in self.controls:
            value = values.get(control.name, control.value)
            if control.kind in ("checkbox", "radio") and control.name not in values:
                if "checked" not in control.attributes:
                    continue
            if value is not None:
                pairs.append((control.name, value))
        known = {name for name, _ in pairs}
        pairs += [(name, value) for name, value in values.items() if name not in known]
        return pairs + ([button] if button else [])

    def names(self):
        return {control.name for control in self.controls}


class Reader(HTMLParser):
    """Finds forms, links and controls."""

    def __init__(self, text):
        super().__init__()
        self.forms, self.links, self.ids = [], [], {}
        self._form = self._select = self._area = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, pairs):
        attributes = dict(pairs)
        if tag == "form":
            self._form = HtmlForm((attributes.get("method") or "get").lower(), attributes.get("action") or "")
            self.forms.append(self._form)
        elif tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif self._form and attributes.get("name"):
            self._control(tag, attributes)
        elif tag == "option" and self._select:
            value = attributes.get("value", "")
            self._select.options.append(value)
            if "selected" in attributes or len(self._select.options) == 1:
                self._select.value = value

    def _control(self, tag, attributes):
        control = Control(attributes["name"], attributes.get("type", "text"), attributes.get("value") or "",
                          attributes=attributes)
        if tag == "button":
            self._form.buttons.append((control.name, control.value))
        elif tag in ("input", "select", "textarea"):
            control.kind = tag if tag != "input" else control.kind
            self._form.controls.append(control)
            self._select = control if tag == "select" else None
            self._area = control if tag == "textarea" else None

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data):
        if self._area:
            self._area.value += data


class Visitor:
    """A visitor with cookies. `text` is the page that was seen last."""

    def __init__(self, house, lang="ja", at=0):
        self.client = httpx.Client(base_url=house.address(at), verify=False, trust_env=False, timeout=60,
                                   follow_redirects=True, headers={"accept": "text/html", "accept-language": lang})
        self.answer = None

    @property
    def text(self):
        return self.answer.text

    @property
    def path(self):
        return urlsplit(str(self.answer.url)).path

    def get(self, path):
        self.answer = self.client.get(path)
        return self.answer

    def forms(self):
        return Reader(self.text).forms

    def form(self, action=None, has=()):
        """The one form of the page that goes there, or that has these fields."""
        here = urlsplit(str(self.answer.url)).path
        for form in self.forms():
            if form.method == "post" and (action is None or urlsplit(form.action or here).path == action):
                if set(has) <= form.names() and not form.action.endswith(("/language", "/logout")):
                    return form
        raise AssertionError(f"{self.path} has no form to {action} with {has}: {self.text[-1500:]}")

    def send(self, form, values, button=None, action=None):
        address = action or urljoin(str(self.answer.url), form.action)
        pairs = form.filled(values, button)
        data = {}
        for name, value in pairs:
            data.setdefault(name, []).append(value)
        self.answer = self.client.post(address, data=data, headers={"sec-fetch-site": "same-origin"})
        return self.answer

    def fill(self, action, button=None, /, **values):
        """Fills the form that goes to `action` in and sends it; the form must be taken."""
        self.send(self.form(action, has=values), values, button)
        assert self.answer.status_code == 200, f"{action}: {self.answer.status_code} {self.text[-800:]}"
        assert "aria-invalid" not in self.text and 'role="alert"' not in self.text, f"{action}: {mistakes(self.text)}"
        return self

    def log_in(self, user, password, company=None):
        """Logs in, and sets the second factor up where it is asked for. Gives its secret, or None."""
        base = "" if company else "/system"
        self.get(f"{base}/login")
        self.fill(f"{base}/login", user=user, password=password, **({"company": company} if company else {}))
        if self.path != f"{base}/login/factor":
            assert self.path in ("/", "/system"), f"{user} is at {self.path}: {self.text[-1500:]}"
            return None
        secret = typed_secret(self.text)
        self.fill(f"{base}/login/factor", code=totp(secret))
        assert 'class="codes"' in self.text, self.text[-1500:]
        self.get(base or "/")
        return secret

    def cookies(self):
        """For a browser: what keeps this login."""
        host = self.client.base_url.host
        return [
            {"name": cookie.name, "value": cookie.value, "domain": host, "path": "/", "secure": True,
             "httpOnly": True, "sameSite": "Lax"}
            for cookie in self.client.cookies.jar
        ]


def typed_secret(text):
    """The secret that the page of the second factor shows for typing."""
    return re.search(r'<p class="secret">([A-Z2-7 ]+)</p>', text).group(1)


def mistakes(text):
    """What a page says is wrong."""
    found = re.findall(r'class="(?:mistake|banner bad)"[^>]*>(.*?)</p>', text, re.S)
    return found or text[-800:]
