//! A browser without scripts at the management site of one manager: it keeps cookies, sends the token of the page that it
//! saw last with its forms, and follows no redirect.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use ops::clock::Clock;
use reqwest::{Certificate, Client, RequestBuilder, Url, header, redirect};
use totp_rs::{Builder, Secret};

use crate::tool::Account;

/// See the module.
pub struct Browser {
    client: Client,
    site: String,
    cookies: BTreeMap<String, String>,
    token: String,
}

impl Browser {
    /// Opens one that trusts the authority of this account's manager.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn open(account: &Account) -> Result<Self> {
        let authority = Certificate::from_pem_bundle(&std::fs::read(&account.ca)?)?;
        let client = Client::builder()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .tls_certs_only(authority)
            .build()?;
        Ok(Self { client, site: account.manager.clone(), cookies: BTreeMap::new(), token: String::new() })
    }

    /// Logs an account of a company in.
    ///
    /// # Errors
    /// When it does not get in.
    pub async fn log_in(&mut self, account: &Account) -> Result<()> {
        let password = tokio::fs::read_to_string(&account.password_file).await?;
        self.see("/login").await?;
        let fields = [("company", account.company.as_str()), ("user", &account.user), ("password", &password)];
        self.press("/login", &fields).await?;
        self.see("/live/sessions").await.context("the account does not get in")?;
        Ok(())
    }

    /// Logs a system administrator in for the first time, and sets up the second factor that is asked for.
    ///
    /// # Errors
    /// When that does not work.
    pub async fn log_in_system(&mut self, user: &str, password: &str) -> Result<()> {
        self.see("/system/login").await?;
        self.press("/system/login", &[("user", user), ("password", password)]).await?;
        let page = self.see("/system/login/factor").await?;
        let typed: String =
            between(&page, "<p class=\"secret\">", "</p>")?.chars().filter(|c| !c.is_whitespace()).collect();
        let factor = Builder::new().with_secret(Secret::try_from_base32(typed)?).with_account_name("").build()?;
        let code = factor.generate(u64::try_from(Clock::system().now_ms() / 1_000)?).to_string();
        self.press("/system/login/factor", &[("code", &code)]).await?;
        self.see("/system").await.context("the system administrator does not get in")?;
        Ok(())
    }

    /// A page.
    ///
    /// # Errors
    /// When there is none for this login.
    pub async fn see(&mut self, path: &str) -> Result<String> {
        let request = self.client.get(format!("{}{path}", self.site));
        let (status, text) = self.send(request).await?;
        ensure!(status == 200, "{path} answers {status}");
        Ok(text)
    }

    /// Sends a form of the page that was seen last.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn press(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<String> {
        let fields = [("csrf", self.token.as_str())].into_iter().chain(fields.iter().copied());
        let form = Url::parse_with_params("https://form/", fields)?.query().unwrap_or_default().to_owned();
        let request = self.client.post(format!("{}{path}", self.site));
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let (status, text) = self.send(request).await?;
        ensure!(status == 200 || status == 303, "{path} answers {status}");
        Ok(text)
    }

    async fn send(&mut self, request: RequestBuilder) -> Result<(u16, String)> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header(header::COOKIE, cookies.join("; ")).header("sec-fetch-site", "same-origin");
        let response = request.header(header::ACCEPT, "text/html").send().await?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str()?.split_once(';').context("odd cookie")?;
            let (name, value) = pair.split_once('=').context("odd cookie")?;
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let (status, text) = (response.status().as_u16(), response.text().await?);
        if let Ok(token) = between(&text, "name=\"csrf\" value=\"", "\"") {
            token.clone_into(&mut self.token);
        }
        Ok((status, text))
    }
}

/// The text between two others.
///
/// # Errors
/// When they are not in it.
pub fn between<'a>(page: &'a str, before: &str, after: &str) -> Result<&'a str> {
    let found = page.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    Ok(found.with_context(|| format!("the page has no {before}"))?.0)
}
