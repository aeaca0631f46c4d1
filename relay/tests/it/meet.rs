//! Two tools meet through a real relay and prove their secret to each other.

use std::sync::Arc;

use link::{
    meet::{MeetError, Meeting, meet},
    race::Dialer,
    sealed::SealedEvent,
};
use ops::clock::Clock;
use proto::{
    api::reception::RelayAddress, close::CloseReason, frame::Lane, grant::GrantKind, id::RelayId, message::Message,
    role::Role, ticket::SigningKey,
};
use relay::config::{Config, TicketKey};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::world::{PATIENCE, World, config, refused};

fn meeting(world: &World, role: Role, secret: &[u8], introduction: &str) -> Meeting {
    let side = world.side(role, 1);
    Meeting {
        role,
        pairing: world.pairing(&side, introduction),
        proof_key: Arc::clone(&side.proof_key),
        secret: Zeroizing::new(secret.to_vec()),
        renew: None,
        dialer: Dialer::default(),
    }
}

#[tokio::test]
async fn two_tools_that_know_the_secret_talk_and_end() {
    let world = World::start().await;

    let (customer, operator) = tokio::join!(
        meet(meeting(&world, Role::Customer, b"3381", "introduction")),
        meet(meeting(&world, Role::Operator, b"3381", "introduction")),
    );
    let (customer, mut operator) = (customer.unwrap(), operator.unwrap());
    let mut receiver = customer.receiver;

    assert_eq!(customer.safety_code, operator.safety_code);
    operator.sender.send(Message::Ask { kind: GrantKind::View, reason: String::new() }).await.unwrap();
    let asked = receiver.recv().await;
    assert_eq!(asked, SealedEvent::Message(Message::Ask { kind: GrantKind::View, reason: String::new() }));
    let picture = Message::Screen((0..3_000_000u32).map(|n| u8::try_from(n % 253).unwrap()).collect());
    customer.sender.send(picture.clone()).await.unwrap();
    assert_eq!(operator.receiver.recv().await, SealedEvent::Message(picture));
    assert!(3_000_000 < customer.sender.lane_bytes(Lane::Screen));

    let (ended, ()) = tokio::join!(receiver.recv(), operator.sender.end(CloseReason::OperatorEnded));

    assert_eq!(ended, SealedEvent::Ended(CloseReason::OperatorEnded));
    assert_eq!(operator.receiver.recv().await, SealedEvent::Ended(CloseReason::OperatorEnded));
    world.until("the session is over", |world| world.relay.sessions() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_seen_by_both() {
    let world = World::start().await;

    let (customer, operator) = tokio::join!(
        meet(meeting(&world, Role::Customer, b"3381", "introduction")),
        meet(meeting(&world, Role::Operator, b"3382", "introduction")),
    );

    assert_eq!(customer.err(), Some(MeetError::WrongSecret));
    assert_eq!(operator.err(), Some(MeetError::WrongSecret));
    world.until("the session is over", |world| world.relay.sessions() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn tools_that_were_told_different_names_never_agree() {
    let world = World::start().await;

    let (customer, operator) = tokio::join!(
        meet(meeting(&world, Role::Customer, b"3381", "the bank")),
        meet(meeting(&world, Role::Operator, b"3381", "the thief")),
    );

    assert_eq!(customer.err(), Some(MeetError::WrongSecret));
    assert_eq!(operator.err(), Some(MeetError::WrongSecret));
    world.stop().await;
}

#[tokio::test]
async fn the_next_relay_is_tried_when_the_first_is_away() {
    let world = World::start().await;
    let with_dead_relay = |role| {
        let mut meeting = meeting(&world, role, b"3381", "introduction");
        let mut dead = meeting.pairing.relays[0].clone();
        dead.address = "127.0.0.1:1".to_owned();
        meeting.pairing.relays.insert(0, dead);
        meeting
    };

    let (customer, operator) =
        tokio::join!(meet(with_dead_relay(Role::Customer)), meet(with_dead_relay(Role::Operator)));

    assert!(customer.is_ok() && operator.is_ok());
    drop((customer, operator));
    world.stop().await;
}

#[tokio::test]
async fn the_next_relay_is_tried_when_the_first_has_a_wrong_clock_or_wrong_keys() {
    let world = World::start().await;
    let tomorrow_ms = Clock::system().now_ms() + 24 * 3_600_000;
    let tomorrow = World::start_by(config(), Clock::manual(tomorrow_ms)).await;
    let other_key = SigningKey::from_seed("other", [8; 32]).unwrap().verifying_key();
    let keys = vec![TicketKey { key_id: "other".to_owned(), public_key: other_key.to_hex() }];
    let stranger = World::start_with(Config { ticket_keys: keys, ..config() }).await;
    for first in [&tomorrow, &stranger] {
        let by_way_of = |role| {
            let mut meeting = meeting(&world, role, b"3381", "introduction");
            meeting.pairing.relays.insert(0, first.relay_address());
            meeting
        };

        let (customer, operator) = tokio::join!(meet(by_way_of(Role::Customer)), meet(by_way_of(Role::Operator)));

        assert!(customer.is_ok() && operator.is_ok());
        drop((customer, operator));
        world.until("the session is over", |world| world.relay.sessions() == 0).await;
    }
    for world in [world, tomorrow, stranger] {
        world.stop().await;
    }
}

/// What the first of two relays is for one side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Dead,
    Refusing,
}

/// Both tools have two relays, but one of them cannot use the first; they meet at the second.
async fn must_meet_at_the_second(without_first: Role, is: First) {
    let (first, second) = (World::start().await, World::start().await);
    let second_id = RelayId::from_bytes([8; 16]);
    let meeting = |role| {
        let mut side = first.side(role, 1);
        let relays = second.side(role, 1).ticket.relays;
        if role == without_first && is == First::Refusing {
            side.ticket.relays = relays;
        } else {
            side.ticket.relays.extend(relays);
        }
        let mut meeting = meeting(&first, role, b"3381", "introduction");
        meeting.pairing = first.pairing(&side, "introduction");
        meeting.pairing.relays.push(RelayAddress { relay_id: second_id, ..second.relay_address() });
        meeting.proof_key = side.proof_key;
        if role == without_first && is == First::Dead {
            "127.0.0.1:1".clone_into(&mut meeting.pairing.relays[0].address);
        }
        meeting
    };

    let met = tokio::join!(meet(meeting(Role::Customer)), meet(meeting(Role::Operator)));

    let (customer, operator) = (met.0.unwrap(), met.1.unwrap());
    assert_eq!((customer.relay_id, operator.relay_id), (second_id, second_id));
    assert_eq!(customer.safety_code, operator.safety_code);
    let refused = first.metric(&refused(CloseReason::TicketElsewhere));
    assert_eq!(1.0 <= refused, is == First::Refusing, "{refused}");
    drop((customer, operator));
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn the_tools_meet_at_the_second_relay_when_the_first_is_dead_for_one_of_them_only() {
    for without_first in [Role::Customer, Role::Operator] {
        must_meet_at_the_second(without_first, First::Dead).await;
    }
}

#[tokio::test]
async fn the_tools_meet_at_the_second_relay_when_the_first_refuses_one_of_them_only() {
    for without_first in [Role::Customer, Role::Operator] {
        must_meet_at_the_second(without_first, First::Refusing).await;
    }
}

#[tokio::test]
async fn nobody_at_any_relay_is_unreachable_and_a_refusal_is_told() {
    let world = World::start().await;
    let mut nowhere = meeting(&world, Role::Customer, b"3381", "introduction");
    nowhere.pairing.relays[0].address = "127.0.0.1:1".to_owned();
    let mut refused = meeting(&world, Role::Customer, b"3381", "introduction");
    refused.pairing.ticket = "v4.public.nonsense".to_owned();

    assert_eq!(meet(nowhere).await.err(), Some(MeetError::Unreachable));
    assert_eq!(meet(refused).await.err(), Some(MeetError::Refused(CloseReason::TicketUnknown)));
    world.stop().await;
}

#[tokio::test]
async fn a_side_that_is_dropped_is_looked_for_until_the_other_ends_the_session() {
    let world = World::start().await;
    let (customer, operator) = tokio::join!(
        meet(meeting(&world, Role::Customer, b"3381", "introduction")),
        meet(meeting(&world, Role::Operator, b"3381", "introduction")),
    );
    let mut operator = operator.unwrap();

    drop(customer.unwrap());

    let looking = timeout(PATIENCE, operator.receiver.recv()).await.unwrap();
    assert_eq!(looking, SealedEvent::Switching);
    assert_eq!(world.relay.sessions(), 1, "the seat is kept");
    operator.sender.end(CloseReason::OperatorEnded).await;
    assert_eq!(operator.receiver.recv().await, SealedEvent::Ended(CloseReason::OperatorEnded));
    world.until("the session is over", |world| world.relay.sessions() == 0).await;
    world.stop().await;
}

#[tokio::test]
async fn a_meeting_that_is_given_up_leaves_the_relay() {
    let world = World::start().await;
    let waiting = tokio::spawn(meet(meeting(&world, Role::Customer, b"3381", "introduction")));
    world.until("the customer waits", |world| world.relay.sessions() == 1).await;

    waiting.abort();

    world.until("the seat is given back", |world| world.relay.sessions() == 0).await;
    // It may wait elsewhere: nobody is to read that it has ended the session.
    assert!(1.0 <= world.metric("relay_sessions_ended_total{reason=\"peer_lost\"}"));
    world.stop().await;
}
