"""An installation with something on every page: companies with a past, notices, incidents, requests, a running session."""

import html
import re
from datetime import datetime, timedelta

import httpx

import tools
from house import PASSWORD, SYSTEM_PASSWORD, House
from visitor import Visitor

COMPANY, OTHER = "demo", "other"
# Who looks, in the order in which pages are theirs: what the first one sees is looked at closely as the first one.
COMPANY_PEOPLE = {"company_admin": "admin", "supervisor": "kobayashi", "operator": "goto", "viewer": "inoue",
                  "auditor": "saito.k"}
SYSTEM_PEOPLE = {"operations": "ops", "data": "data1", "audit": "audit1"}
# Made at the site, by operations.
PARTNER = "partner"
REASON = "テストのため"


class Filled:
    """The house, and a visitor of each role."""

    def __init__(self, engine="sqlite", days=20, live=True, config=""):
        self.house = House(engine, mail=True, config=config)
        try:
            self._people(days)
            self._system()
            self._company()
            if live:
                self._live()
        except BaseException:
            self.house.close()
            raise

    def _people(self, days):
        house = self.house
        house.add_company(COMPANY, "株式会社オプトサポート")
        house.add_company(OTHER, "別会社ヘルプデスク株式会社")
        house.add_operator(COMPANY, "admin", "管理 花子", "company_admin")
        house.add_operator(OTHER, "admin", "他社 太郎", "company_admin")
        house.add_operator(OTHER, "sato", "他社 佐藤")
        house.fill_company(COMPANY, days)
        for role, user in SYSTEM_PEOPLE.items():
            house.add_admin(user, {"ops": "運用 一郎", "data1": "管理 二郎", "audit1": "監査 三郎"}[user], role)
        self.visitors, self.secrets = {}, {}
        for role, user in COMPANY_PEOPLE.items():
            self.visitors[role] = Visitor(house)
            self.visitors[role].log_in(user, PASSWORD, COMPANY)
        for role, user in SYSTEM_PEOPLE.items():
            self.visitors[role] = Visitor(house)
            self.secrets[role] = self.visitors[role].log_in(user, SYSTEM_PASSWORD)
        self.visitors["other"] = Visitor(house)
        self.visitors["other"].log_in("admin", PASSWORD, OTHER)
        self.visitors["outside"] = Visitor(house)

    def _system(self):
        """What those who run the service have done."""
        ops, now = self.visitors["operations"], datetime.now()
        ops.get("/system/partners")
        ops.fill("/system/partners", name="株式会社みらい販売", note="関東の代理店", reason=REASON)
        partner = [link for link in page_links(ops) if link.startswith("/system/partners/")][0].split("/")[-1]
        for code, name in [("acme", "アクメ商事株式会社"), ("closed", "契約終了株式会社")]:
            ops.get("/system/companies/new")
            ops.fill("/system/companies/new", code=code, name=name, seats="20", partner=partner, user="boss",
                     admin_name="上司 一", reason=REASON, begins="2026-01-01", ends=str((now + timedelta(days=20)).date()))
        self.closed = [link for link in page_links(ops) if link.startswith("/system/companies/")][-1]
        ops.get(self.closed)
        ops.fill(f"{self.closed}/state", ("to", "ended"), reason=REASON)
        ops.get("/system/notices")
        minute = "%Y-%m-%dT%H:%M"
        ops.fill("/system/notices", title="新しい版を公開しました", body="オペレーターツールを更新してください。",
                 begins=now.strftime(minute), ends=(now + timedelta(days=9)).strftime(minute))
        ops.get("/system/maintenance")
        start = now + timedelta(days=31)
        ops.fill("/system/maintenance", starts=start.strftime(minute), services="manager",
                 ends=(start + timedelta(hours=2)).strftime(minute), body="設備の入れ替えのため停止します。")
        ops.get("/system/incidents")
        ops.fill("/system/incidents", title="一部の中継サーバーに接続しにくい", detected=now.strftime(minute),
                 stopped=now.strftime(minute))
        ops.get("/system/terms")
        ops.fill("/system/terms", edition="1.0", changes_ja="初版です", changes_en="First edition",
                 body_ja="# 第1条（適用）\nこの規約は、サービスの利用に適用します。\n\n1. 定義\n2. 変更\n\n- 別紙 https://terms.example/")
        ops.fill(f"{ops.path}/publish", sure="yes")
        # A draft beside it, whose page has its forms.
        ops.get("/system/terms")
        ops.fill("/system/terms", edition="1.1", changes_ja="第1条を改めます", changes_en="Article 1 is revised",
                 body_ja="# 第1条（適用）\nこの規約は、サービスのすべての利用に適用します。", body_en="# Article 1\nThese terms apply.")
        ops.get("/system/admins/new")
        ops.fill("/system/admins/new", name="代理 四郎", user="partner1", role="partner", partner=partner, reason=REASON)
        self._partner(html.unescape(re.search(r'class="secret">([^<]+)<', ops.text).group(1)))
        data = self.visitors["data"]
        data.get(f"/system/requests/new?company={self.closed.split('/')[-1]}")
        data.fill("/system/requests/new", reason=REASON, kind="erase", early="yes")
        self.partner = partner

    def _partner(self, password):
        """A partner, with a notice to its companies."""
        visitor, now, minute = Visitor(self.house), datetime.now(), "%Y-%m-%dT%H:%M"
        self.visitors[PARTNER], self.secrets[PARTNER] = visitor, visitor.log_in("partner1", password)
        visitor.get("/system/account/password")
        visitor.fill("/system/account/password", old=password, new=SYSTEM_PASSWORD, again=SYSTEM_PASSWORD)
        visitor.get("/system/notices")
        visitor.fill("/system/notices", title="契約の更新のご案内", body="更新の手続きは https://partner.example/ から。",
                     begins=now.strftime(minute), ends=(now + timedelta(days=9)).strftime(minute))

    def _company(self):
        """What the company's people have done."""
        admin, now = self.visitors["company_admin"], datetime.now()
        admin.get("/settings/categories")
        for name in ("プリンター", "メール", "ネットワーク"):
            admin.fill("/settings/categories", name=name)
        admin.get("/settings/webhooks")
        # Nobody listens there: the call waits, and its page says why.
        admin.fill("/settings/webhooks", url="https://hooks.example.invalid/support")
        webhook = [link for link in page_links(admin) if link.startswith("/settings/webhooks/")][0]
        admin.get(webhook)
        admin.fill(f"{webhook}/test")
        self.api_token("company_admin", "チケットシステム", "accounts.read")
        admin.get("/filters?list=/operators&query=?role%3Doperator")
        admin.fill("/filters", name="オペレーターだけ")
        admin.get("/notices/new")
        admin.fill("/notices/new", title="年末の受付時間", body="12月29日から1月3日まで休みます。",
                   begins=now.strftime("%Y-%m-%dT%H:%M"), ends=(now + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M"))

    def _live(self):
        """A running session and an open number."""
        self.house.start_relay()
        operator = tools.operator(self.house, COMPANY, "goto", PASSWORD)
        mdm = self.api_token("company_admin", "端末管理", "receptions.start")
        # Four digits that only the device management and the tools know.
        number = self.start(mdm, "MDM-000123", "営業3号")["locator"] + "3381"
        assert operator.ask("issue", "number", number=number)["number"].replace("-", "") == number
        tools.client(self.house, number)
        operator.wait_for("first_picture")
        operator.ask("ask", "granted", grant="control")
        operator.ask("issue", "number", reason="メールの設定")
        self.start(mdm, "MDM-000124", "受付タブレット")

    def start(self, token, device, name):
        """A device management starts a reception."""
        body = {"device": {"id": device, "name": name, "model": "ThinkPad X1 Carbon", "os": "Windows 11 24H2",
                           "serial": "PF-3A9K2"},
                "applications": [{"name": name, "version": f"{version}.0.1"} for version, name in
                                 enumerate(["表計算", "メール", "営業支援クライアント", "PDFビューアー", "VPN"], 14)],
                "customer_name": "佐藤 花子", "case_number": "T-2041", "reason": "プリンターの設定"}
        answer = httpx.post(f"{self.house.url}/v1/manage/receptions", json=body, verify=False, trust_env=False,
                            headers={"authorization": f"Bearer {token}"}, timeout=30)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def api_token(self, role, name, *scopes):
        """A token of the API, made at the site; with every scope when none is named."""
        visitor = self.visitors[role]
        visitor.get("/settings/tokens/new")
        form = visitor.form("/settings/tokens/new")
        if scopes:
            form.controls = [control for control in form.controls
                             if control.name != "scope" or control.attributes["value"] in scopes]
        for control in form.controls:
            if control.name == "scope":
                control.attributes["checked"] = ""
        visitor.send(form, {"name": name})
        assert visitor.answer.status_code == 200, visitor.text[-1500:]
        return visitor.text.split('class="secret">', 1)[1].split("<", 1)[0]

    def bearer(self, user="goto", company=COMPANY, password=PASSWORD):
        """A token of an operator for the API."""
        body = {"company": company, "user": user, "password": password}
        answer = httpx.post(f"{self.house.url}/v1/login", json=body, verify=False, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["token"]

    def close(self):
        self.house.close()


def page_links(visitor):
    from visitor import Reader
    return Reader(visitor.text).links
