//! Whether there are terms that a page can link, without asking the database for each page.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use proto::api::UnixMillis;

use super::store;
use crate::{app::App, db::DbResult};

/// A manager that knows of none looks again this often: another one may have published some.
const LOOK_EVERY_MS: i64 = 1_000;
/// No page waits longer for the look; one that needs no database comes while that is away.
const LOOK_MAX: Duration = Duration::from_millis(200);
/// What the addresses of files begin with that every page loads.
const FILES: &str = "/static/";

/// Whether terms were published. Once there are some there always are: one that was withdrawn counts, and the page says
/// then that there are none to read.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Look>);

#[derive(Debug, Default)]
struct Look {
    are_there: AtomicBool,
    looked_at_ms: AtomicI64,
}

impl Known {
    /// Whether there are some.
    pub fn are_there(&self) -> bool {
        self.0.are_there.load(Ordering::Relaxed)
    }

    /// Notes that some were published.
    pub fn note(&self) {
        self.0.are_there.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to look, for one of those who ask at once.
    fn is_due(&self, now: UnixMillis) -> bool {
        let looked_at_ms = self.0.looked_at_ms.load(Ordering::Relaxed);
        // A clock that was put back does not keep it from looking.
        let is_time = now < looked_at_ms || looked_at_ms.saturating_add(LOOK_EVERY_MS) <= now;
        let is_due = !self.are_there() && is_time;
        is_due && self.0.looked_at_ms.compare_exchange(looked_at_ms, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Middleware: looks when it is time. When the database does not answer, a page that needs it will say so.
pub async fn look(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(FILES) && app.terms.is_due(app.now_ms()) {
        let found = tokio::time::timeout(LOOK_MAX, read(&app)).await;
        if found.is_ok_and(Result::unwrap_or_default) {
            app.terms.note();
        }
    }
    next.run(request).await
}

async fn read(app: &App) -> DbResult<bool> {
    let mut tx = app.db.read().await?;
    store::any_published(&mut tx).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_looks_each_second_until_there_are_some() {
        let known = Known::default();

        assert!(known.is_due(5_000));
        assert!(!known.is_due(5_000) && !known.is_due(5_999));
        assert!(known.is_due(6_000));
        assert!(known.is_due(3_000), "the clock was put back");
        assert!(!known.is_due(3_999) && known.is_due(4_000));
        known.note();
        assert!(known.are_there() && !known.is_due(9_000));
    }
}
