//! Operators and customers who ask every manager all the time whether they are let in: a login, a number, its entry.
//!
//! At each manager, past the balancer, one operator logs in and out, and another one issues a number that a customer
//! enters, ends that session and cancels the number; nobody dials a relay. What came of each question is written down
//! ([`Answers`]).
//! Guarantees: one open number at a manager; everything ends when the doors are dropped.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use link::api::{ApiError, ManagerApi};
use proto::{
    api::{
        error::ErrorCode,
        login::LoginRequest,
        reception::{EnterRequest, IssueRequest},
        session::EndRequest,
    },
    close::CloseReason,
    ticket::ProofKey,
};
use rand_core::OsRng;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::trial::LOOK;
use crate::{desktop::pause, tool::Account, world::World};

/// Managers that are asked.
pub const MANAGERS: usize = 2;
/// The company of those who ask.
const COMPANY: &str = "doors";
/// Pause between two questions: a login costs the manager a password.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Doors at which somebody asks.
pub struct Doors {
    all: Vec<(String, Shared)>,
    closing: CancellationToken,
    tasks: JoinSet<()>,
}

/// What came of asking one manager the same again and again.
#[derive(Debug, Default, Clone)]
pub struct Answers {
    /// Questions that were answered with what was asked for.
    pub taken: u64,
    /// Those of them that were asked after somebody had been told that the service is halted.
    pub taken_late: u64,
    /// When somebody was first told so.
    pub halted_at: Option<Instant>,
    /// How often somebody was told so.
    pub halted: u64,
    /// Questions that were answered in another way, or not at all.
    pub odd: u64,
    /// The first of them.
    pub first_odd: Option<String>,
}

type Shared = Arc<Mutex<Answers>>;

impl Doors {
    /// Makes the company and its accounts, once.
    ///
    /// # Errors
    /// When the managers do not take them.
    pub async fn prepare(world: &World) -> Result<()> {
        world.add_company(COMPANY).await?;
        for place in 0..MANAGERS {
            for user in [knocker(place), desk(place)] {
                world.add_account(COMPANY, &user, "operator").await?;
            }
        }
        Ok(())
    }

    /// Begins to ask.
    ///
    /// # Errors
    /// When a manager does not take the login of an operator who issues numbers.
    pub async fn open(world: &World) -> Result<Self> {
        let mut own = Self { all: Vec::new(), closing: CancellationToken::new(), tasks: JoinSet::new() };
        for place in 0..MANAGERS {
            let of = |user: String| -> Result<Account> {
                Ok(Account { company: COMPANY.to_owned(), user, ..world.account_at(place)? })
            };
            let (api, request) = typed(&of(knocker(place))?).await?;
            let logins = own.door("a login", place);
            own.tasks.spawn(knock(api, request, logins, own.closing.clone()));
            let (customer, request) = typed(&of(desk(place))?).await?;
            let operator = customer.login(&request).await.context("an operator does not get in")?;
            let desk = Desk {
                operator: customer.with_token(&operator.token),
                customer,
                issued: own.door("a number", place),
                entered: own.door("an entry", place),
            };
            own.tasks.spawn(desk.serve(own.closing.clone()));
        }
        Ok(own)
    }

    fn door(&mut self, what: &str, place: usize) -> Shared {
        let answers = Shared::default();
        self.all.push((format!("{what} at manager {place}"), Arc::clone(&answers)));
        answers
    }

    /// What came of each question so far.
    pub fn answers(&self) -> Vec<(String, Answers)> {
        self.all.iter().map(|(what, answers)| (what.clone(), lock(answers).clone())).collect()
    }

    /// Waits for a condition on all answers; whether it came about in time.
    pub async fn wait(&self, patience: Duration, condition: impl Fn(&Answers) -> bool) -> bool {
        let until = Instant::now() + patience;
        while !self.all.iter().all(|(_what, answers)| condition(&lock(answers))) {
            if until <= Instant::now() {
                return false;
            }
            pause(LOOK).await;
        }
        true
    }

    /// Asks nothing more; what came of each question.
    ///
    /// # Errors
    /// When somebody who asked panicked.
    pub async fn close(mut self) -> Result<Vec<(String, Answers)>> {
        self.closing.cancel();
        while let Some(closed) = self.tasks.join_next().await {
            closed?;
        }
        Ok(self.answers())
    }
}

impl Answers {
    /// Writes down what came of a question at `now`.
    fn note<T>(&mut self, answer: &Result<T, ApiError>, now: Instant) {
        match answer {
            Ok(_) => {
                self.taken = self.taken.saturating_add(1);
                self.taken_late = self.taken_late.saturating_add(u64::from(self.halted_at.is_some()));
            }
            Err(ApiError::Refused { status: 503, body }) if body.code == ErrorCode::ServiceHalted => {
                self.halted = self.halted.saturating_add(1);
                self.halted_at = self.halted_at.or(Some(now));
            }
            Err(error) => {
                self.odd = self.odd.saturating_add(1);
                self.first_odd.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Logs an operator in.
///
/// # Errors
/// When the manager does not take the login.
pub async fn log_in(account: &Account) -> Result<ManagerApi> {
    let (api, request) = typed(account).await?;
    let login = api.login(&request).await.context("an operator does not get in")?;
    Ok(api.with_token(&login.token))
}

/// A connection to the manager, and what is typed there.
async fn typed(account: &Account) -> Result<(ManagerApi, LoginRequest)> {
    let api = ManagerApi::new(&account.manager, Some(&tokio::fs::read(&account.ca).await?))?;
    let password = tokio::fs::read_to_string(&account.password_file).await?;
    let (company, user) = (account.company.clone(), account.user.clone());
    Ok((api, LoginRequest { company, user, password, code: None }))
}

fn knocker(place: usize) -> String {
    format!("knocker-{place}")
}

fn desk(place: usize) -> String {
    format!("desk-{place}")
}

/// No await while the guard lives.
fn lock(answers: &Shared) -> MutexGuard<'_, Answers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs in and out until the doors are closed.
async fn knock(api: ManagerApi, request: LoginRequest, logins: Shared, closing: CancellationToken) {
    while !closing.is_cancelled() {
        let login = api.login(&request).await;
        lock(&logins).note(&login, Instant::now());
        if let Ok(login) = login {
            // A login that cannot be ended any more ends with the halt.
            let _ended = api.with_token(&login.token).logout().await;
        }
        pause(ASK_EVERY).await;
    }
}

/// An operator and customers.
struct Desk {
    customer: ManagerApi,
    operator: ManagerApi,
    issued: Shared,
    entered: Shared,
}

impl Desk {
    /// One number after another until the doors are closed. When none is issued any more, customers enter the last one
    /// again.
    async fn serve(self, closing: CancellationToken) {
        let mut locator = None;
        while !closing.is_cancelled() {
            let request = IssueRequest {
                proof_key: ProofKey::random(&mut OsRng).public_hex(),
                reason: "a door".to_owned(),
                life_secs: None,
                locator: None,
            };
            let once = format!("{:032x}", rand::random::<u128>());
            let issued = self.operator.issue(&request, &once).await;
            lock(&self.issued).note(&issued, Instant::now());
            let reception = issued.ok();
            locator = reception.as_ref().map(|reception| reception.locator).or(locator);
            if let Some(locator) = locator {
                let request = EnterRequest::new(locator, &ProofKey::random(&mut OsRng));
                let entered = self.customer.enter(&request).await;
                lock(&self.entered).note(&entered, Instant::now());
                if let Ok(entered) = entered {
                    let request = EndRequest { reason: CloseReason::OperatorEnded };
                    // What cannot be ended or cancelled any more is ended and cancelled by the halt.
                    let _ended = self.operator.end(entered.pairing.session_id, &request).await;
                }
            }
            if let Some(reception) = reception {
                let _cancelled = self.operator.cancel(reception.reception_id).await;
            }
            pause(ASK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::api::error::ErrorBody;

    use super::*;

    fn refused(status: u16, code: ErrorCode) -> Result<(), ApiError> {
        Err(ApiError::Refused { status, body: ErrorBody { code, message: "no".to_owned(), retry_after_secs: None } })
    }

    fn noted(answers: &[Result<(), ApiError>]) -> (Answers, Instant) {
        let (mut own, begun) = (Answers::default(), Instant::now());
        for (answer, second) in answers.iter().zip(0..) {
            own.note(answer, begun + Duration::from_secs(second));
        }
        (own, begun)
    }

    #[test]
    fn a_door_is_shut_from_the_first_word_of_the_halt_on() {
        let halted = refused(503, ErrorCode::ServiceHalted);

        let (answers, begun) = noted(&[Ok(()), Ok(()), halted.clone(), halted]);

        assert_eq!((answers.taken, answers.halted, answers.taken_late, answers.odd), (2, 2, 0, 0));
        assert_eq!(answers.halted_at, Some(begun + Duration::from_secs(2)));
    }

    #[test]
    fn who_is_let_in_after_somebody_was_told_of_the_halt_is_counted_as_late() {
        let (answers, _begun) = noted(&[Ok(()), refused(503, ErrorCode::ServiceHalted), Ok(())]);

        assert_eq!((answers.taken, answers.taken_late), (2, 1));
    }

    #[test]
    fn only_the_word_of_the_halt_with_its_status_is_one() {
        let nobody = Err(ApiError::Unreachable("nobody is there".to_owned()));

        for answer in [refused(503, ErrorCode::Busy), refused(401, ErrorCode::ServiceHalted), nobody] {
            let (answers, _begun) = noted(&[answer.clone(), refused(401, ErrorCode::NotLoggedIn)]);

            assert_eq!((answers.odd, answers.halted, answers.halted_at), (2, 0, None));
            assert_eq!(answers.first_odd, answer.err().map(|error| error.to_string()));
        }
    }
}
