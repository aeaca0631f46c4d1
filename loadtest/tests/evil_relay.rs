//! A relay that tampers gets nothing accepted: every message that comes out was sent, in order, once.
//!
//! How this was seen to fail: with `Opener::open` made to skip the comparison of sequence numbers, `Repeat`, `Reorder`
//! and `Drop` passed the message on and the assertions below named the extra or missing one; with the header left out
//! of the associated data, `MoveLane` did.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::{sync::Arc, time::Duration};

use link::{
    meet::{Meeting, meet},
    sealed::{Sealed, SealedEvent},
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
    let (_, end) = drain(&mut operator).await;

    assert_eq!(end, CloseReason::SealBroken, "the sender opened its own frame");
    drop(customer);
    relay.stop().await;
}

#[tokio::test]
async fn frames_of_another_session_break_the_seal() {
    let relay = EvilRelay::start(Deed::CrossWire).await.unwrap();
    let first = pair(&relay, 1).await;
    let second = pair(&relay, 2).await;
    let (operator, mut customer) = first;
    let (other_operator, mut other_customer) = second;

    send_all(&operator).await;
    send_all(&other_operator).await;
    let (received, end) = drain(&mut customer).await;
    let (other_received, other_end) = drain(&mut other_customer).await;

    for (received, end) in [(received, end), (other_received, other_end)] {
        assert_is_prefix(&received);
        assert_ne!(end, CloseReason::OperatorEnded);
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
    let sender = operator.sender.clone();
    let sending = tokio::spawn(async move {
        send_all(&operator).await;
        sender.end(CloseReason::OperatorEnded).await;
        operator
    });

    let outcome = drain(&mut customer).await;

    assert!(0 < relay.forwarded());
    sending.await.unwrap();
    relay.stop().await;
    outcome
}

/// Two tools that met at the relay: the operator comes first, so its frames are tampered with.
async fn pair(relay: &EvilRelay, session: u8) -> (Sealed, Sealed) {
    link::tls::install_provider();
    let operator = tokio::spawn(meet(meeting(relay, session, Role::Operator)));
    // The evil relay takes sides in the order in which they come; the first one is there when it was welcomed, and
    // its connection is accepted before the second can be.
    tokio::task::yield_now().await;
    let customer = tokio::spawn(meet(meeting(relay, session, Role::Customer)));
    let (operator, customer) = tokio::join!(operator, customer);
    (operator.unwrap().unwrap(), customer.unwrap().unwrap())
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
        generation: 0,
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

async fn drain(sealed: &mut Sealed) -> (Vec<u16>, CloseReason) {
    let mut received = Vec::new();
    timeout(Duration::from_secs(20), async {
        loop {
            match sealed.receiver.recv().await {
                SealedEvent::Message(Message::Input(Input::Pointer { x, .. })) => received.push(x),
                SealedEvent::Message(other) => panic!("{other:?} was never sent"),
                SealedEvent::Ended(reason) => return reason,
            }
        }
    })
    .await
    .map(|reason| (received, reason))
    .expect("the tampering was not noticed")
}

const MESSAGES: u16 = 50;
