//! A session over a sealed link in memory, with a customer made of the real encoder.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use link::{
    sealed::{Sealed, SealedEvent},
    testing::{Board, sealed_pair},
    transport::Transport,
};
use operator::{
    app::event::FromSession,
    input::held,
    screen::{Exactness, receive::RESETS_MAX},
    session::{self, Handle, News},
};
use proto::{
    close::CloseReason,
    grant::GrantKind,
    id::SessionId,
    input::{Input, Key},
    message::{Message, ScreenAck},
    role::Role,
    screen::{Damage, EncodeOptions, EncodedUpdate, Encoder, Picture, Rect},
};
use tokio::sync::mpsc;

struct World {
    customer: Sealed,
    handle: Handle,
    news: mpsc::Receiver<News>,
    encoder: Encoder,
    picture: Picture,
}

fn world() -> World {
    let (customer, operator) = sealed_pair();
    begin(customer, operator)
}

fn begin(customer: Sealed, operator: Sealed) -> World {
    let (sender, news) = mpsc::channel(64);
    let (handle, port) = session::open(SessionId::from_bytes([7; 16]), sender, Arc::new(|| {}));
    tokio::spawn(session::run(operator, None, port));
    let encoder = Encoder::new(EncodeOptions::default());
    World { customer, handle, news, encoder, picture: Picture::new(200, 150).unwrap() }
}

impl World {
    fn draw(&mut self, at: u16) -> EncodedUpdate {
        let rect = Rect { x: at % 150, y: at % 100, width: 31, height: 17 };
        self.picture.fill(rect, [200, u8::try_from(at % 250).unwrap(), 40]);
        self.encoder.encode(self.picture.as_ref(), Damage::Unknown).unwrap().unwrap()
    }

    async fn say(&self, message: Message) {
        self.customer.sender.send(message).await.unwrap();
    }

    async fn show(&mut self, at: u16) -> u64 {
        let update = self.draw(at);
        self.say(Message::Screen(update.bytes)).await;
        update.update
    }

    async fn hear(&mut self) -> Message {
        match self.customer.receiver.recv().await {
            SealedEvent::Message(message) => message,
            event @ (SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted) => {
                panic!("not expected: {event:?}")
            }
            SealedEvent::Ended(reason) => panic!("ended: {reason:?}"),
        }
    }

    /// The next message that is no greeting.
    async fn answer(&mut self) -> Message {
        loop {
            let message = self.hear().await;
            if !matches!(message, Message::Greeting { .. }) {
                return message;
            }
        }
    }

    async fn event(&mut self) -> FromSession {
        loop {
            if let Some(News::Event(_, event)) = self.news.recv().await {
                return event;
            }
        }
    }

    async fn end(&mut self) -> CloseReason {
        loop {
            if let FromSession::Gone(reason) = self.event().await {
                return reason;
            }
        }
    }
}

#[tokio::test]
async fn the_customer_is_greeted_and_every_update_is_acknowledged() {
    let mut world = world();
    assert!(matches!(world.event().await, FromSession::Met { .. }));
    assert_eq!(world.event().await, FromSession::Carried(Transport::Tcp));
    assert!(matches!(world.hear().await, Message::Greeting { version: 1, .. }));
    let update = world.draw(1);
    let bytes_total = u64::try_from(update.bytes.len()).unwrap();
    world.say(Message::Screen(update.bytes)).await;
    let Message::ScreenAck(ack) = world.hear().await else { panic!("an acknowledgement was due") };
    assert_eq!((ack.update, ack.bytes_total), (update.update, bytes_total));
    assert_eq!(world.event().await, FromSession::FirstPicture { width: 200, height: 150 });
    assert_eq!(world.handle.screen.lock().canvas.hash(), Some(world.picture.hash()));
}

#[tokio::test]
async fn a_check_of_a_settled_picture_is_answered_truly() {
    let mut world = world();
    let update = world.show(1).await;
    let hash = world.encoder.settled_hash();
    world.say(Message::Check { update, hash }).await;
    loop {
        if let Message::Checked { update: checked, exact } = world.answer().await {
            assert_eq!((checked, exact), (update, true));
            break;
        }
    }
    assert_eq!(world.handle.screen.lock().canvas.exactness(), Exactness::Exact);
}

#[tokio::test]
async fn a_broken_update_is_asked_for_again_and_the_canvas_is_exact_after_it() {
    let mut world = world();
    world.show(1).await;
    let mut broken = world.draw(2).bytes;
    broken.truncate(12);
    world.say(Message::Screen(broken)).await;
    while world.answer().await != Message::ResetScreen {}
    world.encoder.reset();
    let update = world.show(3).await;
    world.say(Message::Check { update, hash: world.encoder.settled_hash() }).await;
    loop {
        if let Message::Checked { exact, .. } = world.answer().await {
            assert!(exact);
            break;
        }
    }
    assert_eq!(world.handle.screen.lock().canvas.hash(), Some(world.picture.hash()));
}

#[tokio::test]
async fn a_picture_that_differs_is_asked_for_again() {
    let mut world = world();
    let update = world.show(1).await;
    world.say(Message::Check { update, hash: world.encoder.settled_hash() ^ 1 }).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&Message::ResetScreen) {
        heard.push(world.answer().await);
    }
    assert!(heard.contains(&Message::Checked { update, exact: false }), "{heard:?}");
}

#[tokio::test]
async fn a_customer_who_never_sends_an_exact_picture_is_given_up() {
    let mut world = world();
    for _ in 0..=RESETS_MAX {
        world.encoder.reset();
        let update = world.show(1).await;
        world.say(Message::Check { update, hash: 1 }).await;
        while !matches!(
            world.customer.receiver.recv().await,
            SealedEvent::Message(Message::ResetScreen) | SealedEvent::Ended(_)
        ) {}
    }
    assert_eq!(world.end().await, CloseReason::Malformed);
}

#[tokio::test]
async fn pointer_and_keys_reach_the_customer_in_order() {
    let mut world = world();
    let key = |pressed| Input::Key { key: Key(4), pressed };
    for input in [Input::Pointer { monitor: 0, x: 5, y: 6 }, key(true), key(false), Input::ReleaseAll] {
        world.handle.queue.push(input);
    }
    let mut heard = Vec::new();
    while heard.len() < 4 {
        if let Message::Input(input) = world.answer().await {
            heard.push(input);
        }
    }
    assert_eq!(heard, [Input::Pointer { monitor: 0, x: 5, y: 6 }, key(true), key(false), Input::ReleaseAll]);
}

#[tokio::test(start_paused = true)]
async fn while_a_key_is_held_the_customer_hears_a_word_within_every_second() {
    let mut world = world();
    let started = tokio::time::Instant::now();
    let press = Input::Key { key: Key(0xE1), pressed: true };
    world.handle.queue.push(press.clone());
    let mut heard = Vec::new();
    while heard.len() < 4 {
        if let Message::Input(input) = world.answer().await {
            heard.push(input);
        }
    }
    assert_eq!(heard, [press, held::WORD, held::WORD, held::WORD]);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn what_the_customer_says_is_passed_on() {
    let mut world = world();
    assert!(matches!(world.event().await, FromSession::Met { .. }));
    assert!(matches!(world.event().await, FromSession::Carried(_)));
    world.say(Message::Granted { kind: GrantKind::View }).await;
    assert_eq!(world.event().await, FromSession::Granted(GrantKind::View));
    world.say(Message::Paused { paused: true }).await;
    assert_eq!(world.event().await, FromSession::Paused(true));
    world.say(Message::CursorPosition { x: -3, y: 8, visible: true }).await;
    world.say(Message::TakenBack { kind: GrantKind::View }).await;
    assert_eq!(world.event().await, FromSession::TakenBack(GrantKind::View));
    let cursor = world.handle.screen.lock().cursor.clone();
    assert_eq!((cursor.x, cursor.y, cursor.visible), (-3, 8, true));
}

#[tokio::test]
async fn a_customer_who_says_what_only_operators_say_is_cut_off() {
    let mut world = world();
    world.say(Message::Input(Input::ReleaseAll)).await;
    assert_eq!(world.end().await, CloseReason::Malformed);
}

#[tokio::test]
async fn both_ends_can_end_the_session() {
    let mut world = world();
    world.handle.end(CloseReason::OperatorEnded);
    assert_eq!(world.end().await, CloseReason::OperatorEnded);
    let mut world = self::world();
    world.customer.sender.end(CloseReason::CustomerEnded).await;
    assert_eq!(world.end().await, CloseReason::CustomerEnded);
}

#[tokio::test]
async fn updates_are_told_one_by_one_to_those_who_watch() {
    let mut world = world();
    world.handle.watched.store(true, Ordering::Relaxed);
    let update = world.show(4).await;
    loop {
        if let Some(News::Changed(changed)) = world.news.recv().await {
            assert_eq!(changed.update, update);
            assert!(!changed.rects.is_empty() && 0 < changed.bytes);
            break;
        }
    }
    assert!(matches!(world.answer().await, Message::ScreenAck(ScreenAck { .. })));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_exact_canvas_ends_in_time_and_says_the_truth() {
    let mut world = world();
    world.show(1).await;
    world.answer().await;
    let screen = world.handle.screen.clone();
    assert!(!screen.exact_within(Duration::from_secs(5)).await, "nothing was checked");
    let update = world.show(2).await;
    world.say(Message::Check { update, hash: world.encoder.settled_hash() }).await;
    assert!(screen.exact_within(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_customers_tool_that_was_started_again_is_greeted_and_its_picture_begins_anew() {
    let board = Board::new(2, Duration::from_millis(5), 1);
    let (customer, operator) = board.meet().await.unwrap();
    let mut world = begin(customer, operator);
    for at in 1..5 {
        world.show(at).await;
    }
    while world.event().await != (FromSession::FirstPicture { width: 200, height: 150 }) {}

    let secret = world.customer.secret.clone();
    let dead = std::mem::replace(&mut world.customer, sealed_pair().0);
    drop(dead);
    world.customer = board.restart(Role::Customer, secret).await.unwrap();
    world.encoder = Encoder::new(EncodeOptions::default());
    world.picture = Picture::new(90, 60).unwrap();

    while world.event().await != FromSession::PeerRestarted {}
    assert!(world.handle.screen.lock().canvas.picture().is_none(), "an old picture says nothing");
    let update = world.encoder.encode(world.picture.as_ref(), Damage::Unknown).unwrap().unwrap();
    world.say(Message::Screen(update.bytes)).await;
    while world.event().await != (FromSession::FirstPicture { width: 90, height: 60 }) {}
    assert!(matches!(world.hear().await, Message::Greeting { .. }), "acknowledgements of old pictures are not said");
    assert!(matches!(world.hear().await, Message::ScreenAck(ScreenAck { update: 1, .. })));
    assert_eq!(world.handle.screen.lock().canvas.hash(), Some(world.picture.hash()));
}
