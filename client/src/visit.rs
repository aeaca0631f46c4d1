//! One visit, from a number or a bookmark to the end: enter, meet, session. The window and the headless mode both run this.

use std::time::Duration;

use desk::{
    bookmark::{Hold, Kept, Shelf},
    clock,
};
use link::{api::ManagerApi, race::Dialer, sealed::Renewed, transport::Transport};
use proto::{
    api::session::EndRequest, close::CloseReason, grant::GrantKind, id::SessionId, introduction::Introduction,
    number::ReceptionNumber, role::Role,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::{
    consent::Permit,
    desktop::Desktop,
    enter::{self, EnterError, Met},
    entry_key::EntryKey,
    record::{self, Record},
    session::{self, Command, News},
};

/// News that wait for the window at most.
const NEWS_MAX: usize = 64;
/// How long the customer waits for the manager to hear of the end; what takes longer is told afterwards.
const RECORD_PATIENCE: Duration = Duration::from_secs(2);
/// How long the operator is looked for who shall only be told that a session does not go on.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(5);

/// What a visit needs.
pub struct Plan {
    /// The manager.
    pub api: ManagerApi,
    /// How the session is found.
    pub begin: Begin,
    /// The key of the number that was entered last, for all visits of this program.
    pub entry_key: EntryKey,
    /// Finds relays.
    pub dialer: Dialer,
    /// What the session shows.
    pub stage: Stage,
}

/// How a session is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// By what the customer typed.
    Number(ReceptionNumber),
    /// By what an earlier process of this tool has kept.
    Bookmark {
        /// The session.
        session_id: SessionId,
        /// The customer's word that what was shown before is shown again; without it the operator must ask.
        shows_again: bool,
    },
}

/// What a session shows, and where it is kept.
pub struct Stage {
    /// What would be shared.
    pub desktop: Desktop,
    /// What is allowed; shared with the window.
    pub permit: Permit,
    /// Language of the customer.
    pub language: &'static str,
    /// Where this tool keeps how it comes back; nowhere, when absent.
    pub shelf: Option<Shelf>,
}

/// What happens on a visit, in order. The last one is [`Step::Failed`] or [`Step::Ended`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nobody answered the number, and it is entered again after a pause.
    EnteringAgain,
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
    /// The operator was found again after a restart of this tool.
    Rejoined {
        /// The session.
        session_id: SessionId,
        /// As it was before.
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
    let Plan { api, begin, entry_key, dialer, stage } = plan;
    let found = match begin {
        Begin::Number(number) => by_number(&api, number, &entry_key, dialer, (commands, steps)).await?.map(|met| {
            let hold = stage.shelf.as_ref().and_then(|shelf| held(shelf, met.session_id));
            (met, hold)
        }),
        Begin::Bookmark { session_id, shows_again } => {
            by_bookmark(&api, session_id, dialer, &stage, (commands, steps)).await?.map(|(mut met, hold)| {
                met.bookmark.viewed_at_ms = met.bookmark.viewed_at_ms.filter(|_| shows_again);
                (met, Some(hold))
            })
        }
    };
    let (met, hold) = match found {
        Ok(found) => found,
        Err(reason) => return Ok(reason),
    };
    let kept = hold.map(|hold| Kept::start(hold, met.bookmark.clone()));
    let (reason, records) = share(met, stage, kept, commands, steps).await;
    *keeping = records;
    Ok(reason)
}

/// Enters a number and meets its operator; or why nothing comes of it.
async fn by_number(
    api: &ManagerApi,
    number: ReceptionNumber,
    entry_key: &EntryKey,
    dialer: Dialer,
    (commands, steps): (&mut mpsc::Receiver<Command>, &mpsc::Sender<Step>),
) -> Result<Result<Met, CloseReason>, EnterError> {
    // A window that has so much to read needs no more of the same.
    let tell_again = || drop(steps.try_send(Step::EnteringAgain));
    let entered = tokio::select! {
        biased;
        () = cancelled(commands) => return Ok(Err(CloseReason::CustomerEnded)),
        entered = enter::enter(api, &number, entry_key, dialer, tell_again) => entered?,
    };
    drop(number);
    drop(steps.send(Step::Introduced(entered.introduction.clone())).await);
    let (session_id, session_api) = (entered.session_id, entered.api.clone());
    let met = tokio::select! {
        biased;
        () = cancelled(commands) => {
            tell_end(&session_api, session_id, CloseReason::CustomerEnded).await;
            return Ok(Err(CloseReason::CustomerEnded));
        }
        met = entered.meet() => met?,
    };
    let (safety_code, transport) = (met.sealed.safety_code.clone(), met.sealed.sender.transport());
    drop(steps.send(Step::Proved { session_id, safety_code, transport }).await);
    tracing::info!(session.id = %session_id, event = "session.proved", "Session {session_id} is proved");
    Ok(Ok(met))
}

/// Takes up a bookmark and finds its operator again; or why the session is over. A session that is not this process's to
/// go on with is an error, and nobody is told anything about it.
async fn by_bookmark(
    api: &ManagerApi,
    session_id: SessionId,
    dialer: Dialer,
    stage: &Stage,
    (commands, steps): (&mut mpsc::Receiver<Command>, &mpsc::Sender<Step>),
) -> Result<Result<(Met, Hold), CloseReason>, EnterError> {
    let taken = stage.shelf.as_ref().map(|shelf| shelf.take_up(Role::Customer, session_id, clock::now()));
    let Some(Ok((hold, bookmark))) = taken else {
        tracing::warn!(session.id = %session_id, event = "bookmark.gone", "Another process was faster, or it is too late");
        return Err(EnterError::NoBookmark);
    };
    if let Ok(introduction) = bookmark.introduction() {
        drop(steps.send(Step::Introduced(introduction)).await);
    }
    let session_api = api.with_token(&bookmark.manager.1);
    let met = tokio::select! {
        biased;
        () = cancelled(commands) => Err(CloseReason::CustomerEnded),
        met = enter::rejoin(api, bookmark, dialer) => met,
    };
    match met {
        Ok(met) => {
            let (safety_code, transport) = (met.sealed.safety_code.clone(), met.sealed.sender.transport());
            drop(steps.send(Step::Rejoined { session_id, safety_code, transport }).await);
            tracing::info!(session.id = %session_id, event = "session.rejoined", "Session {session_id} goes on");
            Ok(Ok((met, hold)))
        }
        Err(reason) => {
            hold.remove();
            tell_end(&session_api, session_id, reason).await;
            Ok(Err(reason))
        }
    }
}

/// Ends the session of a bookmark that the customer does not want to go on with: the operator and the manager are told
/// as far as they can be reached, and nothing is left of it.
pub async fn end(api: ManagerApi, session_id: SessionId, dialer: Dialer, shelf: Shelf) {
    let Ok((hold, bookmark)) = shelf.take_up(Role::Customer, session_id, clock::now()) else { return };
    hold.remove();
    let reason = CloseReason::CustomerEnded;
    let session_api = api.with_token(&bookmark.manager.1);
    let say = async {
        if let Ok(Ok(met)) = timeout(GOODBYE_PATIENCE, enter::rejoin(&api, bookmark, dialer)).await {
            met.sealed.sender.end(reason).await;
        }
    };
    tokio::join!(tell_end(&session_api, session_id, reason), say);
}

async fn tell_end(api: &ManagerApi, session_id: SessionId, reason: CloseReason) {
    if let Err(error) = api.end(session_id, &EndRequest { reason }).await {
        tracing::info!(session.id = %session_id, event = "record.lost", reason = %error, "The end was not told");
    }
}

fn held(shelf: &Shelf, session_id: SessionId) -> Option<Hold> {
    let hold = shelf.hold(Role::Customer, session_id);
    hold.inspect_err(|error| tracing::warn!(event = "bookmark.unwritten", reason = %error, "No way back is kept")).ok()
}

/// The session, its news and the manager's record side by side. Answers with what the manager is still being told.
async fn share(
    met: Met,
    stage: Stage,
    kept: Option<Kept>,
    commands: &mut mpsc::Receiver<Command>,
    steps: &mpsc::Sender<Step>,
) -> (CloseReason, JoinSet<()>) {
    let Met { sealed, introduction, session_id, api, bookmark } = met;
    let Stage { desktop, permit, language, shelf: _ } = stage;
    let (records, to_keep) = mpsc::channel(record::RECORDS_MAX);
    // After a restart, too: the manager may not have heard of it before the death.
    drop(records.try_send(Record::Proved));
    let (news, mut told) = mpsc::channel(NEWS_MAX);
    let mut renewals = sealed.sender.renewals();
    let parts = session::Parts {
        sealed,
        ceiling: introduction.ceiling.into_iter().collect(),
        going_on: bookmark.viewed_at_ms.map(|_| bookmark.is_paused),
        permit,
        make_capture: desktop.capture(),
        make_hands: desktop.hands(),
        language,
        records,
    };
    let forward = async move {
        loop {
            tokio::select! {
                news = told.recv() => {
                    let Some(news) = news else { break };
                    if let Some(kept) = &kept {
                        note(kept, &news).await;
                    }
                    drop(steps.send(Step::Session(news)).await);
                }
                Ok(()) = renewals.changed() => {
                    let renewed = renewals.borrow_and_update().clone();
                    if let (Some(kept), Some(Renewed { ticket, relays })) = (&kept, renewed) {
                        kept.change(|bookmark| bookmark.renew(ticket, relays));
                    }
                }
            }
        }
        // Before the network has taken the goodbye: a window that is closed now must not offer the session again.
        if let Some(kept) = kept {
            kept.end().await;
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

/// What a later process must know of what happened. What hides the screen is in the file before anybody is told that it
/// is hidden, so that a death after that does not show it again.
async fn note(kept: &Kept, news: &News) {
    match news {
        News::Granted(GrantKind::View) => kept.change(|bookmark| bookmark.viewed_at_ms = Some(clock::now_ms())),
        News::TakenBack(GrantKind::View) => {
            kept.change(|bookmark| bookmark.viewed_at_ms = None);
            kept.settle().await;
        }
        News::Paused(paused) => {
            kept.change(|bookmark| bookmark.is_paused = *paused);
            kept.settle().await;
        }
        News::Granted(_)
        | News::TakenBack(_)
        | News::Asked(..)
        | News::Refused { .. }
        | News::Withdrawn(_)
        | News::PeerRestarted
        | News::Switching
        | News::Resumed(_)
        | News::Sharing(_)
        | News::Figures(_) => {}
    }
}

/// Waits for the customer's end; other commands mean nothing before the session.
async fn cancelled(commands: &mut mpsc::Receiver<Command>) {
    while !matches!(commands.recv().await, None | Some(Command::End)) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use desk::bookmark::Bookmark;
    use link::{proxy::Proxies, transport::Choice};
    use proto::{
        api::{
            error::{ErrorBody, ErrorCode},
            reception::{EnterAnswer, EnterRequest, Pairing},
        },
        seal::rejoin::RejoinSecret,
        ticket::{ProofKey, SigningKey},
    };
    use rand_core::OsRng;
    use tokio::{
        io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
        net::TcpListener,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{self, ServerConfig, pki_types::PrivateKeyDer},
    };

    use super::*;

    /// A manager with a certificate of its own, and the way to it.
    struct Manager {
        listener: TcpListener,
        acceptor: TlsAcceptor,
        api: ManagerApi,
    }

    impl Manager {
        async fn listen() -> Self {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
            let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ServerConfig::builder_with_provider(crypto)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("https://{}/", listener.local_addr().unwrap());
            let api = ManagerApi::through(&url, Some(made.cert.pem().as_bytes()), Proxies::none()).unwrap();
            Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), api }
        }

        /// Takes one call and says this status and body, or hangs up without a word. The body of the call.
        async fn answer(&self, answer: Option<(u16, &str)>) -> Vec<u8> {
            let (socket, _) = self.listener.accept().await.unwrap();
            let mut stream = BufReader::new(self.acceptor.accept(socket).await.unwrap());
            let mut len = 0;
            loop {
                let mut line = String::new();
                assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the call is whole");
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; len];
            stream.read_exact(&mut body).await.unwrap();
            if let Some((status, said)) = answer {
                let head =
                    format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", said.len());
                stream.write_all((head + said).as_bytes()).await.unwrap();
                // A tool that has read everything may be gone already.
                drop(stream.shutdown().await);
            }
            body
        }

        /// A number is entered while one call after the other is answered so; where the first one is not, the customer
        /// presses "Cancel". The entry, and why nothing came of it.
        async fn entry(
            &self,
            entry_key: &EntryKey,
            number: &str,
            answers: &[Option<(u16, &str)>],
        ) -> (EnterRequest, Result<Option<CloseReason>, EnterError>) {
            let (number, dialer) = (ReceptionNumber::parse(number).unwrap(), Dialer::new(Choice::Auto));
            let (commands, mut taken) = mpsc::channel(1);
            let (steps, mut told) = mpsc::channel(NEWS_MAX);
            let serving = async {
                let mut bodies = Vec::new();
                for answer in answers {
                    bodies.push(self.answer(*answer).await);
                }
                bodies
            };
            let cancelling = async {
                if let [None, ..] = answers {
                    assert_eq!(told.recv().await, Some(Step::EnteringAgain));
                    commands.send(Command::End).await.unwrap();
                }
            };
            let (entered, bodies, ()) = tokio::join!(
                by_number(&self.api, number, entry_key, dialer, (&mut taken, &steps)),
                serving,
                cancelling
            );
            (serde_json::from_slice(&bodies[0]).unwrap(), entered.map(Result::err))
        }
    }

    /// A session that no relay has room for.
    fn answered() -> String {
        let introduction = Introduction {
            session_id: SessionId::from_bytes([3; 16]),
            company_name: "みどり電機サポート".to_owned(),
            operator_name: "佐藤 花子".to_owned(),
            reason: String::new(),
            ceiling: GrantKind::ALL.to_vec(),
        };
        let pairing = Pairing {
            session_id: introduction.session_id,
            introduction: introduction.sign(&SigningKey::from_seed("2026-07", [7; 32]).unwrap()).unwrap(),
            ticket: String::new(),
            relays: Vec::new(),
        };
        serde_json::to_string(&EnterAnswer { pairing, token: "token".to_owned() }).unwrap()
    }

    /// A manager that is not there: its port was free a moment ago.
    fn nobody() -> ManagerApi {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        ManagerApi::through(&format!("https://{address}/"), None, Proxies::none()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_that_the_number_is_entered_again_can_cancel_meanwhile() {
        let number = ReceptionNumber::parse("412-905-3381").unwrap();
        let (api, entry_key, dialer) = (nobody(), EntryKey::none(), Dialer::new(Choice::Auto));
        let (locator, key) = (number.locator(), entry_key.of(number.locator(), &mut OsRng));
        let (commands, mut taken) = mpsc::channel(1);
        let (steps, mut told) = mpsc::channel(NEWS_MAX);
        let cancelling = async {
            assert_eq!(told.recv().await, Some(Step::EnteringAgain));
            commands.send(Command::End).await.unwrap();
        };
        let (entered, ()) = tokio::join!(by_number(&api, number, &entry_key, dialer, (&mut taken, &steps)), cancelling);
        assert_eq!(entered.map(Result::err), Ok(Some(CloseReason::CustomerEnded)));
        assert_eq!(entry_key.of(locator, &mut OsRng).public(), key.public(), "the next press asks for the same entry");
    }

    #[tokio::test]
    async fn a_number_is_entered_with_one_key_until_a_manager_has_answered_with_its_session() {
        let (manager, entry_key) = (Manager::listen().await, EntryKey::none());
        let no = ErrorBody { code: ErrorCode::NumberUnusable, message: String::new(), retry_after_secs: None };
        let (no, yes) = (serde_json::to_string(&no).unwrap(), answered());

        let (lost, cancelled) = manager.entry(&entry_key, "412-905-3381", &[None]).await;
        assert_eq!(cancelled, Ok(Some(CloseReason::CustomerEnded)));
        // The second call is the end.
        let (repeated, not_met) =
            manager.entry(&entry_key, "412-905-3381", &[Some((200, yes.as_str())), Some((200, "{}"))]).await;
        assert_eq!(not_met, Err(EnterError::RelayUnreachable));
        assert!(lost.is_signed() && lost == repeated, "the session of the answer that was lost");

        let (anew, refused) = manager.entry(&entry_key, "412-905-3381", &[Some((404, no.as_str()))]).await;
        assert_eq!(refused, Err(EnterError::NumberUnusable));
        assert_eq!(anew.locator, repeated.locator);
        assert_ne!(anew.proof_key, repeated.proof_key, "a relay may still have the connection of that key");

        let (other, _) = manager.entry(&entry_key, "412-906-3381", &[Some((404, no.as_str()))]).await;
        assert_ne!(other.proof_key, anew.proof_key, "another number");
    }

    #[tokio::test]
    async fn what_hides_the_screen_is_in_the_bookmark_before_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(folder.path().join("uketsuke"));
        let session_id = SessionId::from_bytes([3; 16]);
        let pairing = Pairing { session_id, introduction: String::new(), ticket: String::new(), relays: Vec::new() };
        let bookmark = Bookmark::new(
            Role::Customer,
            pairing,
            Arc::new(ProofKey::from_seed(&[1; 32])),
            RejoinSecret::from_bytes(&[9; 40]),
            ("https://support.example.jp".to_owned(), "token".to_owned()),
        );
        let kept = Kept::start(shelf.hold(Role::Customer, session_id).unwrap(), bookmark);
        let says = |what: &str| {
            let text = std::fs::read_to_string(folder.path().join(format!("uketsuke/customer-{session_id}.json")));
            text.is_ok_and(|text| text.contains(what))
        };

        note(&kept, &News::Granted(GrantKind::View)).await;
        note(&kept, &News::Paused(true)).await;
        assert!(says(r#""is_paused":true"#) && !says(r#""viewed_at_ms":null"#));
        note(&kept, &News::TakenBack(GrantKind::View)).await;
        assert!(says(r#""viewed_at_ms":null"#));
        kept.end().await;
        assert!(!says("is_paused"));
    }
}
