//! `GET /live/changes`: a word whenever something happened in the company, and nothing else.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::sse::{self, KeepAlive, Sse},
};
use futures_util::{Stream, stream};

use super::hub::Listener;
use crate::{
    app::App,
    login::{Login, Realm, SiteLogin, site_store},
    role::Permission,
    site::Problem,
};

/// Pause between comments, so that both sides and every box between see life.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A login that is over ends its stream after this time at the latest.
pub const LOGIN_EVERY: Duration = Duration::from_secs(4);

/// The stream of one browser. It says only that there is something; the rows are asked for with the rights of then.
pub(super) async fn changes(
    State(app): State<App>,
    login: SiteLogin,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    login.need(Permission::LiveView)?;
    let (account_max, max) = (app.config.events.streams_per_operator_max.get(), app.config.events.boards_max.get());
    let listener = app
        .boards
        .listen(login.company_id, login.operator_id, account_max, max)
        .ok_or(Problem::Throttled { retry_after_secs: LOGIN_EVERY.as_secs() })?;
    app.metrics.events.manager_board_streams.inc();
    let open = Open { app, login, listener };
    let stream = stream::unfold(open, |mut open| async move {
        open.next().await?;
        Some((Ok(sse::Event::default().event("changed").data("1")), open))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
}

/// One open stream.
struct Open {
    app: App,
    login: SiteLogin,
    listener: Listener,
}

impl Open {
    /// Waits until something happened; `None` when the login is over.
    async fn next(&mut self) -> Option<()> {
        loop {
            let woken = tokio::time::timeout(LOGIN_EVERY, self.listener.woken()).await.is_ok();
            self.still_logged_in().await?;
            if woken {
                return Some(());
            }
        }
    }

    /// A database that is away for a moment ends the stream, too: the browser opens it again. So do terms that must be
    /// agreed to, whose question then comes.
    async fn still_logged_in(&self) -> Option<()> {
        let mut tx = self.app.db.read().await.ok()?;
        let found = site_store::find(&mut tx, Realm::Company, &self.login.token, self.app.now_ms()).await.ok()??;
        match found.0 {
            Login::Company(login) => (login.may(Permission::LiveView) && !login.must_agree).then_some(()),
            Login::System(_) => None,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.events.manager_board_streams.dec();
    }
}
