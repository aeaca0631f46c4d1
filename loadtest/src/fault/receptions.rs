//! Sessions that a real manager makes, as both tools make them: issue, enter, the operator's event, meet, proof, view.
//!
//! The tools' own code meets and carries the session; the customer's and the operator's calls go to the manager's API,
//! and so do the renewals of their tickets. What only a person does is left out: the view is allowed at once.
//! Numbers are issued one after another, because an operator may have three open ones.

use std::{
    sync::{Arc, Mutex as Shelf, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use link::{
    BoxFuture,
    api::ManagerApi,
    meet::{Meeting, meet, renewal},
    race::Dialer,
    sealed::Sealed,
    transport::{Choice, Transport},
};
use proto::{
    api::{
        login::LoginRequest,
        reception::{EnterRequest, Event, IssueRequest, Pairing, RelayAddress},
        session::{ConsentAnswer, ConsentRequest},
    },
    grant::GrantKind,
    id::{ReceptionId, SessionId},
    number::{ReceptionNumber, Secret},
    role::Role,
    ticket::ProofKey,
};
use rand_core::OsRng;
use tokio::{sync::Mutex, time::timeout};
use zeroize::Zeroizing;

use super::crowd::Matchmaker;
use crate::tool::Account;

/// The operator hears of an entry within this time.
const EVENT_PATIENCE: Duration = Duration::from_secs(30);

/// One operator, logged in, and customers who call.
#[derive(Clone)]
pub struct Receptions {
    desk: Arc<Desk>,
}

struct Desk {
    customer: ManagerApi,
    operator: ManagerApi,
    /// Held while a number is open: the last event that the operator has heard.
    turn: Mutex<Option<String>>,
    made: Shelf<Made>,
}

/// What was made so far.
#[derive(Debug, Default, Clone)]
pub struct Made {
    /// The sessions.
    pub sessions: Vec<SessionId>,
    /// The relays of the newest.
    pub relays: Vec<RelayAddress>,
}

impl Receptions {
    /// Logs the operator in.
    ///
    /// # Errors
    /// When the manager does not take the login.
    pub async fn open(account: &Account) -> Result<Self> {
        let ca = tokio::fs::read(&account.ca).await?;
        let customer = ManagerApi::new(&account.manager, Some(&ca))?;
        let request = LoginRequest {
            company: account.company.clone(),
            user: account.user.clone(),
            password: tokio::fs::read_to_string(&account.password_file).await?,
        };
        let login = customer.login(&request).await.context("the operator does not get in")?;
        let operator = customer.with_token(&login.token);
        let desk = Desk { customer, operator, turn: Mutex::new(None), made: Shelf::default() };
        Ok(Self { desk: Arc::new(desk) })
    }

    /// What was made so far.
    pub fn made(&self) -> Made {
        self.desk.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Matchmaker for Receptions {
    fn make(&self, index: usize) -> BoxFuture<Result<[Sealed; 2]>> {
        let desk = Arc::clone(&self.desk);
        Box::pin(async move { desk.receive(index).await })
    }
}

impl Desk {
    /// One session, from the number to the view.
    async fn receive(&self, index: usize) -> Result<[Sealed; 2]> {
        let mut last_event = self.turn.lock().await;
        let keys = [0; 2].map(|_| Arc::new(ProofKey::random(&mut OsRng)));
        let request =
            IssueRequest { proof_key: keys[1].public_hex(), reason: format!("session {index}"), life_secs: None };
        let once = format!("{:032x}", rand::random::<u128>());
        let reception = self.operator.issue(&request, &once).await.context("no number was issued")?;
        let number = ReceptionNumber::new(reception.locator, Secret::random(&mut OsRng));
        let request = EnterRequest { locator: number.locator(), proof_key: keys[0].public_hex() };
        let entered = self.customer.enter(&request).await.context("the number was not entered")?;
        let told = self.hear_of(reception.reception_id, &mut last_event);
        let told = timeout(EVENT_PATIENCE, told).await.context("the operator does not hear of the entry")??;
        let (session_id, relays) = (told.session_id, told.relays.clone());

        let customer = self.customer.with_token(&entered.token);
        let [customer_key, operator_key] = keys;
        let (customer_met, operator_met) = tokio::join!(
            meet(meeting(Role::Customer, entered.pairing, customer_key, &number, customer.clone())),
            meet(meeting(Role::Operator, told, operator_key, &number, self.operator.clone()))
        );
        let met = [customer_met.context("the customer")?, operator_met.context("the operator")?];
        self.operator.proved(session_id).await.context("the proof was not told")?;
        drop(last_event);
        let view = ConsentRequest { kind: GrantKind::View, answer: ConsentAnswer::Granted };
        customer.consent(session_id, &view).await.context("the view was not told")?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.sessions.push(session_id);
        made.relays = relays;
        drop(made);
        Ok(met)
    }

    /// Reads the operator's events, from where they stopped, until somebody enters the number.
    async fn hear_of(&self, reception: ReceptionId, last_event: &mut Option<String>) -> Result<Pairing> {
        let mut events = self.operator.events(last_event.clone());
        while let Some(heard) = events.next().await {
            let heard = heard?;
            *last_event = Some(heard.id);
            if let Event::Entered { reception_id, pairing } = heard.event
                && reception_id == reception
            {
                return Ok(pairing);
            }
        }
        anyhow::bail!("the manager's events ended")
    }
}

fn meeting(
    role: Role,
    pairing: Pairing,
    proof_key: Arc<ProofKey>,
    number: &ReceptionNumber,
    api: ManagerApi,
) -> Meeting {
    Meeting {
        role,
        renew: Some(renewal(api, pairing.session_id)),
        pairing,
        proof_key,
        secret: Zeroizing::new(number.secret().as_bytes().to_vec()),
        dialer: Dialer::new(Choice::Only(Transport::Tcp)),
    }
}
