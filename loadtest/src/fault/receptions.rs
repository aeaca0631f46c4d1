//! Sessions that a real manager makes, as both tools make them: issue, enter, the operator's event, meet, proof, view.
//!
//! The tools' own code meets and carries the session; the customer's and the operator's calls go to the manager's API,
//! and so do the renewals of their tickets. What only a person does is left out: the view is allowed at once.
//! Numbers are issued one after another, because an operator may have three open ones.
//! The first number is entered by two customers at once, of whom one may have it.
//! With [`Tries`] every number is, by tools with connections of their own, and what nobody answered is asked once more,
//! as the tools do it; the operator's events go on with the next connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as Shelf, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, stream::BoxStream};
use link::{
    BoxFuture,
    api::{ApiError, ManagerApi, NumberedEvent},
    meet::{Meeting, meet, renewal},
    race::Dialer,
    sealed::{Renew, Sealed},
};
use proto::{
    api::{
        login::LoginRequest,
        reception::{EnterAnswer, EnterRequest, Event, IssueRequest, Pairing, RelayAddress},
        session::{ConsentAnswer, ConsentRequest, EndRequest},
    },
    close::CloseReason,
    grant::GrantKind,
    id::{ReceptionId, RelayId, SessionId},
    number::{ReceptionNumber, Secret},
    role::Role,
    ticket::ProofKey,
};
use rand_core::OsRng;
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use super::{
    crowd::{Matchmaker, both_or_why},
    tries::{AGAIN, Tries},
};
use crate::tool::Account;

/// The operator hears of an entry within this time.
const EVENT_PATIENCE: Duration = Duration::from_secs(30);

/// Where tools of one side dial a relay, when not where the manager says.
pub type Detour = BTreeMap<RelayId, String>;

/// One operator, logged in, and customers who call.
#[derive(Clone)]
pub struct Receptions {
    desk: Arc<Desk>,
}

struct Desk {
    customer: ManagerApi,
    operator: ManagerApi,
    again: Option<Again>,
    /// Finds the way to relays.
    dialer: Dialer,
    /// Of customers, of operators.
    detours: [Arc<Detour>; 2],
    /// Held while a number is open.
    turn: Mutex<Turn>,
    made: Shelf<Made>,
}

/// How far the operator has listened.
#[derive(Default)]
struct Turn {
    /// The last event that was heard.
    last_event: Option<String>,
    /// The connection that stands, if one is kept.
    events: Option<BoxStream<'static, Result<NumberedEvent, ApiError>>>,
}

/// Tools that ask again, and what each customer's tool begins with.
struct Again {
    tries: Arc<Tries>,
    manager: String,
    ca: Vec<u8>,
}

/// What was made so far.
#[derive(Debug, Default, Clone)]
pub struct Made {
    /// The sessions.
    pub sessions: Vec<SessionId>,
    /// Their numbers.
    pub receptions: Vec<ReceptionId>,
    /// Those of the sessions that somebody else than the operator ends.
    pub revoked: Vec<SessionId>,
    /// Of the sessions, from the first on, whose end is told or left to the relays.
    told: usize,
    /// Numbers that two customers entered at once, and those that both got.
    pub raced: u64,
    /// See `raced`.
    pub claimed_twice: u64,
}

impl Receptions {
    /// Logs the operator in.
    ///
    /// # Errors
    /// When the manager does not take the login.
    pub async fn open(account: &Account, dialer: Dialer, detours: [Detour; 2]) -> Result<Self> {
        Self::open_with(account, dialer, detours, None).await
    }

    /// As [`Self::open`]; with `tries`, tools ask again what nobody answered.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub async fn open_with(
        account: &Account,
        dialer: Dialer,
        detours: [Detour; 2],
        tries: Option<Arc<Tries>>,
    ) -> Result<Self> {
        let ca = tokio::fs::read(&account.ca).await?;
        let customer = ManagerApi::new(&account.manager, Some(&ca))?;
        let request = LoginRequest {
            company: account.company.clone(),
            user: account.user.clone(),
            password: tokio::fs::read_to_string(&account.password_file).await?,
            code: None,
        };
        let login = customer.login(&request).await.context("the operator does not get in")?;
        let operator = customer.with_token(&login.token);
        let again = tries.map(|tries| Again { tries, manager: account.manager.clone(), ca });
        let (detours, turn) = (detours.map(Arc::new), Mutex::default());
        let desk = Desk { customer, operator, again, dialer, detours, turn, made: Shelf::default() };
        Ok(Self { desk: Arc::new(desk) })
    }

    /// The manager, as the operator's tool calls it.
    pub fn operator(&self) -> &ManagerApi {
        &self.desk.operator
    }

    /// All sessions so far end because somebody else ends them, and not by their operator.
    pub fn expect_revoked(&self) {
        let made = &mut *self.desk.made();
        made.revoked.clone_from(&made.sessions);
        made.told = made.sessions.len();
    }

    /// What an earlier login of the same operator made, whose ends are told or somebody else's, is of this one, too.
    pub fn take_over(&self, earlier: Made) {
        let made = &mut *self.desk.made();
        *made = earlier.with(std::mem::take(made));
    }

    /// What was made so far.
    pub fn made(&self) -> Made {
        self.desk.made().clone()
    }

    /// Leaves the ends of all sessions so far to the relays: the tools were closed before they could tell.
    pub fn leave_ends(&self) {
        let mut made = self.desk.made();
        made.told = made.sessions.len();
    }

    /// Tells the manager that the operator ended the sessions, as its tool does; those whose end is told already, or
    /// left to the relays, are left out.
    ///
    /// # Errors
    /// When the manager does not take it.
    pub async fn tell_ends(&self) -> Result<()> {
        let made = self.made();
        for session in made.sessions.iter().skip(made.told) {
            let request = EndRequest { reason: CloseReason::OperatorEnded };
            let told = self.desk.ask("end", || self.desk.operator.end(*session, &request)).await;
            told.context("the end was not told")?;
        }
        self.leave_ends();
        Ok(())
    }
}

impl Made {
    /// Both together.
    pub fn with(mut self, other: Self) -> Self {
        self.sessions.extend(other.sessions);
        self.receptions.extend(other.receptions);
        self.revoked.extend(other.revoked);
        self.raced = self.raced.saturating_add(other.raced);
        self.claimed_twice = self.claimed_twice.saturating_add(other.claimed_twice);
        self
    }
}

impl Matchmaker for Receptions {
    fn make(&self, index: usize) -> BoxFuture<Result<[Sealed; 2]>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move { desk.receive(index).await })
    }
}

impl Desk {
    /// No await while the guard lives.
    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a manager, and once more when nobody answers and this desk's tools do that.
    async fn ask<T, Asking>(&self, what: &'static str, call: impl Fn() -> Asking) -> Result<T, ApiError>
    where
        Asking: Future<Output = Result<T, ApiError>>,
    {
        match &self.again {
            Some(again) => again.tries.ask(what, call).await,
            None => call().await,
        }
    }

    /// A customer's tool that has just been started, when tools have connections of their own here.
    fn customer(&self) -> Result<ManagerApi> {
        let Some(again) = &self.again else { return Ok(self.customer.clone()) };
        Ok(ManagerApi::new(&again.manager, Some(&again.ca))?)
    }

    /// One session, from the number to the view.
    async fn receive(&self, index: usize) -> Result<[Sealed; 2]> {
        let mut turn = self.turn.lock().await;
        let keys = [0; 2].map(|_| Arc::new(ProofKey::random(&mut OsRng)));
        let request = IssueRequest {
            proof_key: keys[1].public_hex(),
            reason: format!("session {index}"),
            life_secs: None,
            locator: None,
        };
        let once = format!("{:032x}", rand::random::<u128>());
        let issued = self.ask("issue", || self.operator.issue(&request, &once)).await;
        let reception = issued.context("no number was issued")?;
        let number = ReceptionNumber::new(reception.locator, Secret::random(&mut OsRng));
        let request = EnterRequest::new(number.locator(), &keys[0]);
        let (customer, entered, customer_key) = self.enter(request, Arc::clone(&keys[0])).await?;
        let told = self.hear_of(reception.reception_id, &mut turn);
        let told = timeout(EVENT_PATIENCE, told).await.context("the operator does not hear of the entry")??;
        let session_id = told.session_id;

        let customer = customer.with_token(&entered.token);
        let [_, operator_key] = keys;
        let (customer_met, operator_met) = tokio::join!(
            meet(self.meeting(Role::Customer, entered.pairing, customer_key, &number, customer.clone())),
            meet(self.meeting(Role::Operator, told, operator_key, &number, self.operator.clone()))
        );
        let met = both_or_why(customer_met, operator_met)?;
        self.ask("proved", || self.operator.proved(session_id)).await.context("the proof was not told")?;
        drop(turn);
        let view = ConsentRequest { kind: GrantKind::View, answer: ConsentAnswer::Granted };
        self.ask("consent", || customer.consent(session_id, &view)).await.context("the view was not told")?;
        let mut made = self.made();
        made.sessions.push(session_id);
        made.receptions.push(reception.reception_id);
        drop(made);
        Ok(met)
    }

    /// Enters a number; the first one by two customers at once, or every one when tools ask again. The tool that has it,
    /// and the key that it gave.
    async fn enter(
        &self,
        request: EnterRequest,
        key: Arc<ProofKey>,
    ) -> Result<(ManagerApi, EnterAnswer, Arc<ProofKey>)> {
        let customer = self.customer()?;
        if self.again.is_none() && 0 < self.made().raced {
            let entered = customer.enter(&request).await.context("the number was not entered")?;
            return Ok((customer, entered, key));
        }
        let (other_customer, other_key) = (self.customer()?, Arc::new(ProofKey::random(&mut OsRng)));
        let other = EnterRequest::new(request.locator, &other_key);
        let (first, second) = tokio::join!(
            self.ask("enter", || customer.enter(&request)),
            self.ask("enter", || other_customer.enter(&other))
        );
        let mut made = self.made();
        made.raced += 1;
        made.claimed_twice += u64::from(first.is_ok() && second.is_ok());
        drop(made);
        match (first, second) {
            (Ok(entered), _) => Ok((customer, entered, key)),
            (Err(_), Ok(entered)) => Ok((other_customer, entered, other_key)),
            (Err(error), Err(other)) => {
                if let Some(again) = &self.again {
                    again.tries.note_failed(format!("enter, by two customers: {error}; {other}"));
                }
                Err(error).context("the number was entered by neither of two")
            }
        }
    }

    fn meeting(
        &self,
        role: Role,
        mut pairing: Pairing,
        proof_key: Arc<ProofKey>,
        number: &ReceptionNumber,
        api: ManagerApi,
    ) -> Meeting {
        let detour = match role {
            Role::Customer => &self.detours[0],
            Role::Operator => &self.detours[1],
        };
        divert(&mut pairing.relays, detour);
        Meeting {
            role,
            renew: Some(renewal_by(api, pairing.session_id, Arc::clone(detour))),
            pairing,
            proof_key,
            secret: Zeroizing::new(number.secret().as_bytes().to_vec()),
            dialer: self.dialer.clone(),
        }
    }

    /// Reads the operator's events, from where they stopped, until somebody enters the number. A connection that breaks
    /// is followed by another one when tools ask again; one that brings nothing before it breaks, too, is a failure.
    async fn hear_of(&self, reception: ReceptionId, turn: &mut Turn) -> Result<Pairing> {
        let mut breaks_in_vain = 0;
        loop {
            let last_event = turn.last_event.clone();
            let mut events = turn.events.take().unwrap_or_else(|| self.operator.events(last_event).boxed());
            let cause = loop {
                match events.next().await {
                    Some(Ok(heard)) => {
                        breaks_in_vain = 0;
                        turn.last_event = Some(heard.id);
                        if let Event::Entered { reception_id, pairing } = heard.event
                            && reception_id == reception
                        {
                            turn.events = self.again.is_some().then_some(events);
                            return Ok(pairing);
                        }
                    }
                    Some(Err(error)) => break error.to_string(),
                    None => break "the manager's events ended".to_owned(),
                }
            };
            let Some(Again { tries, .. }) = &self.again else { anyhow::bail!(cause) };
            breaks_in_vain += 1;
            if 1 < breaks_in_vain {
                tries.note_failed(format!("events: {cause}"));
                anyhow::bail!(cause);
            }
            tries.note_again("events");
            sleep(AGAIN).await;
        }
    }
}

/// Sends a tool the way that its side goes.
fn divert(relays: &mut [RelayAddress], detour: &Detour) {
    for relay in relays {
        if let Some(address) = detour.get(&relay.relay_id) {
            relay.address.clone_from(address);
        }
    }
}

/// Renews a ticket; the relays that come with it are reached by the same way as those before.
fn renewal_by(api: ManagerApi, session_id: SessionId, detour: Arc<Detour>) -> Renew {
    let renew = renewal(api, session_id);
    Arc::new(move || {
        let (renewing, detour) = (renew(), Arc::clone(&detour));
        Box::pin(async move {
            let mut renewed = renewing.await?;
            divert(&mut renewed.relays, &detour);
            Ok(renewed)
        })
    })
}
