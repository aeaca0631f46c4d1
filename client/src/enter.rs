//! From a typed number to an operator on the other end: number → manager → pairing → relay → proved.
//!
//! Walk "a reception number": before it the customer's fingers, after it `session.rs`.
//! Guarantees: the four secret digits go into the key exchange and nowhere else; a secret that was not proved is told
//! to the manager, so that the number can be entered again or burns. Cancel-safe: dropping it leaves nothing open.

use std::{sync::Arc, time::Duration};

use desk::bookmark::Bookmark;
use link::{
    api::{ApiError, ManagerApi},
    meet::{self, MeetError, Meeting, Return},
    proxy::ProxyError,
    race::Dialer,
    sealed::Sealed,
};
use proto::{
    api::{error::ErrorCode, reception::EnterRequest, session::EndRequest},
    close::CloseReason,
    id::SessionId,
    introduction::Introduction,
    number::ReceptionNumber,
    role::Role,
};
use rand_core::OsRng;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::entry_key::EntryKey;

/// Pauses before an entry that nobody answered is asked for again: long enough for a balancer to see who is gone, and
/// together for the only manager to drain and to be started again. Source: `http.drain` of the manager is 20 s by
/// default; 10 s for its start.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(8),
    Duration::from_secs(8),
];
/// After this long the customer is told instead of a further try: one call may wait 15 s, so all is over within 58 s.
const PATIENCE: Duration = Duration::from_secs(35);

/// The manager knows the number; the operator is being met.
pub struct Entered {
    /// Who the operator is and what may be asked.
    pub introduction: Introduction,
    /// The session.
    pub session_id: SessionId,
    /// The manager, with the session's token.
    pub api: ManagerApi,
    token: String,
    meeting: Meeting,
}

/// Both tools have proved the number to each other.
pub struct Met {
    /// The way to the operator.
    pub sealed: Sealed,
    /// Who the operator is and what may be asked.
    pub introduction: Introduction,
    /// The session.
    pub session_id: SessionId,
    /// The manager, with the session's token.
    pub api: ManagerApi,
    /// With it a later process comes back to the session.
    pub bookmark: Bookmark,
}

/// Why nobody was met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnterError {
    /// Unknown, expired, used, burned or throttled: one answer for all.
    #[error("this number cannot be used")]
    NumberUnusable,
    /// No session can be gone on with: there is none, it is too late, or another process has it.
    #[error("there is no session to resume")]
    NoBookmark,
    /// The manager was not reached.
    #[error("the manager cannot be reached")]
    ManagerUnreachable,
    /// The manager or the relays have no room now.
    #[error("the service is busy")]
    Busy,
    /// The whole service is stopped.
    #[error("the service is stopped")]
    ServiceHalted,
    /// The manager's answer is not understood.
    #[error("the manager's answer is not understood")]
    NotUnderstood,
    /// The other side is not the operator who gave this number.
    #[error("the last four digits are not the operator's")]
    WrongSecret,
    /// A proxy stands in the way to the manager or the relays.
    #[error("{0}")]
    Proxy(ProxyError),
    /// No relay was reached.
    #[error("no relay can be reached")]
    RelayUnreachable,
    /// The operator did not come, or left.
    #[error("the operator is not there")]
    OperatorGone,
}

impl EnterError {
    /// Its name in the headless mode and in the text catalogue.
    pub const fn code(&self) -> &'static str {
        match self {
            // To a stranger a wrong secret reads like a wrong locator.
            Self::NumberUnusable | Self::WrongSecret => "number_unusable",
            Self::NoBookmark => "no_bookmark",
            Self::ManagerUnreachable => "manager_unreachable",
            Self::Busy => "busy",
            Self::ServiceHalted => "service_halted",
            Self::NotUnderstood => "not_understood",
            Self::Proxy(error) => error.code(),
            Self::RelayUnreachable => "relay_unreachable",
            Self::OperatorGone => "operator_gone",
        }
    }
}

impl From<ApiError> for EnterError {
    fn from(error: ApiError) -> Self {
        if let ApiError::Proxy(error) = error {
            return Self::Proxy(error);
        }
        match error.code() {
            Some(ErrorCode::NumberUnusable | ErrorCode::Throttled | ErrorCode::NotFound | ErrorCode::WrongState) => {
                Self::NumberUnusable
            }
            Some(ErrorCode::NoRelay | ErrorCode::Busy | ErrorCode::Internal) => Self::Busy,
            Some(ErrorCode::ServiceHalted) => Self::ServiceHalted,
            Some(ErrorCode::Unknown) if error.is_unanswered() => Self::ManagerUnreachable,
            None if error.is_temporary() => Self::ManagerUnreachable,
            Some(
                ErrorCode::BadRequest
                | ErrorCode::LoginFailed
                | ErrorCode::CodeRequired
                | ErrorCode::PasswordChange
                | ErrorCode::NotLoggedIn
                | ErrorCode::Forbidden
                | ErrorCode::TooManyOpen
                | ErrorCode::TooLarge
                | ErrorCode::Unknown,
            )
            | None => Self::NotUnderstood,
        }
    }
}

impl From<MeetError> for EnterError {
    fn from(error: MeetError) -> Self {
        match error {
            MeetError::WrongSecret | MeetError::Refused(CloseReason::WrongSecret) => Self::WrongSecret,
            MeetError::PeerGone(_) | MeetError::Timeout(_) => Self::OperatorGone,
            MeetError::Refused(CloseReason::Overloaded | CloseReason::Draining) => Self::Busy,
            MeetError::Proxy(error) => Self::Proxy(error),
            MeetError::Unreachable | MeetError::Refused(_) => Self::RelayUnreachable,
        }
    }
}

/// Sends the locator to the manager, under the proof key that this number has. `dialer` finds the relays that it names;
/// `tell_again` is called before each further try.
///
/// The key is kept for the next press where no manager answered with the session, also when this is dropped; once one
/// did, it is forgotten, and whoever then meets nobody enters the number with a new one.
///
/// # Errors
/// See [`EnterError`].
pub async fn enter(
    api: &ManagerApi,
    number: &ReceptionNumber,
    entry_key: &EntryKey,
    dialer: Dialer,
    tell_again: impl Fn(),
) -> Result<Entered, EnterError> {
    let proof_key = entry_key.of(number.locator(), &mut OsRng);
    let request = EnterRequest::new(number.locator(), &proof_key);
    let answer = again(|| api.enter(&request), tell_again).await.inspect_err(
        |error| tracing::info!(event = "enter.failed", reason = %error, "The number was not entered: {error}"),
    )?;
    entry_key.forget();
    let session_id = answer.pairing.session_id;
    let introduction =
        Introduction::read(&answer.pairing.introduction).map_err(|_bad_form| EnterError::NotUnderstood)?;
    let secret = Zeroizing::new(number.secret().as_bytes().to_vec());
    let (api, token) = (api.with_token(&answer.token), answer.token);
    let renew = Some(meet::renewal(api.clone(), session_id));
    let meeting = Meeting { role: Role::Customer, pairing: answer.pairing, proof_key, secret, renew, dialer };
    Ok(Entered { introduction, session_id, api, token, meeting })
}

/// Asks a manager, and again while none answers. With the same proof key an entry that a manager stored before it died
/// is answered by another one, and is no second one.
async fn again<T, Asking>(call: impl Fn() -> Asking, tell_again: impl Fn()) -> Result<T, ApiError>
where
    Asking: Future<Output = Result<T, ApiError>>,
{
    let began = Instant::now();
    for pause in PAUSES {
        match call().await {
            Err(error) if error.is_unanswered() && began.elapsed() < PATIENCE => {
                tracing::info!(event = "enter.again", reason = %error, "The number is entered again: {error}");
                tell_again();
                tokio::time::sleep(pause).await;
            }
            answer => return answer,
        }
    }
    call().await
}

impl Entered {
    /// Meets the operator at a relay and proves the secret.
    ///
    /// # Errors
    /// See [`EnterError`]; the manager has been told.
    pub async fn meet(self) -> Result<Met, EnterError> {
        let Self { introduction, session_id, api, token, meeting } = self;
        let (pairing, proof_key) = (meeting.pairing.clone(), Arc::clone(&meeting.proof_key));
        match meet::meet(meeting).await {
            Ok(sealed) => {
                let manager = (api.url().to_owned(), token);
                let bookmark = Bookmark::new(Role::Customer, pairing, proof_key, sealed.secret.clone(), manager);
                Ok(Met { sealed, introduction, session_id, api, bookmark })
            }
            Err(error) => {
                let reason = error.reason();
                tracing::info!(
                    session.id = %session_id, event = "meet.failed", reason = reason.as_str(),
                    "The operator was not met: {error}"
                );
                if let Err(error) = api.end(session_id, &EndRequest { reason }).await {
                    tracing::info!(session.id = %session_id, event = "record.lost", reason = %error, "The end was not told");
                }
                Err(error.into())
            }
        }
    }
}

/// Comes back to the session of a bookmark that was taken up.
///
/// # Errors
/// Why the session is over for this tool.
pub async fn rejoin(api: &ManagerApi, bookmark: Bookmark, dialer: Dialer) -> Result<Met, CloseReason> {
    let session_id = bookmark.pairing.session_id;
    let introduction = bookmark.introduction().map_err(|_not_read| CloseReason::Malformed)?;
    let api = api.with_token(&bookmark.manager.1);
    let back = Return {
        role: Role::Customer,
        pairing: bookmark.pairing.clone(),
        proof_key: Arc::clone(&bookmark.proof_key),
        secret: bookmark.secret.clone(),
        restarts: bookmark.restarts,
        renew: Some(meet::renewal(api.clone(), session_id)),
        dialer,
    };
    let sealed = meet::rejoin(back).await?;
    Ok(Met { sealed, introduction, session_id, api, bookmark })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proto::api::error::ErrorBody;

    use super::*;

    fn refused(status: u16, code: ErrorCode) -> EnterError {
        ApiError::Refused { status, body: ErrorBody { code, message: String::new(), retry_after_secs: None } }.into()
    }

    #[test]
    fn every_unusable_number_reads_the_same() {
        let unusable = refused(404, ErrorCode::NumberUnusable);
        assert_eq!(unusable.code(), "number_unusable");
        assert_eq!(refused(429, ErrorCode::Throttled), unusable);
        assert_eq!(EnterError::from(MeetError::WrongSecret).code(), unusable.code());
    }

    #[test]
    fn a_manager_that_is_not_there_is_told_from_one_that_is_busy() {
        assert_eq!(EnterError::from(ApiError::Unreachable(String::new())).code(), "manager_unreachable");
        assert_eq!(refused(503, ErrorCode::NoRelay).code(), "busy");
        assert_eq!(refused(503, ErrorCode::ServiceHalted).code(), "service_halted");
        assert_eq!(refused(502, ErrorCode::Unknown).code(), "manager_unreachable");
        assert_eq!(refused(400, ErrorCode::Unknown).code(), "not_understood");
        assert_eq!(EnterError::from(ApiError::Malformed(String::new())).code(), "not_understood");
    }

    /// How often is asked when each call takes `takes` and gives the next of `answers`, the last one ever after.
    async fn asked(takes: Duration, answers: &[Result<(), ApiError>]) -> (usize, Result<(), ApiError>) {
        let (calls, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = || async {
            tokio::time::sleep(takes).await;
            let call = calls.fetch_add(1, Ordering::Relaxed);
            answers[call.min(answers.len() - 1)].clone()
        };
        let tell_again = || {
            told.fetch_add(1, Ordering::Relaxed);
        };
        let answer = again(call, tell_again).await;
        let (calls, told) = (calls.into_inner(), told.into_inner());
        assert_eq!(told + 1, calls, "the customer knows of each further try");
        (calls, answer)
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_that_nobody_answered_is_asked_for_again_and_a_refusal_is_not() {
        let unanswered = Err(ApiError::Unreachable(String::new()));
        let body = |code| ErrorBody { code, message: String::new(), retry_after_secs: None };
        let in_other_words = Err(ApiError::Refused { status: 502, body: body(ErrorCode::Unknown) });
        let unusable = Err(ApiError::Refused { status: 404, body: body(ErrorCode::NumberUnusable) });

        let broke = Err(ApiError::Refused { status: 503, body: body(ErrorCode::Busy) });
        let halted = Err(ApiError::Refused { status: 503, body: body(ErrorCode::ServiceHalted) });

        assert_eq!(asked(Duration::ZERO, &[unanswered.clone(), in_other_words, broke, Ok(())]).await, (4, Ok(())));
        assert_eq!(asked(Duration::ZERO, std::slice::from_ref(&unanswered)).await, (8, unanswered));
        assert_eq!(asked(Duration::ZERO, std::slice::from_ref(&halted)).await, (1, halted));
        assert_eq!(asked(Duration::ZERO, std::slice::from_ref(&unusable)).await, (1, unusable));
    }

    #[tokio::test(start_paused = true)]
    async fn the_tries_of_one_press_outlast_a_drain_and_a_start_and_nobody_waits_a_minute() {
        // `http.drain` in manager/src/config.rs and a start.
        let away = Duration::from_secs(20 + 10);
        assert!(away < PAUSES.iter().sum::<Duration>(), "a manager that refuses at once");
        let unanswered = Err(ApiError::Unreachable(String::new()));
        for tenths in 0..=150 {
            let (takes, began) = (Duration::from_millis(100 * tenths), Instant::now());
            let (calls, _) = asked(takes, std::slice::from_ref(&unanswered)).await;
            let waited = began.elapsed();
            assert!(away < waited && 2 < calls, "{calls} calls of {takes:?} are over after {waited:?}");
            assert!(waited < Duration::from_secs(58), "calls of {takes:?} are over after {waited:?}");
        }
    }
}
