//! What is asked of managers that may die, and how often that was in vain.
//!
//! The tools ask again what nobody answered: a number to issue three times (`operator/src/issue.rs`), one to enter up to
//! eight times (`client/src/enter.rs`), their records up to five times (`client/src/record.rs`). Here everything is
//! asked once more.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use link::api::ApiError;
use tokio::time::sleep;

/// Pause before what nobody answered is asked once more. Source: the first pause of the operator's tool.
pub const AGAIN: Duration = Duration::from_millis(500);

/// Counts requests; all of a run share one.
#[derive(Debug, Default)]
pub struct Tries {
    counts: Mutex<Counts>,
}

/// See [`Tries`].
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Requests, each counted once.
    pub asked: u64,
    /// Those that nobody answered at first, by what was asked.
    pub again: BTreeMap<&'static str, u64>,
    /// What was not answered the second time either, or was done without anybody hearing of it.
    pub failed: Vec<String>,
}

impl Tries {
    /// What there was so far.
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// Asks, and once more after [`AGAIN`] when nobody answers.
    ///
    /// # Errors
    /// What the second answer says, or the first, when that is an answer.
    pub async fn ask<T, Asking>(&self, what: &'static str, call: impl Fn() -> Asking) -> Result<T, ApiError>
    where
        Asking: Future<Output = Result<T, ApiError>>,
    {
        self.lock().asked += 1;
        let first = call().await;
        if !first.as_ref().is_err_and(ApiError::is_unanswered) {
            return first;
        }
        self.note_again(what);
        sleep(AGAIN).await;
        let second = call().await;
        if let Err(error) = &second
            && error.is_unanswered()
        {
            self.note_failed(format!("{what}: {error}"));
        }
        second
    }

    /// Counts what nobody answered at first.
    pub fn note_again(&self, what: &'static str) {
        *self.lock().again.entry(what).or_default() += 1;
    }

    /// Notes what was asked in vain.
    pub fn note_failed(&self, what: String) {
        self.lock().failed.push(what);
    }

    /// No await while the guard lives.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use proto::api::error::{ErrorBody, ErrorCode};

    use super::*;

    /// Asks somebody who gives these answers, one after the other.
    async fn ask(tries: &Tries, answers: &[Result<(), ApiError>]) -> Result<(), ApiError> {
        let asked = AtomicU32::new(0);
        tries
            .ask("enter", || {
                let place = usize::try_from(asked.fetch_add(1, Ordering::Relaxed)).unwrap();
                std::future::ready(answers[place].clone())
            })
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_answers_is_asked_once_more_and_a_refusal_is_an_answer() {
        let nobody = ApiError::Unreachable("nobody is there".to_owned());
        let body = ErrorBody { code: ErrorCode::NumberUnusable, message: "no".to_owned(), retry_after_secs: None };
        let refusal = ApiError::Refused { status: 404, body };
        let tries = Tries::default();

        assert_eq!(ask(&tries, &[Err(nobody.clone()), Ok(())]).await, Ok(()));
        assert_eq!(ask(&tries, &[Err(refusal.clone())]).await, Err(refusal));
        assert!(tries.counts().failed.is_empty());
        assert_eq!(ask(&tries, &[Err(nobody.clone()), Err(nobody.clone())]).await, Err(nobody));

        let counts = tries.counts();
        assert_eq!((counts.asked, counts.again.get("enter"), counts.failed.len()), (3, Some(&2), 1));
    }
}
