//! Input that goes over two relays at once: the faster one counts, nothing comes twice, and neither holds up the other.

use std::time::Duration;

use bytes::Bytes;
use link::{
    framed::to_wire,
    sealed::{Sealed, SealedEvent, SealedReceiver},
    testing::Board,
};
use proto::{
    frame::{Frame, Lane},
    message::Message,
    role::Role,
};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{key, picture};

/// How much longer the slow relay takes: less than what makes a tool leave it.
const SLOWER: Duration = Duration::from_secs(1);
/// Much less than that, and enough for a frame over a good relay.
const SOON: Duration = Duration::from_millis(100);

/// Two tools with a spare path between them.
async fn meet(board: &Board) -> (Sealed, Sealed) {
    let met = board.meet().await.unwrap();
    sleep(Duration::from_secs(2)).await;
    met
}

async fn next(receiver: &mut SealedReceiver) -> Message {
    loop {
        match receiver.recv().await {
            SealedEvent::Message(message) => return message,
            SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
            SealedEvent::Ended(reason) => panic!("ended: {reason:?}"),
        }
    }
}

/// The operator says numbered keys; how long the slowest of them was on its way.
async fn slowest(operator: &Sealed, customer: &mut Sealed, numbers: std::ops::Range<u16>) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in numbers {
        let begun = Instant::now();
        operator.sender.send(key(number)).await.unwrap();
        assert_eq!(next(&mut customer.receiver).await, key(number));
        slowest = slowest.max(begun.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    slowest
}

#[tokio::test(start_paused = true)]
async fn while_one_of_two_relays_is_slow_input_is_not_and_nothing_comes_twice() {
    for slow in [0, 1] {
        let board = Board::new(2, Duration::from_millis(5), 7);
        let (mut customer, operator) = meet(&board).await;
        assert!(slowest(&operator, &mut customer, 0..10).await < SOON);

        board.slow_down(slow, SLOWER);
        assert!(slowest(&operator, &mut customer, 10..40).await < SOON, "relay {slow} is slow");
        board.slow_down(slow, Duration::ZERO);
        sleep(2 * SLOWER).await;

        // Both frames of each key have come by now.
        assert!(slowest(&operator, &mut customer, 40..50).await < SOON);
        assert!(customer.sender.moved_to().is_none() && operator.sender.moved_to().is_none(), "nobody has moved");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_spare_path_input_waits_for_the_only_relay() {
    let board = Board::new(1, Duration::from_millis(5), 7);
    let (mut customer, operator) = meet(&board).await;

    board.slow_down(0, SLOWER);

    assert!(SLOWER <= slowest(&operator, &mut customer, 0..3).await);
}

#[tokio::test(start_paused = true)]
async fn pictures_go_over_the_active_path_only() {
    let board = Board::new(2, Duration::from_millis(5), 7);
    let (customer, mut operator) = meet(&board).await;
    board.slow_down(0, SLOWER);
    let begun = Instant::now();

    customer.sender.send(picture(1_000, 1)).await.unwrap();
    assert_eq!(next(&mut operator.receiver).await, picture(1_000, 1));

    assert!(SLOWER <= begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn input_comes_once_and_in_order_when_the_spare_relay_goes_and_comes_while_the_other_is_slow() {
    let board = Board::new(2, Duration::from_millis(5), 7);
    let (mut customer, operator) = meet(&board).await;
    board.slow_down(0, SLOWER);
    let breaking = async {
        for _ in 0..6 {
            sleep(Duration::from_millis(330)).await;
            board.cut(1, Role::Customer);
            sleep(Duration::from_millis(330)).await;
            board.cut(1, Role::Operator);
        }
    };
    let talking = async {
        for number in 0..200 {
            operator.sender.send(key(number)).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    let hearing = async {
        for number in 0..200 {
            assert_eq!(next(&mut customer.receiver).await, key(number));
        }
    };

    timeout(Duration::from_mins(1), async { tokio::join!(breaking, talking, hearing) }).await.unwrap();

    assert!(slowest(&operator, &mut customer, 200..210).await < 2 * SLOWER);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_hears_a_tool_no_more_is_left_although_copies_arrive_over_the_other() {
    for role in [Role::Operator, Role::Customer] {
        let board = Board::new(2, Duration::from_millis(5), 7);
        let (customer, operator) = meet(&board).await;
        let (Sealed { sender: client, receiver: mut seen, .. }, Sealed { sender: desk, receiver: mut heard, .. }) =
            (customer, operator);
        let hearing = tokio::spawn(async move { while !matches!(seen.recv().await, SealedEvent::Ended(_)) {} });
        let seeing = tokio::spawn(async move { while !matches!(heard.recv().await, SealedEvent::Ended(_)) {} });

        board.set_unheard(0, role, true);
        // Acks of the keys come over the relay that hears nothing of this tool: it still speaks to it.
        for number in 0..60 {
            desk.send(key(number)).await.unwrap();
            client.send(picture(100, u8::try_from(number).unwrap())).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }

        let has_moved = desk.moved_to().is_some() && client.moved_to().is_some();
        assert!(has_moved, "after 3 s both tools are at the other relay when the first does not hear the {role:?}");
        hearing.abort();
        seeing.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_the_spare_relay_makes_up_costs_its_path_and_not_the_session() {
    let board = Board::new(2, Duration::from_millis(5), 7);
    let (mut customer, operator) = meet(&board).await;
    // The number that is due, and nothing that opens.
    let made_up = Frame::sealed(Lane::Input, 0, Bytes::from(vec![0; 60])).unwrap();

    board.inject(1, Role::Customer, to_wire(&made_up));
    sleep(Duration::from_secs(2)).await;

    assert!(slowest(&operator, &mut customer, 0..5).await < SOON);
    board.slow_down(0, SLOWER);
    assert!(slowest(&operator, &mut customer, 5..9).await < SOON, "there is a spare path again");
}
