//! Lanes that overtake each other while relays die: what was said arrives whole, once and in the order of its lane.

use std::time::Duration;

use link::{
    sealed::{Sealed, SealedEvent, SealedReceiver, SealedSender},
    testing::Board,
};
use proptest::prelude::*;
use proto::{input::Input, message::Message, role::Role};
use tokio::time::{sleep, timeout};

use crate::world::{key, word};

/// More than the tools need to find each other again when everything works.
const PATIENCE: Duration = Duration::from_mins(1);

/// A fault, and when it comes.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(usize),
    Cut(usize, Role),
}

fn faults(relays: usize) -> impl Strategy<Value = Vec<(u64, Fault)>> {
    let fault = prop_oneof![
        (0..relays).prop_map(Fault::Kill),
        (0..relays, any::<bool>())
            .prop_map(|(relay, first)| Fault::Cut(relay, if first { Role::Customer } else { Role::Operator })),
    ];
    prop::collection::vec((0u64..1_500, fault), 0..12)
}

/// A picture that says its number, of several frames now and then.
fn picture(number: u16) -> Message {
    let len = if number.is_multiple_of(5) { 70_000 } else { 40 };
    let mut bytes = vec![7; len];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    Message::Screen(bytes)
}

/// Says numbered messages on three lanes, a few at a time.
async fn say(sender: SealedSender, count: u16) {
    for number in 0..count {
        for message in [picture(number), key(number), word()] {
            sender.send(message).await.unwrap();
        }
        sleep(Duration::from_millis(u64::from(number % 7) * 5)).await;
    }
}

/// Hears all of them, each lane in order and nothing twice.
async fn hear(receiver: &mut SealedReceiver, count: u16) {
    let (mut pictures, mut keys, mut words) = (0, 0, 0);
    while (pictures, keys, words) != (count, count, count) {
        match receiver.recv().await {
            SealedEvent::Message(message @ Message::Screen(_)) => {
                assert!(message == picture(pictures), "picture {pictures}");
                pictures += 1;
            }
            SealedEvent::Message(Message::Input(Input::Pointer { x, .. })) => {
                assert_eq!(x, keys);
                keys += 1;
            }
            SealedEvent::Message(_) => words += 1,
            SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
            SealedEvent::Ended(reason) => panic!("ended after {pictures} pictures and {keys} keys: {reason:?}"),
        }
    }
}

async fn talk(relays: usize, delay: Duration, seed: u64, faults: Vec<(u64, Fault)>) {
    const COUNT: u16 = 80;
    let board = Board::new(relays, delay, seed);
    let (mut customer, mut operator): (Sealed, Sealed) = board.meet().await.unwrap();
    let breaking = async {
        let mut at = 0;
        let mut faults = faults;
        faults.sort_by_key(|(at, _)| *at);
        for (when, fault) in faults {
            sleep(Duration::from_millis(when - at)).await;
            at = when;
            match fault {
                Fault::Kill(relay) => {
                    board.kill(relay, true);
                    let board = board.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_millis(300)).await;
                        board.kill(relay, false);
                    });
                }
                Fault::Cut(relay, role) => board.cut(relay, role),
            }
        }
    };
    let said = async { tokio::join!(say(customer.sender.clone(), COUNT), say(operator.sender.clone(), COUNT)) };
    let heard = async { tokio::join!(hear(&mut customer.receiver, COUNT), hear(&mut operator.receiver, COUNT)) };

    timeout(PATIENCE, async { tokio::join!(said, heard, breaking) }).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn nothing_is_lost_nothing_comes_twice_and_each_lane_keeps_its_order(
        seed: u64,
        relays in 1usize..=3,
        delay in 0u64..120,
        faults in faults(3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(talk(relays, Duration::from_millis(delay), seed, faults));
    }
}
