"""The whole service stopped, in a real browser: the page of the switch and what everybody else sees meanwhile."""

import checks
from browser import Watched, wait_until
from house import PASSWORD, SYSTEM_PASSWORD, House
from test_pages import closely
from visitor import Visitor

SWITCH = "/system/halt"
REASON = "不正アクセスの疑いがあるため"


def test_a_stopped_service_says_so_everywhere(browser, pictures):
    with House() as house:
        house.add_company("acme", "株式会社サンプル")
        house.add_operator("acme", "boss", "山田 花子", role="company_admin")
        house.add_admin("ops", "運用 一郎", "operations")
        ops, boss = Visitor(house), Visitor(house)
        ops.log_in("ops", SYSTEM_PASSWORD)
        boss.log_in("boss", PASSWORD, "acme")
        ops.get(SWITCH)
        ops.fill(SWITCH, reason=REASON, sure="yes")
        assert REASON in ops.text and "運用 一郎" in ops.text

        wrong = []
        doors = [("halt-login", "/login", boss), ("halt-forgotten", "/login/forgotten", boss)]
        for name, path, who in [("halt", SWITCH, ops), ("halt-top", "/system", ops), *doors]:
            for lang in ("ja", "en"):
                wrong += [f"{name} {lang}: {what}" for what in look(browser, house, pictures, (name, path, who), lang)]
        assert not wrong, "\n".join(wrong)
        # A manager that starts anew knows it, is ready all the same, and tells Prometheus.
        house.kill_manager(0)
        house.start_manager(0)
        boss.get("/")
        assert boss.path == "/login" and "ただいまサービスを停止しています" in boss.text
        assert wait_until(lambda: house.metric(0, "manager_service_halted") == 1)

        ops.get(SWITCH)
        ops.fill(f"{SWITCH}/lift", reason=REASON)
        boss.log_in("boss", PASSWORD, "acme")
        assert boss.path == "/"


def look(browser, house, pictures, place, lang):
    name, path, who = place
    watched = Watched(browser.context(house.url, lang, who.cookies()), house.url)
    status = watched.open(path)
    checks.arm(watched.page)
    wrong = closely(watched.page, lang, pictures, name) + watched.wrong + watched.refused()
    watched.page.context.close()
    return wrong if status == 200 else [f"answers {status}", *wrong]
