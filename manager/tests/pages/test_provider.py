"""Sign-in by an identity provider in a real browser: the provider is another site, as the browser sees it, so its cookies,
its policy and its redirects are what decides."""

from house import PASSWORD, House
from provider import CLIENT, SECRET, Provider

CONFIG = '[providers]\nnetworks = ["127.0.0.0/8", "::1/128"]\nca_file = "ca.pem"\n'


def test_the_way_to_a_provider_and_back(browser, pictures):
    with House(config=CONFIG) as house:
        house.add_company("acme", "株式会社サンプル")
        house.add_operator("acme", "boss", "山田 花子", role="company_admin")
        provider = Provider(house.folder, "somebody-at-the-provider")
        try:
            walk(house, provider, browser, pictures)
        finally:
            provider.close()


def walk(house, provider, browser, pictures):
    context = browser.context(house.url, "ja")
    page = context.new_page()
    wrong = []

    def note(said):
        # What the other site lacks, its icon for one, is not ours.
        if said.type in ("error", "warning") and not said.location["url"].startswith(provider.issuer):
            wrong.append(f"{said.text} {said.location['url']}")

    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())

    page.goto("/login")
    assert page.locator('[formaction="/login/provider"]').count() == 0
    page.fill("#company", "acme")
    page.fill("#user", "boss")
    page.fill("#password", PASSWORD)
    page.click(".primary")
    page.wait_for_url(f"{house.url}/")

    page.goto("/settings/provider")
    for field, value in {"issuer": provider.issuer, "client_id": CLIENT, "secret": SECRET,
                         "button": "サンプルIDでログイン"}.items():
        page.fill(f"#{field}", value)
    page.check("[name=in_force]")
    page.click("main form.sheet .primary")
    page.wait_for_selector(".banner.done")
    page.click('[action="/settings/provider/check"] button')
    page.wait_for_selector(".banner")
    assert "必要なことができます" in page.inner_text(".banner"), page.inner_text("main")
    pictures.take(page, "provider-settings")

    page.goto("/account")
    page.fill("#proof-connect", PASSWORD)
    page.click('[action="/account/provider"] button')
    page.wait_for_url(f"{provider.issuer}/authorize?*")
    page.click("#yes")
    page.wait_for_url(f"{house.url}/account")
    assert "接続済み" in page.inner_text("main")
    pictures.take(page, "provider-account")

    page.click('[action="/logout"] button')
    page.goto("/login?company=acme")
    assert page.inner_text('[formaction="/login/provider"]') == "サンプルIDでログイン"
    pictures.take(page, "provider-login")
    page.click('[formaction="/login/provider"]')
    page.wait_for_url(f"{provider.issuer}/authorize?*")
    back = page.get_attribute("#yes", "href")
    page.click("#yes")
    page.wait_for_url(f"{house.url}/")
    assert "山田 花子" in page.inner_text("header")
    assert page.evaluate("window.__refused || []") == []

    # The same answer in another browser, and again in this one.
    other = browser.context(house.url, "ja").new_page()
    for again in (other, page):
        again.goto(back)
        again.wait_for_url(f"{house.url}/login?why=provider_stale")
        assert "もう一度始めてください" in again.inner_text(".banner.bad")
    pictures.take(other, "provider-stale")
    assert wrong == [], wrong
    other.context.close()
    context.close()
