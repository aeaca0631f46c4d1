//! Whatever the one in the middle does to a sealed frame, nothing of it is accepted and both sides learn of it.

use link::testing::{Fault, sealed_pair_with_faults};
use proto::{close::CloseReason, role::Role};
use tokio::time::{Duration, sleep};

use crate::world::{all, key};

/// Sends three messages of which the second meets the fault; gives what the operator accepted and why it ended.
async fn meddled(fault: Fault) -> (Vec<proto::message::Message>, CloseReason, CloseReason) {
    let (mut customer, mut operator, faults) = sealed_pair_with_faults();
    // The first measurement of the round trip goes by before the test begins.
    sleep(Duration::from_millis(100)).await;
    customer.sender.send(key(1)).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    faults.on_next(Role::Customer, fault);
    for number in 2..=3 {
        // The third may find the link closed already.
        let _sent = customer.sender.send(key(number)).await;
        sleep(Duration::from_millis(1)).await;
    }
    let (accepted, reason) = all(&mut operator.receiver).await;
    let (_, customers) = all(&mut customer.receiver).await;
    (accepted, reason, customers)
}

#[tokio::test(start_paused = true)]
async fn an_altered_frame_breaks_the_seal() {
    assert_eq!(meddled(Fault::Alter).await, (vec![key(1)], CloseReason::SealBroken, CloseReason::SealBroken));
}

#[tokio::test(start_paused = true)]
async fn a_frame_moved_to_another_lane_breaks_the_seal() {
    assert_eq!(meddled(Fault::ChangeLane).await, (vec![key(1)], CloseReason::SealBroken, CloseReason::SealBroken));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_frame_breaks_the_seal() {
    assert_eq!(meddled(Fault::Drop).await, (vec![key(1)], CloseReason::SealBroken, CloseReason::SealBroken));
}

#[tokio::test(start_paused = true)]
async fn reordered_frames_break_the_seal() {
    assert_eq!(meddled(Fault::Reorder).await, (vec![key(1)], CloseReason::SealBroken, CloseReason::SealBroken));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_frame_is_accepted_once_and_breaks_the_seal() {
    let (accepted, reason, customers) = meddled(Fault::Duplicate).await;

    assert_eq!((accepted, reason, customers), (vec![key(1), key(2)], CloseReason::SealBroken, CloseReason::SealBroken));
}

#[tokio::test(start_paused = true)]
async fn a_frame_sent_back_to_its_sender_breaks_the_seal() {
    let (mut customer, mut operator, faults) = sealed_pair_with_faults();
    sleep(Duration::from_millis(100)).await;
    faults.on_next(Role::Customer, Fault::Reflect);

    customer.sender.send(key(1)).await.unwrap();

    let (accepted, reason) = all(&mut customer.receiver).await;
    assert_eq!((accepted, reason), (vec![], CloseReason::SealBroken));
    let (accepted, _) = all(&mut operator.receiver).await;
    assert_eq!(accepted, vec![]);
}
