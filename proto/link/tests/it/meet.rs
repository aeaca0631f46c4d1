//! Two tools look for each other at relays that do not receive both of them.

use std::time::Duration;

use link::{
    meet::MeetError,
    sealed::{Sealed, SealedEvent},
    testing::{Board, Door},
};
use proto::{close::CloseReason, limits::PEER_TIMEOUT, message::Message, role::Role};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const SIDES: [Role; 2] = [Role::Customer, Role::Operator];
/// One way, at most.
const DELAY: Duration = Duration::from_millis(40);
/// Joining, and the key exchange.
const SLACK: Duration = Duration::from_millis(500);
/// A relay that refused is dialed again after this long at most.
const REST_MAX: Duration = Duration::from_secs(24);
/// Each relay is dialed this long after the one before at most.
const HEAD_START: Duration = Duration::from_secs(2);

/// They talk: both hold the same keys.
async fn must_talk(customer: &mut Sealed, operator: &mut Sealed) {
    assert_eq!(customer.safety_code, operator.safety_code);
    customer.sender.send(Message::Paused { paused: true }).await.unwrap();
    let heard = timeout(PEER_TIMEOUT, operator.receiver.recv()).await.unwrap();
    assert_eq!(heard, SealedEvent::Message(Message::Paused { paused: true }));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_one_side_alone_does_not_reach_does_not_part_the_tools() {
    for shut_for in SIDES {
        for door in [Door::Shut, Door::Silent, Door::Full] {
            let board = Board::new(2, DELAY, 1);
            board.set_door(0, shut_for, door);
            let begun = Instant::now();

            let (customer, operator) = tokio::join!(board.look(Role::Customer), board.look(Role::Operator));

            must_talk(&mut customer.unwrap(), &mut operator.unwrap()).await;
            let took = begun.elapsed();
            assert!(took <= HEAD_START + SLACK, "{door:?} for the {} took {took:?}", shut_for.as_str());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tools_that_meet_at_the_first_relay_go_to_no_other() {
    let board = Board::new(4, DELAY, 1);

    let (customer, operator) = tokio::join!(board.look(Role::Customer), board.look(Role::Operator));

    let dials = SIDES.map(|role| board.dials(0, role));
    assert_eq!(dials, [1, 1]);
    must_talk(&mut customer.unwrap(), &mut operator.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_alone_waits_as_long_as_the_other_may_take_and_dials_seldom() {
    let board = Board::new(4, DELAY, 1);
    for relay in [1, 3] {
        board.set_door(relay, Role::Customer, Door::Full);
    }
    let begun = Instant::now();

    let alone = board.look(Role::Customer).await;

    assert_eq!(alone.err(), Some(MeetError::Timeout(CloseReason::PeerTimeout)));
    assert!((PEER_TIMEOUT..=PEER_TIMEOUT + Duration::from_secs(6)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let dials = [0, 1, 2, 3].map(|relay| board.dials(relay, Role::Customer));
    assert!(dials[0] == 1 && dials[2] == 1 && dials.iter().all(|dials| (1..=6).contains(dials)), "{dials:?}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_lost_is_taken_again_while_the_other_is_still_to_come() {
    for first in SIDES {
        let board = Board::new(2, DELAY, 1);
        board.set_door(1, first.other(), Door::Shut);
        let waits = tokio::spawn({
            let board = board.clone();
            async move { board.look(first).await }
        });
        sleep(Duration::from_secs(3)).await;
        board.cut(0, first);
        sleep(Duration::from_millis(100)).await;

        let second = board.look(first.other()).await.unwrap();
        let (mut one, mut two) = (waits.await.unwrap().unwrap(), second);

        let (customer, operator) = if first == Role::Customer { (&mut one, &mut two) } else { (&mut two, &mut one) };
        must_talk(customer, operator).await;
    }
}

#[tokio::test(start_paused = true)]
async fn tools_meet_in_time_wherever_both_are_received_whatever_fails_for_one_of_them() {
    let mut met = 0;
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let board = Board::new(random.random_range(1..=4usize), DELAY, seed);
        let second_at = Duration::from_millis(random.random_range(0..6_000));
        let latest = set_doors(&board, second_at, &mut random);
        let (first, begun) = (SIDES[random.random_range(0..2)], Instant::now());

        let (waits, comes) = tokio::join!(board.look(first), async {
            sleep(second_at).await;
            board.look(first.other()).await
        });

        let took = begun.elapsed();
        // Who is let in nowhere is told so at once.
        let is_nowhere =
            |error: Option<&MeetError>| matches!(error, Some(MeetError::Unreachable | MeetError::Refused(_)));
        if latest.is_none() || is_nowhere(waits.as_ref().err()) || is_nowhere(comes.as_ref().err()) {
            continue;
        }
        let (Ok(one), Ok(two)) = (waits, comes) else { panic!("seed {seed}: not met by {latest:?}") };
        let (mut customer, mut operator) = if first == Role::Customer { (one, two) } else { (two, one) };
        assert!(latest.is_some_and(|latest| took <= latest), "seed {seed}: {took:?}, not {latest:?}");
        must_talk(&mut customer, &mut operator).await;
        met += 1;
    }
    assert!(150 <= met, "{met} of 400 met");
}

/// Doors that are open, open for good some time, or never do; by when the tools must have met, if they can. The second
/// one begins at `second_at`.
fn set_doors(board: &Board, second_at: Duration, random: &mut StdRng) -> Option<Duration> {
    let begun = Instant::now();
    let mut latest: Option<Duration> = None;
    for relay in 0..board.len() {
        let opens = SIDES.map(|role| {
            let (opens, doors) = match random.random_range(0..4) {
                0 | 1 => return Some(Duration::ZERO),
                2 => (Some(Duration::from_millis(random.random_range(1..20_000))), [Door::Shut, Door::Full].as_slice()),
                _ => (None, [Door::Shut, Door::Full, Door::Silent].as_slice()),
            };
            board.set_door(relay, role, doors[random.random_range(0..doors.len())]);
            if let Some(opens) = opens {
                let board = board.clone();
                tokio::spawn(async move {
                    sleep_until(begun + opens).await;
                    board.set_door(relay, role, Door::Open);
                });
            }
            opens
        });
        if let [Some(one), Some(other)] = opens {
            let opens = one.max(other);
            let dialed = second_at + HEAD_START * u32::try_from(relay).unwrap();
            let by = SLACK + if opens.is_zero() { dialed } else { dialed.max(opens + REST_MAX) };
            latest = Some(latest.map_or(by, |before| before.min(by)));
        }
    }
    latest
}
