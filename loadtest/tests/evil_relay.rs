//! A relay that tampers gets nothing accepted: every message that comes out was sent, in order, once.
//!
//! How this was seen to fail: with the comparison of sequence numbers taken out of `Opener::open`, the tests of a
//! repeated, a dropped and a reordered frame failed, and the other seven passed.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::{sync::Arc, time::Duration};

use link::{
    meet::{Meeting, meet},
    race::Dialer,
    sealed::{Sealed, SealedEvent},
    transport::{Choice, Transport},
};
use loadtest::evil::{Deed, EvilRelay};
use proto::{
    api::reception::{Pairing, RelayAddress},
    close::CloseReason,
    id::{RelayId, SessionId},
    input::Input,
    message::Message,
    role::Role,
    ticket::ProofKey,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

#[tokio::test]
async fn a_relay_that_only_forwards_loses_nothing() {
    let (received, end) = send_through(Deed::Forward).await;

    assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(end, CloseReason::OperatorEnded);
}

#[tokio::test]
async fn an_altered_frame_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::Alter).await;
}

#[tokio::test]
async fn an_altered_sequence_number_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::AlterSequence).await;
}

#[tokio::test]
async fn a_frame_moved_to_another_lane_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::MoveLane).await;
}

#[tokio::test]
async fn a_repeated_frame_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::Repeat).await;
}

#[tokio::test]
async fn reordered_frames_break_the_seal() {
    assert_nothing_false_is_accepted(Deed::Reorder).await;
}

#[tokio::test]
async fn a_dropped_frame_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::Drop).await;
}

#[tokio::test]
async fn a_shortened_frame_breaks_the_seal() {
    assert_nothing_false_is_accepted(Deed::Shorten).await;
}

#[tokio::test]
async fn a_reflected_frame_breaks_the_seal() {
    let relay = EvilRelay::start(Deed::Reflect).await.unwrap();
    let (mut operator, customer) = pair(&relay, 1).await;

    send_all(&operator).await;
    let (_, end) = receive(&mut operator, MESSAGES).await;

    assert_eq!(end, Some(CloseReason::SealBroken), "the sender opened its own frame");
    drop(customer);
    relay.stop().await;
}

#[tokio::test]
async fn frames_of_another_session_break_the_seal() {
    let relay = EvilRelay::start(Deed::CrossWire).await.unwrap();
    let [first_operator, first_customer] = both_sides(&relay, 1).await;
    let [second_operator, second_customer] = both_sides(&relay, 2).await;
    let operators = [first_operator.await.unwrap().unwrap(), second_operator.await.unwrap().unwrap()];
    let customers = [first_customer.await.unwrap().unwrap(), second_customer.await.unwrap().unwrap()];

    for operator in &operators {
        send_all(operator).await;
    }

    for mut customer in customers {
        let (received, end) = receive(&mut customer, MESSAGES).await;
        assert_is_prefix(&received);
        assert!(end.is_some(), "a whole stream came although it was crossed");
        assert_ne!(end, Some(CloseReason::OperatorEnded));
    }
    assert!(0 < relay.forwarded(), "nothing was crossed");
    relay.stop().await;
}

async fn assert_nothing_false_is_accepted(deed: Deed) {
    let name = format!("{deed:?}");

    let (received, end) = send_through(deed).await;

    assert_is_prefix(&received);
    assert!(received.len() < usize::from(MESSAGES), "{name}: all messages came although one was tampered with");
    assert_eq!(end, CloseReason::SealBroken, "{name}");
}

fn assert_is_prefix(received: &[u16]) {
    let expected: Vec<u16> = (0..u16::try_from(received.len()).unwrap()).collect();
    assert_eq!(received, expected, "a message came twice, in another order, or out of nowhere");
}

/// What the customer received of the operator's messages, and how it ended.
async fn send_through(deed: Deed) -> (Vec<u16>, CloseReason) {
    let relay = EvilRelay::start(deed).await.unwrap();
    let (operator, mut customer) = pair(&relay, 1).await;
    let sending = tokio::spawn(async move {
        send_all(&operator).await;
        operator
    });

    let (received, mut end) = receive(&mut customer, MESSAGES).await;
    let operator = sending.await.unwrap();
    if end.is_none() {
        // An end overtakes what waits on other lanes, so it is said after everything has arrived.
        operator.sender.end(CloseReason::OperatorEnded).await;
        end = receive(&mut customer, 1).await.1;
    }

    assert!(0 < relay.forwarded());
    relay.stop().await;
    (received, end.unwrap())
}

/// Two tools that met at the relay: the operator comes first, so its frames are tampered with.
async fn pair(relay: &EvilRelay, session: u8) -> (Sealed, Sealed) {
    let [operator, customer] = both_sides(relay, session).await;
    (operator.await.unwrap().unwrap(), customer.await.unwrap().unwrap())
}

type Meet = tokio::task::JoinHandle<Result<Sealed, link::meet::MeetError>>;

/// Starts both tools of a session. The evil relay takes sides in the order in which they connect.
async fn both_sides(relay: &EvilRelay, session: u8) -> [Meet; 2] {
    link::tls::install_provider();
    let operator = tokio::spawn(meet(meeting(relay, session, Role::Operator)));
    relay.wait_for_sides(2 * u64::from(session) - 1).await;
    let customer = tokio::spawn(meet(meeting(relay, session, Role::Customer)));
    relay.wait_for_sides(2 * u64::from(session)).await;
    [operator, customer]
}

fn meeting(relay: &EvilRelay, session: u8, role: Role) -> Meeting {
    Meeting {
        role,
        pairing: Pairing {
            session_id: SessionId::from_bytes([session; 16]),
            introduction: "both were told the same".to_owned(),
            ticket: "any".to_owned(),
            relays: vec![RelayAddress {
                relay_id: RelayId::from_bytes([1; 16]),
                address: relay.address.clone(),
                spki: relay.spki.clone(),
            }],
        },
        proof_key: Arc::new(ProofKey::random(&mut rand_core::OsRng)),
        secret: Zeroizing::new(b"3381".to_vec()),
        renew: None,
        dialer: Dialer::new(Choice::Only(Transport::Tcp)),
    }
}

async fn send_all(sealed: &Sealed) {
    for x in 0..MESSAGES {
        let message = Message::Input(Input::Pointer { monitor: 0, x, y: 0 });
        if sealed.sender.send(message).await.is_err() {
            return;
        }
    }
}

/// Receives until `count` messages or the end have come.
async fn receive(sealed: &mut Sealed, count: u16) -> (Vec<u16>, Option<CloseReason>) {
    let mut received = Vec::new();
    let receiving = async {
        while received.len() < usize::from(count) {
            match sealed.receiver.recv().await {
                SealedEvent::Message(Message::Input(Input::Pointer { x, .. })) => received.push(x),
                SealedEvent::Message(other) => panic!("{other:?} was never sent"),
                SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
                SealedEvent::Ended(reason) => return Some(reason),
            }
        }
        None
    };
    let end = timeout(Duration::from_secs(20), receiving).await.expect("the tampering was not noticed");
    (received, end)
}

const MESSAGES: u16 = 50;
