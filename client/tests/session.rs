//! A whole session over an in-memory link: synthetic screen on one side, a test operator on the other.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so")]

use std::{sync::mpsc as std_mpsc, time::Duration};

use client::{
    consent::Permit,
    input::{Hands, InputError},
    record::Record,
    screen::capture::{
        Capture,
        synthetic::{Easel, Synthetic},
    },
    session::{self, Command, News, Parts},
};
use link::{
    sealed::{Sealed, SealedEvent},
    testing::Board,
};
use proto::{
    api::session::ConsentAnswer,
    close::CloseReason,
    frame::Lane,
    grant::{GrantKind, Grants},
    input::{Button, Input, Key},
    message::{Message, ScreenAck},
    role::Role,
    screen::{Decoder, Rect},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Nothing here takes long; a test that waits longer is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells a test what was done on the desktop.
struct Telling(std_mpsc::SyncSender<String>);

impl Telling {
    fn tell(&self, deed: String) -> Result<(), InputError> {
        self.0.send(deed).map_err(|error| InputError::Refused(error.to_string()))
    }
}

impl Hands for Telling {
    fn point(&mut self, x: i32, y: i32) -> Result<(), InputError> {
        self.tell(format!("point {x} {y}"))
    }
    fn button(&mut self, button: Button, pressed: bool) -> Result<(), InputError> {
        self.tell(format!("{button:?} {pressed}"))
    }
    fn wheel(&mut self, dx: i8, dy: i8) -> Result<(), InputError> {
        self.tell(format!("wheel {dx} {dy}"))
    }
    fn key(&mut self, evdev: u16, pressed: bool) -> Result<(), InputError> {
        self.tell(format!("key {evdev} {pressed}"))
    }
    fn text(&mut self, text: &str) -> Result<(), InputError> {
        self.tell(format!("text {text}"))
    }
}

/// Both ends of a session.
struct World {
    easel: Easel,
    commands: mpsc::Sender<Command>,
    news: mpsc::Receiver<News>,
    records: mpsc::Receiver<Record>,
    deeds: std_mpsc::Receiver<String>,
    permit: Permit,
    operator: Operator,
    running: JoinHandle<CloseReason>,
}

/// An operator's tool in small.
struct Operator {
    sealed: Sealed,
    decoder: Decoder,
    bytes_total: u64,
    /// Everything but screen updates, in order.
    heard: Vec<Message>,
}

fn start(ceiling: Grants) -> World {
    let (customer, operator) = link::testing::sealed_pair();
    begin(ceiling, customer, operator)
}

fn begin(ceiling: Grants, customer: Sealed, operator: Sealed) -> World {
    begin_with(ceiling, None, 256, customer, operator)
}

/// `deeds` are done before the desktop waits for the test to look at them.
fn begin_with(ceiling: Grants, going_on: Option<bool>, deeds: usize, customer: Sealed, operator: Sealed) -> World {
    let easel = Easel::new(320, 200).unwrap();
    let (commands, mut taken) = mpsc::channel(16);
    let (told, news) = mpsc::channel(64);
    let (kept, records) = mpsc::channel(64);
    let (done, deeds) = std_mpsc::sync_channel(deeds);
    let permit = Permit::none();
    let capture = easel.clone();
    let parts = Parts {
        sealed: customer,
        ceiling,
        going_on,
        permit: permit.clone(),
        make_capture: Box::new(|| Ok(Box::new(Synthetic::new(capture)) as Box<dyn Capture>)),
        make_hands: Box::new(|| Ok(Box::new(Telling(done)) as Box<dyn Hands>)),
        language: "ja",
        records: kept,
    };
    let running = tokio::spawn(async move { session::run(parts, &mut taken, told).await });
    let operator = Operator { sealed: operator, decoder: Decoder::new(), bytes_total: 0, heard: Vec::new() };
    World { easel, commands, news, records, deeds, permit, operator, running }
}

fn all() -> Grants {
    GrantKind::ALL.iter().copied().collect()
}

impl Operator {
    async fn say(&self, message: Message) {
        self.sealed.sender.send(message).await.unwrap();
    }

    async fn ask(&self, kind: GrantKind) {
        self.say(Message::Ask { kind, reason: "test".to_owned() }).await;
    }

    /// Applies and acknowledges updates until `done` is true of everything heard so far.
    async fn until(&mut self, done: impl Fn(&Decoder, &[Message]) -> bool) {
        timeout(PATIENCE, async {
            while !done(&self.decoder, &self.heard) {
                match self.sealed.receiver.recv().await {
                    SealedEvent::Message(Message::Screen(bytes)) => {
                        let applied = self.decoder.apply(&bytes).unwrap();
                        self.bytes_total += u64::try_from(bytes.len()).unwrap();
                        let ack = ScreenAck { update: applied.update, bytes_total: self.bytes_total, decode_us: 1 };
                        self.say(Message::ScreenAck(ack)).await;
                    }
                    SealedEvent::Message(message) => self.heard.push(message),
                    event @ (SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted) => {
                        panic!("not expected: {event:?}")
                    }
                    SealedEvent::Ended(reason) => panic!("ended: {reason:?} after {:?}", self.heard),
                }
            }
        })
        .await
        .unwrap_or_else(|_late| panic!("not in time: {:?}", self.heard));
    }

    async fn hear(&mut self, message: Message) {
        self.until(|_, heard| heard.contains(&message)).await;
    }

    async fn see(&mut self, easel: &Easel) {
        let wanted = easel.picture();
        self.until(|decoder, _| decoder.picture() == Some(&wanted)).await;
    }

    /// Until the customer's tool has taken everything of a lane.
    async fn taken_in(&mut self, lane: Lane) {
        timeout(PATIENCE, async {
            while 0 < self.sealed.sender.unacknowledged(lane) {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    async fn ended(&mut self) -> CloseReason {
        timeout(PATIENCE, async {
            loop {
                if let SealedEvent::Ended(reason) = self.sealed.receiver.recv().await {
                    return reason;
                }
            }
        })
        .await
        .unwrap()
    }
}

impl World {
    /// Asks for a grant and lets the customer say yes.
    async fn grant(&mut self, kind: GrantKind) {
        self.operator.ask(kind).await;
        self.asked(kind).await;
        self.commands.send(Command::Answer(kind, true)).await.unwrap();
        self.operator.hear(Message::Granted { kind }).await;
    }

    async fn asked(&mut self, wanted: GrantKind) {
        loop {
            if let News::Asked(question, _) = timeout(PATIENCE, self.news.recv()).await.unwrap().unwrap() {
                assert_eq!(question.kind, wanted);
                return;
            }
        }
    }

    async fn deed(&mut self) -> String {
        let deeds = std::mem::replace(&mut self.deeds, std_mpsc::sync_channel(0).1);
        let (deed, deeds) = tokio::task::spawn_blocking(move || (deeds.recv_timeout(PATIENCE), deeds)).await.unwrap();
        self.deeds = deeds;
        deed.unwrap()
    }

    async fn end(mut self, reason: CloseReason) -> Vec<Record> {
        assert_eq!(timeout(PATIENCE, &mut self.running).await.unwrap().unwrap(), reason);
        assert!(!self.permit.may_see() && !self.permit.may_act());
        let mut records = Vec::new();
        while let Some(record) = self.records.recv().await {
            records.push(record);
        }
        assert_eq!(records.last(), Some(&Record::End(reason)));
        records
    }
}

fn red(easel: &Easel, x: u16) {
    easel.fill(Rect { x, y: 20, width: 40, height: 30 }, [0, 0, 200]);
}

#[tokio::test]
async fn the_operator_sees_every_pixel_after_a_yes() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    world.operator.see(&world.easel).await;
    for x in [10, 60, 200] {
        red(&world.easel, x);
        world.operator.see(&world.easel).await;
    }
    world.operator.until(|_, heard| heard.iter().any(|message| matches!(message, Message::Check { .. }))).await;
    let hash = world.easel.picture().hash();
    let checked = world
        .operator
        .heard
        .iter()
        .rev()
        .find_map(|message| if let Message::Check { hash, .. } = message { Some(*hash) } else { None });
    assert_eq!(checked, Some(hash));
    world.commands.send(Command::End).await.unwrap();
    assert_eq!(world.operator.ended().await, CloseReason::CustomerEnded);
    let records = world.end(CloseReason::CustomerEnded).await;
    assert_eq!(records[0], Record::Consent(GrantKind::View, ConsentAnswer::Granted));
}

#[tokio::test]
async fn nothing_is_grabbed_before_a_yes_and_nothing_while_the_screen_rests() {
    let mut world = start(all());
    world.operator.ask(GrantKind::View).await;
    world.asked(GrantKind::View).await;
    red(&world.easel, 10);
    assert_eq!(world.easel.grabs(), 0, "the customer has not answered");
    world.commands.send(Command::Answer(GrantKind::View, true)).await.unwrap();
    world.operator.see(&world.easel).await;
    // The check is the last thing a resting screen says.
    world.operator.until(|_, heard| heard.iter().any(|message| matches!(message, Message::Check { .. }))).await;
    let grabs = world.easel.grabs();
    world.operator.ask(GrantKind::Control).await;
    world.asked(GrantKind::Control).await;
    assert_eq!(world.easel.grabs(), grabs, "nothing was drawn");
    world.commands.send(Command::End).await.unwrap();
    world.end(CloseReason::CustomerEnded).await;
}

#[tokio::test]
async fn a_no_to_the_view_ends_the_session() {
    let mut world = start(all());
    world.operator.ask(GrantKind::View).await;
    world.asked(GrantKind::View).await;
    world.commands.send(Command::Answer(GrantKind::View, false)).await.unwrap();
    assert_eq!(world.operator.ended().await, CloseReason::ConsentRefused);
    let records = world.end(CloseReason::ConsentRefused).await;
    assert_eq!(records[0], Record::Consent(GrantKind::View, ConsentAnswer::Refused));
}

#[tokio::test]
async fn input_acts_only_under_a_live_control_grant() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    let click = |pressed| Message::Input(Input::Button { button: Button::Left, pressed });
    world.operator.say(click(true)).await;
    world.operator.say(Message::Input(Input::Text("secret".to_owned()))).await;
    world.operator.taken_in(Lane::Input).await;
    world.grant(GrantKind::Control).await;
    world.operator.say(Message::Input(Input::Pointer { monitor: 0, x: 7, y: 9 })).await;
    assert_eq!(world.deed().await, "point 7 9", "what came before the grant was not done");
    world.operator.say(click(true)).await;
    assert_eq!(world.deed().await, "Left true");
    world.commands.send(Command::TakeBack(GrantKind::Control)).await.unwrap();
    assert_eq!(world.deed().await, "Left false", "what was held is let go");
    world.operator.hear(Message::TakenBack { kind: GrantKind::Control }).await;
    world.operator.say(click(true)).await;
    world.commands.send(Command::End).await.unwrap();
    let deeds = std::mem::replace(&mut world.deeds, std_mpsc::sync_channel(0).1);
    world.end(CloseReason::CustomerEnded).await;
    assert_eq!(tokio::task::spawn_blocking(move || deeds.recv()).await.unwrap(), Err(std_mpsc::RecvError));
}

#[tokio::test]
async fn a_held_key_is_let_go_when_the_session_ends() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    world.grant(GrantKind::Control).await;
    world.operator.say(Message::Input(Input::Key { key: Key(0xE1), pressed: true })).await;
    assert_eq!(world.deed().await, "key 42 true");
    world.operator.sealed.sender.end(CloseReason::OperatorEnded).await;
    assert_eq!(world.deed().await, "key 42 false");
    world.end(CloseReason::OperatorEnded).await;
}

#[tokio::test]
async fn a_pause_hides_what_is_drawn_and_going_on_shows_a_full_picture() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    world.operator.see(&world.easel).await;
    world.commands.send(Command::Pause(true)).await.unwrap();
    world.operator.hear(Message::Paused { paused: true }).await;
    let (grabs, bytes) = (world.easel.grabs(), world.operator.bytes_total);
    red(&world.easel, 10);
    world.operator.ask(GrantKind::Device).await;
    world.asked(GrantKind::Device).await;
    assert_eq!((world.easel.grabs(), world.operator.bytes_total), (grabs, bytes));
    world.commands.send(Command::Pause(false)).await.unwrap();
    world.operator.see(&world.easel).await;
    world.commands.send(Command::End).await.unwrap();
    world.end(CloseReason::CustomerEnded).await;
}

#[tokio::test]
async fn device_facts_are_shown_before_they_are_sent_and_only_sent_after_a_yes() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    world.operator.ask(GrantKind::Device).await;
    let shown = loop {
        if let News::Asked(question, facts) = timeout(PATIENCE, world.news.recv()).await.unwrap().unwrap() {
            assert_eq!(question.kind, GrantKind::Device);
            break facts;
        }
    };
    assert!(!shown.is_empty());
    world.commands.send(Command::Answer(GrantKind::Device, true)).await.unwrap();
    world.operator.hear(Message::Granted { kind: GrantKind::Device }).await;
    world.commands.send(Command::End).await.unwrap();
    let records = world.end(CloseReason::CustomerEnded).await;
    assert!(records.contains(&Record::Device(shown)));
}

#[tokio::test]
async fn what_is_above_the_ceiling_is_refused_without_asking() {
    let mut world = start(Grants::NONE.with(GrantKind::View));
    world.grant(GrantKind::View).await;
    world.operator.ask(GrantKind::Control).await;
    world.operator.hear(Message::Refused { kind: GrantKind::Control, timed_out: false }).await;
    world.commands.send(Command::End).await.unwrap();
    world.end(CloseReason::CustomerEnded).await;
}

#[tokio::test]
async fn a_reset_is_answered_with_a_full_picture() {
    let mut world = start(all());
    world.grant(GrantKind::View).await;
    world.operator.see(&world.easel).await;
    world.operator.decoder = Decoder::new();
    world.operator.say(Message::ResetScreen).await;
    world.operator.see(&world.easel).await;
    world.commands.send(Command::End).await.unwrap();
    world.end(CloseReason::CustomerEnded).await;
}

#[tokio::test]
async fn an_operators_tool_that_was_started_again_sees_everything_and_works_only_when_asked_anew() {
    let board = Board::new(2, Duration::from_millis(5), 1);
    let (customer, operator) = board.meet().await.unwrap();
    let mut world = begin(all(), customer, operator);
    world.grant(GrantKind::View).await;
    world.grant(GrantKind::Control).await;
    world.operator.see(&world.easel).await;
    let key = |key, pressed| Message::Input(Input::Key { key: Key(key), pressed });
    world.operator.say(key(0xE1, true)).await;
    assert_eq!(world.deed().await, "key 42 true");
    world.operator.ask(GrantKind::Device).await;
    world.asked(GrantKind::Device).await;
    red(&world.easel, 10);

    let secret = world.operator.sealed.secret.clone();
    let dead = std::mem::replace(&mut world.operator.sealed, link::testing::sealed_pair().1);
    drop(dead);
    let sealed = timeout(PATIENCE, board.restart(Role::Operator, secret)).await.unwrap().unwrap();
    world.operator = Operator { sealed, decoder: Decoder::new(), bytes_total: 0, heard: Vec::new() };

    assert_eq!(world.deed().await, "key 42 false", "nobody holds it any more");
    world.operator.hear(Message::Granted { kind: GrantKind::View }).await;
    assert!(matches!(&world.operator.heard[..], [Message::Greeting { .. }, ..]), "{:?}", world.operator.heard);
    world.operator.see(&world.easel).await;
    let mut told = Vec::new();
    while !told.contains(&News::Withdrawn(GrantKind::Device)) {
        told.push(timeout(PATIENCE, world.news.recv()).await.unwrap().unwrap());
    }
    assert!(told.contains(&News::PeerRestarted) && told.contains(&News::TakenBack(GrantKind::Control)), "{told:?}");
    world.operator.say(key(0x28, true)).await;
    world.operator.taken_in(Lane::Input).await;
    world.grant(GrantKind::Control).await;
    world.operator.say(key(0x2A, true)).await;
    assert_eq!(world.deed().await, "key 14 true", "what came before the grant was not done");
    red(&world.easel, 60);
    world.operator.see(&world.easel).await;
    world.commands.send(Command::End).await.unwrap();
    let records = world.end(CloseReason::CustomerEnded).await;
    let about_control = |record: &&Record| matches!(record, Record::Consent(GrantKind::Control, _));
    let answer = |answer| Record::Consent(GrantKind::Control, answer);
    assert_eq!(
        records.iter().filter(about_control).collect::<Vec<_>>(),
        [&answer(ConsentAnswer::Granted), &answer(ConsentAnswer::Lapsed), &answer(ConsentAnswer::Granted)],
        "the customer took nothing back"
    );
}

#[tokio::test]
async fn control_is_over_at_once_when_the_operators_tool_was_started_again_however_slow_the_desktop_is() {
    let board = Board::new(2, Duration::from_millis(5), 1);
    let (customer, operator) = board.meet().await.unwrap();
    let mut world = begin_with(all(), None, 0, customer, operator);
    world.grant(GrantKind::View).await;
    world.grant(GrantKind::Control).await;
    // One is being done, and 256 acts wait, which is all that may: 191 turns of the wheel, and beside the first 65 of them,
    // while half of the room is free, a word that the operator is there.
    for _ in 0..=191 {
        world.operator.say(Message::Input(Input::Wheel { dx: 0, dy: 1 })).await;
    }
    world.operator.taken_in(Lane::Input).await;
    assert!(world.permit.may_act());

    let secret = world.operator.sealed.secret.clone();
    drop(std::mem::replace(&mut world.operator.sealed, link::testing::sealed_pair().1));
    let sealed = timeout(PATIENCE, board.restart(Role::Operator, secret)).await.unwrap().unwrap();

    timeout(PATIENCE, world.permit.idle()).await.expect("the desktop holds up the decision");
    drop(sealed);
    // The desktop is gone, and what waits is not done.
    drop(std::mem::replace(&mut world.deeds, std_mpsc::sync_channel(0).1));
    world.running.abort();
}

#[tokio::test]
async fn a_view_that_goes_on_after_a_restart_of_this_tool_is_the_customers_new_word() {
    let (customer, operator) = link::testing::sealed_pair();
    let mut world = begin_with(all(), Some(true), 256, customer, operator);
    world.operator.hear(Message::Paused { paused: true }).await;
    assert!(!world.permit.may_see());
    world.operator.ask(GrantKind::View).await;
    world.operator.hear(Message::Granted { kind: GrantKind::View }).await;
    world.commands.send(Command::Pause(false)).await.unwrap();
    world.operator.see(&world.easel).await;
    world.commands.send(Command::End).await.unwrap();
    let records = world.end(CloseReason::CustomerEnded).await;
    let granted = Record::Consent(GrantKind::View, ConsentAnswer::Granted);
    assert_eq!(records, [granted, Record::End(CloseReason::CustomerEnded)], "once");
}

#[tokio::test]
async fn a_customer_who_closes_the_window_ends_the_session() {
    let mut world = start(all());
    let (gone, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut world.commands, gone));
    assert_eq!(world.operator.ended().await, CloseReason::CustomerEnded);
    world.end(CloseReason::CustomerEnded).await;
}
