//! Order, priority, credit, measurement and the end.

use std::time::Duration;

use link::{
    sealed::SealedEvent,
    testing::{sealed_pair, sealed_pair_with_faults},
};
use proto::{close::CloseReason, frame::Lane, message::Message, role::Role};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::world::{all, key, picture, word};

#[tokio::test(start_paused = true)]
async fn messages_of_every_length_arrive_whole_and_in_order() {
    let (customer, mut operator) = sealed_pair();
    let lengths = [0, 1, 32_000, 32_744, 32_745, 65_536, 1_000_000, 9_000_000];

    let send = async {
        for len in lengths {
            customer.sender.send(picture(len, 7)).await.unwrap();
        }
    };
    let receive = async {
        for len in lengths {
            assert!(operator.receiver.recv().await == SealedEvent::Message(picture(len, 7)), "{len} bytes");
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test(start_paused = true)]
async fn both_sides_show_the_same_safety_code() {
    let (customer, operator) = sealed_pair();

    assert_eq!(customer.safety_code, operator.safety_code);
    assert_eq!(customer.safety_code.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_key_overtakes_a_large_picture() {
    let (customer, mut operator) = sealed_pair();
    customer.sender.send(picture(6_000_000, 1)).await.unwrap();
    customer.sender.send(key(1)).await.unwrap();

    assert_eq!(operator.receiver.recv().await, SealedEvent::Message(key(1)));
    assert!(matches!(operator.receiver.recv().await, SealedEvent::Message(Message::Screen(_))));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_takes_nothing_holds_the_sender_at_its_credit() {
    let (customer, mut operator) = sealed_pair();
    let mut sent = 0u64;
    while let Ok(done) = timeout(Duration::from_secs(5), customer.sender.send(picture(1_000_000, 1))).await {
        done.unwrap();
        sent += 1;
        assert!(sent < 100, "credit is bounded");
    }

    assert_eq!(sent, 8, "eight megabytes are under way at most");
    assert!(customer.sender.unacknowledged(Lane::Screen) <= Lane::Screen.credit());
    customer.sender.send(word()).await.unwrap();

    for _ in 0..sent {
        assert!(matches!(operator.receiver.recv().await, SealedEvent::Message(Message::Screen(_))));
    }
    timeout(Duration::from_secs(5), customer.sender.send(picture(1_000_000, 1))).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_sends_nothing() {
    let (customer, mut operator) = sealed_pair();
    customer.sender.send(picture(8_000_000, 1)).await.unwrap();
    let waiting = timeout(Duration::from_secs(1), customer.sender.send(picture(5_000_000, 2))).await;
    let before = customer.sender.lane_bytes(Lane::Screen);

    assert!(waiting.is_err(), "there is no credit");
    assert!(matches!(operator.receiver.recv().await, SealedEvent::Message(Message::Screen(_))));
    customer.sender.send(picture(10, 3)).await.unwrap();

    assert_eq!(operator.receiver.recv().await, SealedEvent::Message(picture(10, 3)));
    assert!(customer.sender.lane_bytes(Lane::Screen) < before + 100);
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_measured_from_tool_to_tool() {
    let (customer, _operator, faults) = sealed_pair_with_faults();
    faults.freeze(Role::Operator, true);
    sleep(Duration::from_millis(70)).await;
    assert_eq!(customer.sender.round_trip(), None);

    faults.freeze(Role::Operator, false);
    sleep(Duration::from_millis(1)).await;

    let measured = customer.sender.round_trip().unwrap();
    assert!(Duration::from_millis(69) < measured && measured < Duration::from_millis(90), "{measured:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_lives_on_for_hours() {
    let (customer, mut operator) = sealed_pair();

    sleep(Duration::from_hours(3)).await;

    customer.sender.send(key(5)).await.unwrap();
    assert_eq!(operator.receiver.recv().await, SealedEvent::Message(key(5)));
}

#[tokio::test(start_paused = true)]
async fn the_other_side_hears_why_and_what_was_said_before() {
    let (customer, mut operator) = sealed_pair();
    customer.sender.send(word()).await.unwrap();

    customer.sender.end(CloseReason::CustomerEnded).await;

    assert_eq!(all(&mut operator.receiver).await, (vec![word()], CloseReason::CustomerEnded));
    assert_eq!(operator.sender.send(word()).await.unwrap_err().reason, CloseReason::CustomerEnded);
    assert_eq!(customer.sender.send(word()).await.unwrap_err().reason, CloseReason::CustomerEnded);
}

#[tokio::test(start_paused = true)]
async fn who_hears_the_end_leaves_after_the_one_who_said_it() {
    let (customer, mut operator, faults) = sealed_pair_with_faults();
    faults.linger(Role::Customer, true);
    let ending = tokio::spawn(async move { customer.sender.end(CloseReason::CustomerEnded).await });

    assert_eq!(all(&mut operator.receiver).await, (vec![], CloseReason::CustomerEnded));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(faults.left_first(), None);

    faults.linger(Role::Customer, false);
    ending.await.unwrap();
    assert_eq!(faults.left_first(), Some(Role::Customer));
}

#[tokio::test(start_paused = true)]
async fn who_hears_the_end_does_not_wait_for_ever_for_the_other_to_leave() {
    let (customer, mut operator, faults) = sealed_pair_with_faults();
    faults.linger(Role::Customer, true);
    let ending = tokio::spawn(async move { customer.sender.end(CloseReason::CustomerEnded).await });

    assert_eq!(all(&mut operator.receiver).await, (vec![], CloseReason::CustomerEnded));
    sleep(Duration::from_secs(3)).await;

    assert_eq!(faults.left_first(), Some(Role::Operator));
    ending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_does_not_wait_for_a_receiver_that_is_frozen() {
    let (customer, _operator, faults) = sealed_pair_with_faults();
    faults.freeze(Role::Customer, true);
    customer.sender.send(picture(7_000_000, 1)).await.unwrap();
    sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();

    customer.sender.end(CloseReason::CustomerEnded).await;

    assert!(begun.elapsed() <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_link_closes_it() {
    let (customer, mut operator) = sealed_pair();

    drop(customer);

    assert_eq!(all(&mut operator.receiver).await, (vec![], CloseReason::PeerLost));
}

#[tokio::test(start_paused = true)]
async fn a_cut_ends_both_sides() {
    let (mut customer, mut operator, faults) = sealed_pair_with_faults();

    faults.cut();

    for side in [&mut customer, &mut operator] {
        let (_, reason) = all(&mut side.receiver).await;
        assert!(matches!(reason, CloseReason::PeerLost | CloseReason::TransportLost), "{reason:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_link() {
    let (mut customer, _operator, faults) = sealed_pair_with_faults();
    faults.freeze(Role::Operator, true);

    let (_, reason) = timeout(Duration::from_mins(1), all(&mut customer.receiver)).await.unwrap();

    assert_eq!(reason, CloseReason::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_takes_nothing_and_says_nothing_is_dead() {
    let (mut customer, _operator, faults) = sealed_pair_with_faults();
    faults.freeze(Role::Customer, true);
    customer.sender.send(picture(7_000_000, 1)).await.unwrap();

    let (_, reason) = timeout(Duration::from_secs(30), all(&mut customer.receiver)).await.unwrap();

    assert_eq!(reason, CloseReason::Silent);
    advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_outside_the_limits_is_not_sent_and_harms_nothing() {
    let (customer, mut operator) = sealed_pair();
    let too_long = Message::Ask { kind: proto::grant::GrantKind::View, reason: "x".repeat(301) };

    assert_eq!(customer.sender.send(too_long).await.unwrap_err().reason, CloseReason::Malformed);
    customer.sender.send(word()).await.unwrap();

    assert_eq!(operator.receiver.recv().await, SealedEvent::Message(word()));
}
