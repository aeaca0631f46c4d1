"""The API against its own description, and everything with an id against the ids of another company."""

import json
import os
import subprocess
from urllib.parse import urlsplit

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import checks as known

import crawl
from filled import COMPANY_PEOPLE, OTHER, Filled
from house import PASSWORD, programs
from visitor import Reader

EXAMPLES = 200 if os.environ.get("UKETSUKE_SITE") == "full" else 25
CONFORM = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
known.load_all_checks()
# A stream has no end; it is asked for once below.
STREAM = "/v1/events"
# Throttles have tests of their own, and would answer everything here.
OPEN_DOORS = """
[login]
attempts_per_source_max = 100000
attempts_max = 100000
[session]
wrong_per_5_minutes_max = 100000
wrong_per_hour_max = 100000
wrong_per_day_max = 100000
wrong_soft_max = 100000
wrong_hard_max = 100000
refusal_time = "1ms"
[reception]
issued_per_hour_max = 100000
issued_per_day_max = 100000
"""


def document():
    text = subprocess.run([programs() / "uketsuke-manager", "openapi"], capture_output=True, text=True, check=True)
    return schemathesis.openapi.from_dict(json.loads(text.stdout))


def operations():
    found = [result.ok() for result in document().get_all_operations()]
    return [operation for operation in found if operation.path != STREAM]


@pytest.fixture(scope="module")
def world():
    made = Filled(config=OPEN_DOORS, days=5)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bearer(world):
    return world.bearer()


@pytest.fixture(scope="module")
def token_of(world):
    """The token of the API for an operation: some share one, because a company has 50, and not all, because the requests
    of one are counted."""
    paths = sorted({operation.path for operation in operations()})
    made = {}

    def give(path):
        index = paths.index(path) % 30
        return made.get(index) or made.setdefault(index, world.api_token("company_admin", f"検査 {index}"))

    return give


@pytest.fixture(scope="module")
def relay(world):
    """The token of a relay that does not run."""
    return world.house.command("relay", "enroll", "--name", "invented").strip()


@pytest.fixture(scope="module")
def ids(world, bearer):
    """Ids that are there, by the name of their place in a path."""
    ask = {"headers": {"authorization": f"Bearer {bearer}"}, "verify": False, "trust_env": False}
    receptions = httpx.get(f"{world.house.url}/v1/receptions", **ask).json()
    sessions = httpx.get(f"{world.house.url}/v1/sessions", **ask).json()
    found = {"reception_id": receptions["receptions"][0]["reception_id"],
             "session_id": sessions["sessions"][0]["session_id"], "mail_id": "1" * 32, "organisation_id": "1" * 32,
             "group_id": "1" * 32}
    ask["headers"] = {"authorization": f"Bearer {world.api_token('company_admin', '番号を調べる')}"}
    for name, path, items in [("operator_id", "operators?q=inoue", "items"), ("notice_id", "notices", "items"),
                              ("category_id", "categories", "categories"), ("mail_id", "mails", "items"),
                              ("organisation_id", "organisations", "organisations"), ("group_id", "groups", "groups")]:
        listed = httpx.get(f"{world.house.url}/v1/manage/{path}", **ask).json()[items]
        own = [item for item in listed if item.get("is_own", True)]
        found |= {name: item[name] for item in own[:1]}
    return found


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: f"{operation.method.upper()} {operation.path}")
def test_every_answer_is_one_that_the_document_promises(operation, world, bearer, relay, token_of, ids, record_property):
    token = world.bearer() if operation.path.endswith("/logout") else bearer
    if operation.path.startswith("/v1/relay/"):
        token = relay
    if operation.path.startswith("/v1/manage/"):
        token = token_of(operation.path)
    statuses = {}

    @hypothesis.settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(case=operation.as_strategy(), real=st.booleans())
    def ask(case, real):
        for name in case.path_parameters or {}:
            if real and name in ids:
                case.path_parameters[name] = ids[name]
        answer = case.call(base_url=world.house.url, verify=False, headers={"authorization": f"Bearer {token}"})
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        promised = {str(status) for status in operation.definition.raw["responses"]}
        # Busy is an answer where it is promised; every other one above 500 is a mistake of ours.
        assert answer.status_code < 500 or str(answer.status_code) in promised, answer.text
        case.validate_response(answer, checks=[known.CHECKS.get_one(name) for name in CONFORM])

    ask()
    record_property("figure", f"{operation.method.upper()} {operation.path}: {statuses}")


def test_the_stream_of_events_is_one(world, bearer):
    with httpx.stream("GET", f"{world.house.url}{STREAM}", headers={"authorization": f"Bearer {bearer}"}, verify=False,
                      trust_env=False, timeout=10) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")


def test_the_api_knows_no_id_of_another_company(world, ids, record_property):
    other, program = world.bearer("sato", OTHER, PASSWORD), world.api_token("other", "他社")
    nobodys = {name: "0" * len(found) for name, found in ids.items()}
    asked = {403: 0, 404: 0}
    for operation in operations():
        if "{" not in operation.path:
            continue

        def ask(known, token=program if operation.path.startswith("/v1/manage/") else other):
            return httpx.request(operation.method.upper(), world.house.url + operation.path.format(**known),
                                 json=body(operation), headers={"authorization": f"Bearer {token}"}, verify=False,
                                 trust_env=False, timeout=30)

        # Where the caller may not ask at all, that is the answer for every id.
        answer, nothing = ask(ids), ask(nobodys)
        told = f"{operation.method} {operation.path}: {answer.status_code} {answer.text}"
        assert answer.status_code in asked, told
        assert (answer.status_code, answer.text) == (nothing.status_code, nothing.text), f"{told} {nothing.text}"
        asked[answer.status_code] += 1
    record_property("figure", f"routes of the API that answer ids of another company as ids of nobody: {asked}")
    assert 5 <= asked[404]


def body(operation):
    """A body that the handler reads, so that its answer is about the id."""
    return {
        "consent": {"kind": "view", "answer": "granted"}, "device": {"facts": [{"kind": "os_name", "value": "Debian"}]},
        "end": {"reason": "operator_ended"}, "case": {"version": 0, "note": "x"}, "ticket": {"gen": 1},
        "{operator_id}": {"name": "x", "kana": "", "email": "", "role": "operator", "organisation_id": "", "groups": [],
                          "version": 0},
        "{category_id}": {"name": "x", "retired": False, "version": 0},
        "{organisation_id}": {"name": "x", "note": "", "parent_id": "", "version": 0}, "merge": {"into": "0" * 32},
        "{group_id}": {"name": "x", "version": 0},
    }.get(operation.path.rsplit("/", 1)[1], {})


def test_the_site_knows_no_id_of_another_company(world, record_property):
    """Every link, file and form with an id in it, of every role, in the hands of another company's administrator."""
    gets, posts = set(), {}
    for role in COMPANY_PEOPLE:
        visitor = world.visitors[role]
        for page in crawl.crawl(visitor, "/", per_kind=3):
            found = Reader(visitor.get(page.path).text)
            gets |= {link for link in [*found.links, page.path] if has_id(link)}
            posts |= {form.action: form for form in found.forms if form.method == "post" and has_id(form.action)}
    stranger = world.visitors["other"]
    own = stranger.get("/notices").text
    # What the service tells everybody is nobody's.
    gets = {path for path in gets if path not in Reader(own).links}
    token = next(control.value for form in Reader(own).forms for control in form.controls if control.name == "csrf")
    leaks = []
    for path in sorted(gets):
        answer = stranger.get(path)
        if answer.status_code not in (404, 403):
            leaks.append(f"GET {path}: {answer.status_code}")
    for action, form in sorted(posts.items()):
        answer = stranger.send(form, {"csrf": token}, action=action)
        if answer.status_code not in (404, 403):
            leaks.append(f"POST {action}: {answer.status_code}")
    record_property("figure", f"{len(gets)} addresses and {len(posts)} forms with ids of another company are not there")
    assert not leaks, leaks
    assert 20 <= len(gets) + len(posts)


def has_id(path):
    return path.startswith("/") and not path.startswith("/manual") and "{id}" in crawl.kind_of(urlsplit(path).path)
