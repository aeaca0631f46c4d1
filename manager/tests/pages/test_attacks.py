"""Strings of strangers through every field of every form, then a look at every page, file, mail and log."""

import csv
import email
import io
import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest

import attacks
import crawl
from browser import Watched
from conftest import START
from filled import COMPANY_PEOPLE, SYSTEM_PEOPLE, Filled
from house import PASSWORD
from visitor import Reader

MINUTE = "%Y-%m-%dT%H:%M"
TEXTS = {"text", "textarea", "search", "email", "tel", "url", "number", "date", "datetime-local", "time", "hidden", "select"}
# Fields that make a form one of its login, or that say which row it is about: another value is another test.
OURS = {"csrf", "version"}
DOORS = ("/login", "/system/login")


@pytest.fixture(scope="module")
def world():
    made = Filled(days=3, live=False)
    yield made
    made.close()


def samples(count):
    """What makes the rest of a form right, so that it is taken."""
    now = datetime.now()
    later = now + timedelta(days=40)
    return {
        "name": "見本 太郎", "kana": "ミホン タロウ", "user": f"sample{count}", "email": f"sample{count}@example.co.jp",
        "code": f"sample{count}", "admin_name": "見本 花子", "reason": "見本", "title": "見本の題", "body": "見本の本文",
        "edition": f"{count}.0", "changes_ja": "見本の改訂", "changes_en": "A sample", "body_ja": "# 見本\n見本の本文",
        "begins": now.strftime(MINUTE), "ends": later.strftime(MINUTE), "starts": (later - timedelta(hours=2)).strftime(MINUTE),
        "detected": now.strftime(MINUTE), "from": "2026-01-01", "to": str(now.date()), "services": "manager", "seats": "50",
        # Who types a wrong one again and again is logged out.
        "password": PASSWORD,
    }


def targets(visitor, start):
    """Every form that takes text, once for each place it goes to."""
    found = {}
    for page in crawl.crawl(visitor, start):
        text = visitor.get(page.path).text
        for form in Reader(text).forms:
            fields = [control for control in form.controls if control.kind in TEXTS and control.name not in OURS]
            kind = (form.method, crawl.kind_of(form.action), tuple(control.name for control in fields))
            if fields and not form.action.endswith(("/logout", "/language")):
                found.setdefault(kind, (page.path, form, fields))
    return found.values()


def attack(visitor, start, tally):
    """Sends every string through every field; what the site must never answer."""
    wrong = []
    for path, form, fields in list(targets(visitor, start)):
        for field in fields:
            for name, text in attacks.STRINGS.items():
                tally["sent"] += 1
                values = {} if form.method == "get" else samples(tally["sent"])
                values = {key: value for key, value in values.items() if key in form.names()}
                if {"begins", "ends"} <= form.names() and "seats" in form.names():
                    values |= {"begins": "2026-01-01", "ends": "2027-01-01"}
                values |= {field.name: text}
                if form.method == "get":
                    answer = visitor.client.get(form.action or path, params=form.filled(values))
                else:
                    answer = visitor.send(form, values, action=form.action or path)
                tally["taken" if answer.status_code == 200 and "aria-invalid" not in answer.text else "refused"] += 1
                if answer.status_code >= 500:
                    wrong.append(f"{form.method} {form.action} {field.name}={name}: {answer.status_code}")
                if start not in DOORS and answer.url.path in DOORS:
                    return [*wrong, f"{form.action} {field.name}={name}: is logged out, so nothing else was tried"]
                wrong += [f"{form.action} {field.name}={name}: {what}" for what in markup(answer)]
    return wrong


class Markup(HTMLParser):
    """Elements and attributes that a page has only because somebody wrote them into a field."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, pairs):
        strange = [name for name, _ in pairs if name.startswith("on") or name == f"data-{attacks.MARK}"]
        if tag == attacks.MARK or strange or (tag == "script" and "src" not in dict(pairs)):
            self.found.append(f"<{tag} {strange}>")


def markup(answer):
    """Whether a page holds a string as markup, or ran it."""
    found = [f"a header of a stranger: {name}" for name in answer.headers if name.lower() == "x-attack"]
    if "html" in answer.headers.get("content-type", ""):
        found += Markup(answer.text).found
        found += ["a template ran"] if attacks.RUN in answer.text else []
    return [f"{what} at {answer.url}" for what in found]


def test_no_string_of_a_stranger_gets_anywhere(world, browser, record_property):
    tally = {"sent": 0, "taken": 0, "refused": 0}
    wrong = []
    for role in ["outside", "company_admin", "operator", "operations", "data"]:
        wrong += attack(world.visitors[role], START[role], tally)
    assert 0 < tally["taken"] and 0 < tally["refused"]
    seen = pages(world, browser, wrong)
    cells = files(world, wrong)
    letters = mails(world, wrong)
    lines = logs(world, wrong)
    record_property("figure", f"{tally['sent']} strings sent, {tally['taken']} taken, {tally['refused']} refused; looked at "
                    f"{seen} pages, {cells} cells, {letters} mails, {lines} lines of logs")
    assert not wrong, "\n".join(wrong[:40])


def pages(world, browser, wrong):
    """Every page in a real browser: nothing runs, nothing is refused, nothing is turned around."""
    seen = 0
    for role in [*COMPANY_PEOPLE, *SYSTEM_PEOPLE]:
        watched = Watched(browser.context(world.house.url, "ja", world.visitors[role].cookies()), world.house.url)
        for page in crawl.crawl(world.visitors[role], START[role], per_kind=2):
            if page.kind.startswith("/manual"):
                continue
            watched.open(page.path)
            seen += 1
            ran = watched.page.evaluate("window.__x") or watched.page.evaluate(
                f"document.querySelectorAll('{attacks.MARK}, [data-{attacks.MARK}], .{attacks.MARK}, [href^=\"javascript:\"]').length")
            turned = watched.page.evaluate("/[\\u202a-\\u202e\\u2066-\\u2069\\u0000-\\u0008\\u001b]/.test(document.body.innerText)")
            wrong += [f"{page.path}: something of a stranger is in the page"] if ran else []
            wrong += [f"{page.path}: shows what turns text around"] if turned else []
            wrong += [f"{page.path}: {what}" for what in watched.wrong + watched.refused()]
        watched.page.context.close()
    return seen


def files(world, wrong):
    """Every CSV: no cell is a formula."""
    cells = 0
    for role in ["company_admin", "operations", "audit"]:
        visitor = world.visitors[role]
        for page in crawl.crawl(visitor, START[role]):
            for link in Reader(visitor.get(page.path).text).links:
                if "/file" in link and "encoding=utf8" in link:
                    for row in csv.reader(io.StringIO(visitor.get(link).content.decode("utf-8-sig"))):
                        cells += len(row)
                        wrong += [f"{link}: the cell {cell[:40]!r} is a formula" for cell in row
                                  if cell.startswith(attacks.FORMULA) and not re.fullmatch(r"-?[\d.:]*", cell)]
    assert cells, "there is no file"
    return cells


def mails(world, wrong):
    """Every mail: to those whom it is for, with our headers."""
    for mail in world.house.mails:
        headers = {name.lower() for name in email.message_from_string(mail["data"]).keys()}
        if headers & {"bcc", "x-attack"} or any("evil.example" in to for to in mail["to"]):
            wrong.append(f"a mail goes to {mail['to']} with {sorted(headers)}")
    return len(world.house.mails)


def logs(world, wrong):
    """Every line of the log is one of ours."""
    lines = world.house.log("manager-0").splitlines()
    for line in lines:
        try:
            level = json.loads(line)["level"]
        except (ValueError, KeyError):
            wrong.append(f"a line of the log is not ours: {line[:200]}")
            continue
        if level == "ERROR":
            wrong.append(f"the log has an error: {line[:300]}")
    return len(lines)
