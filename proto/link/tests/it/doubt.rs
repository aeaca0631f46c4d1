//! A relay that answers for itself while the other tool behind it is not heard: both tools find each other elsewhere.

use std::time::Duration;

use link::{sealed::SealedEvent, testing::Board};
use proto::role::Role;
use tokio::time::{Instant, sleep};

use crate::world::key;

/// Longer than the spare connection needs to become warm.
const WARM: Duration = Duration::from_secs(3);

#[tokio::test(start_paused = true)]
async fn a_pointer_that_moves_over_a_still_picture_raises_no_doubt() {
    for seed in 0..10 {
        let board = Board::new(3, Duration::from_millis(40), seed);
        let (mut customer, operator) = board.meet().await.unwrap();
        sleep(WARM).await;
        let moving = async {
            for number in 0..800 {
                operator.sender.send(key(number)).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
        };
        let hearing = async {
            while let SealedEvent::Message(_) = customer.receiver.recv().await {}
            panic!("the session moved, or is over");
        };
        tokio::select! {
            () = moving => {}
            () = hearing => {}
        }
        assert_eq!((board.dials(2, Role::Operator), board.dials(2, Role::Customer)), (0, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_heard_at_neither_relay_goes_on_at_a_third_within_seconds() {
    for (seed, unheard) in (0..10).flat_map(|seed| [(seed, Role::Customer), (seed, Role::Operator)]) {
        let board = Board::new(3, Duration::from_millis(40), seed);
        let (customer, operator) = board.meet().await.unwrap();
        let (from, mut to) = match unheard {
            Role::Customer => (customer, operator),
            Role::Operator => (operator, customer),
        };
        sleep(WARM).await;
        for relay in 0..2 {
            board.set_unheard(relay, unheard, true);
        }
        let begun = Instant::now();
        from.sender.send(key(7)).await.unwrap();
        // The other one goes on saying something, and is heard.
        let talking = async {
            loop {
                to.sender.send(key(1)).await.unwrap();
                sleep(Duration::from_millis(50)).await;
            }
        };
        let hearing = async {
            loop {
                match to.receiver.recv().await {
                    SealedEvent::Message(message) => break assert!(message == key(7)),
                    SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
                    SealedEvent::Ended(reason) => panic!("{reason:?}"),
                }
            }
        };
        tokio::select! {
            () = talking => {}
            () = hearing => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{unheard:?}, seed {seed}: {:?}", begun.elapsed());
    }
}
