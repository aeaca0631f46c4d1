//! One visit, from a number to the end: enter, meet, session. The window and the headless mode both run this.

use std::time::Duration;

use link::{api::ManagerApi, race::Dialer, transport::Transport};
use proto::{
    api::session::EndRequest, close::CloseReason, id::SessionId, introduction::Introduction, number::ReceptionNumber,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::{
    consent::Permit,
    desktop::Desktop,
    enter::{self, EnterError, Met},
    record::{self, Record},
    session::{self, Command, News},
};

/// News that wait for the window at most.
const NEWS_MAX: usize = 64;
/// How long the customer waits for the manager to hear of the end; what takes longer is told afterwards.
const RECORD_PATIENCE: Duration = Duration::from_secs(2);

/// What a visit needs.
pub struct Plan {
    /// The manager.
    pub api: ManagerApi,
    /// What the customer typed.
    pub number: ReceptionNumber,
    /// What would be shared.
    pub desktop: Desktop,
    /// What is allowed; shared with the window.
    pub permit: Permit,
    /// Language of the customer.
    pub language: &'static str,
    /// Finds relays.
    pub dialer: Dialer,
}

/// What happens on a visit, in order. The last one is [`Step::Failed`] or [`Step::Ended`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The manager knows the number: who the operator is.
    Introduced(Introduction),
    /// Both tools have proved the number to each other.
    Proved {
        /// The session.
        session_id: SessionId,
        /// For those who want to compare: `123 456`.
        safety_code: String,
        /// What carries the session.
        transport: Transport,
    },
    /// Something in the session.
    Session(News),
    /// Nobody was met.
    Failed(EnterError),
    /// The visit is over.
    Ended(CloseReason),
}

/// Runs a visit. Steps are told until the receiver is gone; the channel closes when the manager knows everything, too.
pub async fn visit(plan: Plan, mut commands: mpsc::Receiver<Command>, steps: mpsc::Sender<Step>) {
    let mut keeping = JoinSet::new();
    let last = match run(plan, &mut commands, &steps, &mut keeping).await {
        Ok(reason) => Step::Ended(reason),
        Err(error) => Step::Failed(error),
    };
    // A window that is gone needs no news.
    drop(steps.send(last).await);
    while let Some(kept) = keeping.join_next().await {
        if let Err(error) = kept {
            tracing::error!(event = "record.broken", reason = %error, "The manager may not know everything");
        }
    }
}

async fn run(
    plan: Plan,
    commands: &mut mpsc::Receiver<Command>,
    steps: &mpsc::Sender<Step>,
    keeping: &mut JoinSet<()>,
) -> Result<CloseReason, EnterError> {
    let Plan { api, number, desktop, permit, language, dialer } = plan;
    let entered = tokio::select! {
        biased;
        () = cancelled(commands) => return Ok(CloseReason::CustomerEnded),
        entered = enter::enter(&api, &number, dialer) => entered?,
    };
    drop(number);
    drop(steps.send(Step::Introduced(entered.introduction.clone())).await);
    let (session_id, session_api) = (entered.session_id, entered.api.clone());
    let met = tokio::select! {
        biased;
        () = cancelled(commands) => {
            let request = EndRequest { reason: CloseReason::CustomerEnded };
            if let Err(error) = session_api.end(session_id, &request).await {
                tracing::info!(session.id = %session_id, event = "record.lost", reason = %error, "The end was not told");
            }
            return Ok(CloseReason::CustomerEnded);
        }
        met = entered.meet() => met?,
    };
    let (safety_code, transport) = (met.sealed.safety_code.clone(), met.sealed.sender.transport());
    drop(steps.send(Step::Proved { session_id, safety_code, transport }).await);
    tracing::info!(session.id = %session_id, event = "session.proved", "Session {session_id} is proved");
    let (reason, records) = share(met, desktop, permit, language, commands, steps).await;
    *keeping = records;
    Ok(reason)
}

/// The session, its news and the manager's record side by side. Answers with what the manager is still being told.
async fn share(
    met: Met,
    desktop: Desktop,
    permit: Permit,
    language: &'static str,
    commands: &mut mpsc::Receiver<Command>,
    steps: &mpsc::Sender<Step>,
) -> (CloseReason, JoinSet<()>) {
    let Met { sealed, introduction, session_id, api } = met;
    let (records, to_keep) = mpsc::channel(record::RECORDS_MAX);
    drop(records.try_send(Record::Proved));
    let (news, mut told) = mpsc::channel(NEWS_MAX);
    let parts = session::Parts {
        sealed,
        ceiling: introduction.ceiling.into_iter().collect(),
        permit,
        make_capture: desktop.capture(),
        make_hands: desktop.hands(),
        language,
        records,
    };
    let forward = async {
        while let Some(news) = told.recv().await {
            drop(steps.send(Step::Session(news)).await);
        }
    };
    let mut keeping = JoinSet::new();
    keeping.spawn(record::keep(api, session_id, to_keep));
    let (reason, ()) = tokio::join!(session::run(parts, commands, news), forward);
    tracing::info!(
        session.id = %session_id, event = "session.ended", reason = reason.as_str(), "Session {session_id} ended"
    );
    // A manager that does not answer must not keep the window from saying that it is over.
    if timeout(RECORD_PATIENCE, keeping.join_next()).await.is_err() {
        tracing::info!(session.id = %session_id, event = "record.late", "The manager is told of the end later");
    }
    (reason, keeping)
}

/// Waits for the customer's end; other commands mean nothing before the session.
async fn cancelled(commands: &mut mpsc::Receiver<Command>) {
    while !matches!(commands.recv().await, None | Some(Command::End)) {}
}
