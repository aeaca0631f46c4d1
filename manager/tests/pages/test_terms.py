"""The terms of use in a real browser: a revision that asks everybody to agree, and the page that asks."""

import checks
from browser import Watched
from house import PASSWORD, SYSTEM_PASSWORD, House
from test_pages import closely
from visitor import Visitor

LIST = "/system/terms"
ASK = "/terms/agree"
TEXT = "# 第1条（適用）\nこの規約は、サービスの利用に適用します。\n\n1. 定義\n2. 変更"


def test_people_are_asked_to_agree_once(browser, pictures):
    with House() as house:
        house.add_company("acme", "株式会社サンプル")
        house.add_operator("acme", "boss", "山田 花子", role="company_admin")
        house.add_admin("ops", "運用 一郎", "operations")
        ops, boss = Visitor(house), Visitor(house)
        ops.log_in("ops", SYSTEM_PASSWORD)
        boss.log_in("boss", PASSWORD, "acme")
        ops.get(LIST)
        ops.fill(LIST, edition="1.0", changes_ja="初版です", changes_en="First edition", body_ja=TEXT, agree="yes")
        ops.fill(f"{ops.path}/publish", sure="yes")
        assert "施行中" in ops.text

        boss.get("/operators")
        assert boss.path == ASK and "第1条（適用）" in boss.text
        wrong = []
        for name, path, who in [("terms-ask", ASK, boss), ("terms", "/terms", Visitor(house)), ("terms-system", LIST, ops)]:
            for lang in ("ja", "en"):
                wrong += [f"{name} {lang}: {what}" for what in look(browser, house, pictures, (name, path, who), lang)]
        assert not wrong, "\n".join(wrong)

        boss.get(ASK)
        boss.fill(ASK)
        assert boss.path == "/"
        boss.get("/operators")
        assert boss.path == "/operators"
        # A manager that starts anew links the terms from its first page on.
        house.kill_manager(0)
        house.start_manager(0)
        stranger = Visitor(house)
        stranger.get("/login")
        assert 'href="/terms"' in stranger.text


def look(browser, house, pictures, place, lang):
    name, path, who = place
    watched = Watched(browser.context(house.url, lang, who.cookies()), house.url)
    status = watched.open(path)
    checks.arm(watched.page)
    wrong = closely(watched.page, lang, pictures, name) + watched.wrong + watched.refused()
    watched.page.context.close()
    return wrong if status == 200 else [f"answers {status}", *wrong]
