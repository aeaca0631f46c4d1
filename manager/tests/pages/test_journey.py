"""The life of a company, from its contract to its erasure, on both databases, at the site and with the real tools.

On PostgreSQL there are two managers behind a balancer, and each is killed once in the middle of everybody's work: nothing
fails but a retry.
"""

import email
import json
import os
import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest

import tools
from browser import wait_until
from house import SYSTEM_PASSWORD, House
from person import Person

COMPANY = "sakura"
PASSWORD, OPERATOR_PASSWORD = "Kumo-to-Matsu-71", "Yuki-to-Take-83"
REASON = "契約のため"
OPERATORS = 200
ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(
    "UKETSUKE_TEST_POSTGRES" not in os.environ, reason="UKETSUKE_TEST_POSTGRES names no server"))]


class Journey:
    """Everybody on the way."""

    def __init__(self, house, browser, pictures):
        self.house, self.browser, self.pictures = house, browser, pictures
        self.people = {}
        self.dead, self.deaths = None, 0

    def person(self, name):
        if name not in self.people:
            self.people[name] = Person(self.browser, self.house.url)
        return self.people[name]

    def picture(self, name, step):
        self.pictures.take(self.person(name).page, f"journey.{self.house.engine}.{step}", full=False)

    # --- steps -------------------------------------------------------------------------------------------------

    def administrator_of_the_service(self, name, user):
        self.person(name).log_in(user, SYSTEM_PASSWORD, door="/system/login").set_factor_up("/system")
        assert self.person(name).path == "/system"

    def create_company(self):
        root = self.person("root").go("/system/companies/new")
        root.fill("/system/companies/new", code=COMPANY, name="株式会社さくら", seats=OPERATORS + 10, user="boss",
                  admin_name="桜井 花子", reason=REASON)
        return root.shown_secret()

    def first_administrator(self, initial):
        boss = self.person("boss").log_in("boss", initial, COMPANY)
        assert boss.path == "/account/password"
        boss.change_password(initial, PASSWORD)
        boss.go("/account").press('a[href="/login/factor"]').set_factor_up(password=PASSWORD)
        boss.log_out().log_in("boss", PASSWORD, COMPANY).fill("/login/code", code=boss.code())
        assert boss.path == "/", boss.path

    def bring_operators(self):
        """A file of 200, half of them with an address; where the first one sets a password, by the link in its mail."""
        boss = self.person("boss").go("/operators/csv")
        lines = ["user,name,kana,email,role,organisation,state"]
        for number in range(1, OPERATORS + 1):
            address = f"op{number:03}@example.co.jp" if number <= OPERATORS // 2 else ""
            lines.append(f"op{number:03},担当 {number}号,タントウ {number},{address},,,")
        file = {"name": "operators.csv", "mimeType": "text/csv", "buffer": "\r\n".join(lines).encode("cp932")}
        boss.page.locator('input[type="file"]').set_input_files(file)
        boss.fill("/operators/csv", mode="add")
        self.picture("boss", "csv-look")
        boss.press('form[method="post"][action^="/operators/csv/"] button')
        self.picture("boss", "csv-done")
        links = [row.split()[-1] for row in boss.rows()]
        assert len(links) == OPERATORS // 2
        assert all(link.startswith("https://support.example.co.jp/login/link/") for link in links), links[0]
        boss.go("/operators?q=ﾀﾝﾄｳ 200").says("op200")
        mail = wait_until(lambda: next((mail for mail in self.house.mails if "op001@" in json.dumps(mail)), None))
        text = email.message_from_string(mail["data"]).get_payload(decode=True).decode()
        return urlsplit(re.search(r"https://\S+/login/link/\S+", text).group(0)).path

    def first_operator(self, link):
        """Sets a password by the link and a second factor; a recovery code for the tool."""
        operator = self.person("operator").go(link)
        operator.fill(link, new=OPERATOR_PASSWORD, again=OPERATOR_PASSWORD)
        operator.log_in("op001", OPERATOR_PASSWORD, COMPANY)
        operator.go("/login/factor").set_factor_up(password=OPERATOR_PASSWORD)
        operator.log_out().log_in("op001", OPERATOR_PASSWORD, COMPANY).fill("/login/code", code=operator.code())
        assert operator.path == "/"
        return operator.recovery[0]

    def session(self, code):
        """Two numbers from the real tool, entered by the real tool on a real desktop; seen on the board as they come."""
        house = self.house
        house.start_relay()
        boss = self.person("boss").go("/live/sessions")
        operator = tools.operator(house, COMPANY, "op001", OPERATOR_PASSWORD, code)
        number = operator.ask("issue", "number", reason="プリンターの設定")["number"]
        next_number = operator.ask("issue", "number", reason="メールの設定")["number"]
        display = tools.desktop(house)
        client = tools.client(house, number, share=("--display", display))
        operator.wait_for("first_picture")
        operator.ask("ask", "granted", grant="control")
        # Nobody touches the page: it keeps itself up to date.
        assert wait_until(lambda: "プリンターの設定" in "".join(boss.rows())), "the board does not show the session"
        self.picture("boss", "board")
        self.kill_the_one_that("manager_board_streams")
        operator.ask("click", "sent", x=10, y=10)
        operator.ask("ask", "granted", grant="device", reason="機種の確認")
        # The next customer: the tool hears of it, and the board shows it, by the streams of the manager that is left.
        following = tools.client(house, next_number, share=("--display", display), name="following")
        assert operator.wait_for("customer")["waiting"]
        assert wait_until(lambda: "メールの設定" in "".join(boss.rows())), "the board does not show the next session"
        self.picture("boss", "board-after-the-death")
        session_id = operator.ask("end", "ended")["session_id"]
        client.wait_for("ended")
        operator.wait_for("first_picture")
        operator.ask("end", "ended")
        following.wait_for("ended")
        gone = wait_until(lambda: "の設定" not in "".join(boss.rows()))
        assert gone, "the board still shows a session"
        operator.close()
        return session_id

    def kill_the_one_that(self, metric):
        """Kills the manager at which something is open, when there is another one."""
        house = self.house
        if len(house.ports) < 2:
            return
        counts = wait_until(lambda: (lambda found: found if any(found) else None)(
            [house.metric(index, metric) for index in range(len(house.ports))]))
        self.dead = max(range(len(counts)), key=counts.__getitem__)
        house.kill_manager(self.dead)
        self.deaths += 1

    def change_places(self):
        """The dead manager comes back, and the other one, to which everybody has gone, is killed."""
        if self.dead is None:
            return
        self.house.start_manager(self.dead)
        before = self.house.metric(self.dead, "manager_http_requests_total")
        back = wait_until(lambda: self.house.knock() and before < self.house.metric(self.dead, "manager_http_requests_total"))
        assert back, "the balancer sends nobody to the manager that is back"
        self.dead = 1 - self.dead
        self.house.kill_manager(self.dead)
        self.deaths += 1

    def log(self, session_id):
        boss = self.person("boss").go("/log/sessions?q=プリンター")
        row, = boss.rows()
        assert "担当 1号" in row and "操作" in row and "正常" in row, row
        boss.press(f'a[href="/log/sessions/{session_id}"]').says("お客様の回答")
        # The form is open, and what it is sent to is no more.
        self.change_places()
        boss.fill(f"/log/sessions/{session_id}/case", case_number="C-1", customer_name="お客様 太郎", note="直りました")
        boss.says("直りました")
        self.picture("boss", "session")
        boss.go("/log/sessions?q=プリンター")
        text = boss.download('a[href^="/log/sessions/file"][href*="utf8"]').decode("utf-8-sig")
        head, *lines = text.splitlines()
        assert len(lines) == 1 and "プリンターの設定" in lines[0] and "C-1" in lines[0], text
        assert len(boss.go("/log/sessions?q=の設定").rows()) == 2, "a session is not in the log, or twice"

    def tell(self):
        """A notice of the company, then maintenance of the service."""
        now, minute = datetime.now(), "%Y-%m-%dT%H:%M"
        boss = self.person("boss").go("/notices/new")
        boss.fill("/notices/new", title="明日の朝礼", body="9時からです。", begins=now.strftime(minute),
                  ends=(now + timedelta(days=2)).strftime(minute))
        self.person("operator").go("/").says("明日の朝礼")
        starts = now + timedelta(days=31)
        self.person("root").go("/system/maintenance").fill(
            "/system/maintenance", starts=starts.strftime(minute), services="manager",
            ends=(starts + timedelta(hours=1)).strftime(minute), body="入れ替えのため")
        self.person("operator").go("/notices").says("メンテナンスのお知らせ")

    def end_contract(self):
        root = self.person("root").go("/system/companies?q=sakura").press('tbody a[href^="/system/companies/"]')
        path = root.path
        root.fill(f"{path}/state", ("to", "ended"), reason=REASON)
        boss = self.person("boss").go("/")
        assert boss.path == "/login", boss.path
        return path.rsplit("/", 1)[1]

    def erase(self, company):
        """One asks, another agrees; then there is a certificate."""
        one, two = self.person("data1"), self.person("data2")
        one.go(f"/system/requests/new?company={company}")
        form = one.page.locator("form:has([value=erase])")
        form.locator("[name=early]").check()
        form.locator("[name=reason]").fill("企業からの依頼")
        with one.page.expect_navigation():
            form.locator("button").click()
        two.go("/system/requests").press('tbody a[href^="/system/requests/"]')
        request = two.path
        two.page.locator("[name=reason]").fill("確認しました")
        two.press(f'button[formaction="{request}/agree"]')
        done = wait_until(lambda: "消去証明書" in two.go(request).page.content() or two.page.locator(".certificate").count(),
                          patience=90, pause=1)
        assert done, two.page.locator("main").inner_text()
        self.picture("data2", "certificate")
        certificate = two.download('a[href$="/certificate"]').decode()
        assert COMPANY in certificate and "株式会社さくら" in certificate
        assert "桜井" not in certificate
        two.go("/system/companies?q=sakura")
        assert not any("株式会社さくら" in row and "契約終了" in row for row in two.rows())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_life_of_a_company(engine, browser, pictures, record_property):
    managers = 2 if engine == "postgres" else 1
    with House(engine, managers=managers, mail=True) as house:
        house.add_admin("root", "運用 一郎", "operations")
        house.add_admin("data1", "データ 一", "data")
        house.add_admin("data2", "データ 二", "data")
        journey = Journey(house, browser, pictures)
        for name in ("root", "data1", "data2"):
            journey.administrator_of_the_service(name, name)
        journey.first_administrator(journey.create_company())
        code = journey.first_operator(journey.bring_operators())
        journey.log(journey.session(code))
        journey.tell()
        company = journey.end_contract()
        house.age_accounts(days=2)
        journey.erase(company)
        assert "holds" in house.command("audit", "verify")
        refused = httpx.post(f"{house.url}/v1/login", verify=False, trust_env=False,
                             json={"company": COMPANY, "user": "op001", "password": OPERATOR_PASSWORD})
        assert refused.status_code == 401
        wrong = [f"{name}: {what}" for name, person in journey.people.items() for what in person.wrong]
        assert not wrong, wrong
        retries = sum(person.retries for person in journey.people.values())
        record_property("figure", f"journey on {engine}: {managers} managers, {journey.deaths} killed, {retries} retries")
        assert journey.deaths == 2 * (managers - 1)
        assert retries <= journey.deaths
