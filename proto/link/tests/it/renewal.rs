//! Tickets that grow old, a manager that is gone, relays that were started again, and when the program hears of it.

use std::time::Duration;

use link::{
    sealed::{Sealed, SealedEvent, SealedReceiver, SealedSender},
    testing::Board,
};
use proto::message::Message;
use tokio::time::{Instant, sleep, timeout};

use crate::world::key;

/// More than the tools need to find each other again when everything works.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the tools of these tests need for a round trip, at most.
const DELAY: Duration = Duration::from_millis(20);

/// A message arrives, whatever is told before it; what was told.
async fn arrives(sender: &SealedSender, receiver: &mut SealedReceiver, number: u16) -> Vec<SealedEvent> {
    sender.send(key(number)).await.unwrap();
    let mut told = Vec::new();
    loop {
        match timeout(PATIENCE, receiver.recv()).await.unwrap() {
            SealedEvent::Message(message) => {
                assert_eq!(message, key(number));
                return told;
            }
            event @ (SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted) => told.push(event),
            SealedEvent::Ended(reason) => panic!("the session ended: {reason:?}"),
        }
    }
}

/// Both directions work.
async fn both_arrive(customer: &mut Sealed, operator: &mut Sealed, number: u16) {
    arrives(&customer.sender, &mut operator.receiver, number).await;
    arrives(&operator.sender, &mut customer.receiver, number).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_of_a_working_day_moves_with_a_ticket_that_was_renewed() {
    let board = Board::new(2, DELAY, 1);
    let (mut customer, mut operator) = board.meet().await.unwrap();

    for hour in 1..=7u16 {
        sleep(Duration::from_hours(1)).await;
        board.kill(usize::from(hour % 2), false);
        board.kill(usize::from((hour + 1) % 2), true);
        both_arrive(&mut customer, &mut operator, hour).await;
    }

    // By both tools: every five minutes at the latest, and every half a minute at most, because there is no spare.
    assert!((7 * 12 * 2..=7 * 120 * 2).contains(&board.renewals()), "{}", board.renewals());
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_gone_for_55_minutes_harms_no_session_even_if_its_relay_dies() {
    let board = Board::new(2, DELAY, 2);
    let (mut customer, mut operator) = board.meet().await.unwrap();
    // Whoever met has a ticket that is as old as the last renewal.
    sleep(Duration::from_mins(10)).await;
    board.lose_manager(true);
    let before = board.renewals();

    sleep(Duration::from_mins(54)).await;
    both_arrive(&mut customer, &mut operator, 1).await;
    board.kill(0, true);
    sleep(Duration::from_secs(30)).await;
    both_arrive(&mut customer, &mut operator, 2).await;
    sleep(Duration::from_secs(30)).await;

    assert_eq!(board.renewals(), before, "nobody renewed anything");
    let mut renewed = customer.sender.renewals();
    renewed.mark_unchanged();
    board.lose_manager(false);
    sleep(Duration::from_mins(6)).await;
    assert!(renewed.has_changed().unwrap(), "the program is given the newest ticket");
    assert_eq!(renewed.borrow_and_update().as_ref().map(|renewed| renewed.relays.len()), Some(2));
    assert!(before + 2 <= board.renewals(), "both tools renew when the manager is back");
    both_arrive(&mut customer, &mut operator, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_works_outlives_its_ticket_and_moves_when_the_manager_is_back() {
    let board = Board::new(1, DELAY, 3);
    let (mut customer, mut operator) = board.meet().await.unwrap();
    board.lose_manager(true);
    sleep(Duration::from_hours(3)).await;
    both_arrive(&mut customer, &mut operator, 1).await;

    board.kill(0, true);
    board.kill(0, false);
    customer.sender.send(key(2)).await.unwrap();
    let told = timeout(Duration::from_secs(30), operator.receiver.recv()).await.unwrap();
    assert_eq!(told, SealedEvent::Switching, "an old ticket admits nowhere");
    board.lose_manager(false);

    let told = timeout(PATIENCE, operator.receiver.recv()).await.unwrap();
    assert_eq!(told, SealedEvent::Resumed);
    let message = timeout(PATIENCE, operator.receiver.recv()).await.unwrap();
    assert_eq!(message, SealedEvent::Message(key(2)), "what was said meanwhile was kept");
}

#[tokio::test(start_paused = true)]
async fn the_only_relay_is_started_again_with_another_key_and_the_session_goes_on() {
    let board = Board::new(1, DELAY, 4);
    let (mut customer, mut operator) = board.meet().await.unwrap();
    both_arrive(&mut customer, &mut operator, 1).await;

    board.kill(0, true);
    sleep(Duration::from_secs(4)).await;
    board.change_key(0);
    board.kill(0, false);

    both_arrive(&mut customer, &mut operator, 2).await;
}

/// What the operator's program hears of a message that is said at a moment when the only relay dies for `away`, and how
/// long after that death it heard first.
async fn told_of(away: Duration) -> (Vec<SealedEvent>, Duration) {
    let board = Board::new(1, Duration::ZERO, 5);
    let (customer, mut operator) = board.meet().await.unwrap();
    arrives(&customer.sender, &mut operator.receiver, 1).await;
    let lost_at = Instant::now();
    board.kill(0, true);
    let again = board.clone();
    let back = async move {
        sleep(away).await;
        again.kill(0, false);
    };
    customer.sender.send(key(2)).await.unwrap();
    let hear = async {
        let (mut told, mut first) = (Vec::new(), None);
        loop {
            let event = timeout(PATIENCE, operator.receiver.recv()).await.unwrap();
            first.get_or_insert(lost_at.elapsed());
            told.push(event.clone());
            if let SealedEvent::Message(Message::Input(_)) = event {
                return (told, first.unwrap());
            }
        }
    };
    tokio::join!(back, hear).1
}

#[tokio::test(start_paused = true)]
async fn the_program_hears_of_a_change_only_when_it_takes_half_a_second() {
    let (told, _) = told_of(Duration::from_millis(100)).await;
    assert_eq!(told, [SealedEvent::Message(key(2))], "a short one is not told");

    let (told, after) = told_of(Duration::from_secs(3)).await;
    assert_eq!(told, [SealedEvent::Switching, SealedEvent::Resumed, SealedEvent::Message(key(2))]);
    assert!((500..=600).contains(&after.as_millis()), "told after {after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_warm_spare_takes_over_before_the_program_hears_of_it() {
    let board = Board::new(2, DELAY, 6);
    let (customer, mut operator) = board.meet().await.unwrap();
    arrives(&customer.sender, &mut operator.receiver, 1).await;
    sleep(Duration::from_secs(5)).await;

    board.kill(0, true);
    assert_eq!(arrives(&customer.sender, &mut operator.receiver, 2).await, []);
}
