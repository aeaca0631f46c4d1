"""What was typed and not saved before a login ended, in a real browser: who is offered it again, and who is not."""

import checks
from browser import wait_until
from house import PASSWORD, SYSTEM_PASSWORD, House
from person import Person
from test_pages import closely
from visitor import Visitor

NEW = "/notices/new"
TERMS = "/system/terms"
TEXT = "夜間は次のとおりです。\n\n1. 電話\n2. 窓口"
LOGINS = ("__Host-uketsuke", "__Host-uketsuke-system")
OFFER = 'form [role="status"]:has-text("保存されないまま残っています")'


def test_what_was_typed_is_offered_to_who_typed_it_and_to_nobody_else(browser, pictures):
    with House() as house:
        house.add_company("acme", "株式会社サンプル")
        for user, name in [("boss", "山田 花子"), ("other", "鈴木 一郎")]:
            house.add_operator("acme", user, name, role="company_admin")
        person = Person(browser, house.url)
        person.log_in("boss", PASSWORD, "acme")
        type_notice(person)
        lose_login(person, NEW)

        person.log_in("boss", PASSWORD, "acme")
        person.go(NEW)
        person.page.locator(OFFER).wait_for()
        assert person.page.locator("#body").input_value() == ""
        assert not (wrong := look(person, pictures)), "\n".join(wrong)
        person.page.get_by_role("button", name="入力した文章を戻す").focus()
        person.page.keyboard.press("Enter")
        assert person.page.locator("#body").input_value() == TEXT
        assert person.page.evaluate("document.activeElement.id") == "body" and not offers(person)
        person.fill(NEW, title="夜間の連絡先")
        assert person.path == "/notices" and kept(person) == []
        person.press('main th a:has-text("夜間の連絡先")')
        person.says("1. 電話")
        assert not offers(person.go(NEW))

        # Somebody else is offered nothing, and then nobody is.
        type_notice(person)
        lose_login(person, NEW)
        person.log_in("other", PASSWORD, "acme")
        assert not offers(person.go(NEW)) and kept(person) == []
        person.log_out()
        person.log_in("boss", PASSWORD, "acme")
        assert not offers(person.go(NEW))

        # Nor after the logout.
        type_notice(person)
        assert kept(person) != []
        person.log_out()
        assert kept(person) == []
        person.log_in("boss", PASSWORD, "acme")
        assert not offers(person.go(NEW))

        # What is discarded does not come back.
        type_notice(person)
        assert offers(person.go("/notices").go(NEW))
        person.page.get_by_role("button", name="破棄する").click()
        assert kept(person) == [] and not offers(person.go(NEW))
        assert not person.wrong, "\n".join(person.wrong)


def test_a_draft_of_the_terms_outlives_the_login_that_typed_it(browser):
    with House() as house:
        house.add_admin("ops", "運用 一郎", "operations")
        ops = Visitor(house)
        ops.log_in("ops", SYSTEM_PASSWORD)
        person = Person(browser, house.url)
        person.context.add_cookies(ops.cookies())
        person.go(TERMS).page.locator("main details > summary").first.click()
        type_revision(person, changes_ja="初版です", changes_en="First edition", body_ja=TEXT)
        lose_login(person, TERMS)

        person.context.add_cookies(ops.cookies())
        person.go(TERMS)
        # The fold with the form is opened for it.
        person.page.locator(OFFER).wait_for()
        person.page.get_by_role("button", name="入力した文章を戻す").click()
        fields = [person.page.locator(f"#{name}") for name in ("changes_ja", "changes_en", "body_ja", "body_en")]
        assert [field.input_value() for field in fields] == ["初版です", "First edition", TEXT, ""]
        person.fill(TERMS, edition="1.0")
        assert person.path.startswith(f"{TERMS}/") and kept(person) == []
        # The draft has what was typed, so there is nothing to offer.
        assert person.page.locator("#body_ja").input_value() == TEXT and not offers(person)
        assert not person.wrong, "\n".join(person.wrong)


def test_who_restores_over_the_change_of_somebody_else_is_told_before(browser):
    with House() as house:
        for user, name in [("ops", "運用 一郎"), ("other", "運用 二郎")]:
            house.add_admin(user, name, "operations")
        ops, other = Visitor(house), Visitor(house)
        ops.log_in("ops", SYSTEM_PASSWORD)
        other.log_in("other", SYSTEM_PASSWORD)
        ops.get(TERMS)
        ops.fill(TERMS, edition="1.0", changes_ja="初版です", changes_en="First edition", body_ja=TEXT)
        draft = ops.path
        person = Person(browser, house.url)
        person.context.add_cookies(ops.cookies())
        person.go(draft).page.locator("#body_ja").fill("書きかけの本文です。")
        lose_login(person, draft)
        person.context.add_cookies(ops.cookies())
        assert not warns(person.go(draft))

        other.get(draft)
        other.fill(draft, body_ja="別の人が直した本文です。")

        assert warns(person.go(draft))
        person.says("この間に、ほかの人が内容を変更しています。")
        person.page.get_by_role("button", name="入力した文章を戻す").click()
        assert person.page.locator("#body_ja").input_value() == "書きかけの本文です。"
        # Who types instead of restoring is kept anew, for what the form has now.
        assert warns(person.go(draft))
        person.page.locator("#body_ja").fill("新しく書いた本文です。")
        assert not offers(person)
        assert not warns(person.go(draft))
        person.page.get_by_role("button", name="入力した文章を戻す").click()
        assert person.page.locator("#body_ja").input_value() == "新しく書いた本文です。"
        assert not person.wrong, "\n".join(person.wrong)


def test_a_logout_in_another_tab_forgets_what_was_typed_in_this_one(browser):
    with House() as house:
        house.add_company("acme", "株式会社サンプル")
        house.add_operator("acme", "boss", "山田 花子", role="company_admin")
        person = Person(browser, house.url)
        person.log_in("boss", PASSWORD, "acme")
        type_notice(person)
        assert kept(person) != []
        another = person.context.new_page()
        another.goto("/")

        with another.expect_navigation():
            another.locator('form[action$="/logout"] button').first.click()

        assert wait_until(lambda: kept(person) == [])
        # The page that is still open keeps nothing more.
        person.page.locator("#body").fill("もう残らない文章")
        assert kept(person) == []
        person.press(f'form[action="{NEW}"] button.primary')
        assert person.path.endswith("/login") and kept(person) == []
        person.log_in("boss", PASSWORD, "acme")
        assert not offers(person.go(NEW))
        assert not person.wrong, "\n".join(person.wrong)


def type_notice(person):
    person.go(NEW).page.locator("#title").fill("夜間の連絡先")
    person.page.locator("#body").fill(TEXT)


def type_revision(person, **texts):
    for name, text in {"edition": "1.0", **texts}.items():
        person.page.locator(f"#{name}").fill(text)


def lose_login(person, action):
    """The login ends while somebody types, and the form is sent then."""
    for name in LOGINS:
        person.context.clear_cookies(name=name)
    person.press(f'form[action="{action}"] button.primary')
    assert person.path.endswith("/login"), person.path


def offers(person):
    return person.page.locator("[data-kept]").count()


def warns(person):
    """Whether the offer that stands says that somebody else changed what it would be put back into."""
    person.page.locator(OFFER).wait_for()
    return person.page.locator("[data-kept-old]").is_visible()


def kept(person):
    return person.page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('kept/'))")


def look(person, pictures):
    """The offer in both languages."""
    wrong = []
    for lang, words in (("ja", "残っています"), ("en", "was not saved")):
        person.page.locator('form [role="status"]', has_text=words).wait_for()
        checks.arm(person.page)
        wrong += [f"{lang}: {what}" for what in closely(person.page, lang, pictures, "kept-offer")]
        person.page.emulate_media(forced_colors="none")
        # The page comes anew in the other language, and offers again.
        person.press('form[action="/language"] button')
    person.page.locator(OFFER).wait_for()
    return wrong
