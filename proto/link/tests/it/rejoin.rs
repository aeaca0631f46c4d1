//! Tools that are killed and started again: the session goes on under new keys, and nobody else can make it do so.

use std::time::Duration;

use bytes::Bytes;
use link::{
    sealed::{Sealed, SealedEvent, SealedReceiver},
    testing::Board,
};
use proptest::prelude::*;
use proto::{close::CloseReason, message::Message, role::Role, seal::rejoin::Kind};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{key, picture};

/// More than the tools need to find each other again when everything works.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a frame takes in these tests, at most.
const DELAY: Duration = Duration::from_millis(20);

/// The next thing that is not about changing relays.
async fn next(receiver: &mut SealedReceiver) -> SealedEvent {
    loop {
        match timeout(PATIENCE, receiver.recv()).await.unwrap() {
            SealedEvent::Switching | SealedEvent::Resumed => {}
            event @ (SealedEvent::Message(_) | SealedEvent::PeerRestarted | SealedEvent::Ended(_)) => return event,
        }
    }
}

/// Both directions work, and nothing else is heard.
async fn both_arrive(customer: &mut Sealed, operator: &mut Sealed, number: u16) {
    customer.sender.send(key(number)).await.unwrap();
    operator.sender.send(key(number + 1)).await.unwrap();
    assert_eq!(next(&mut operator.receiver).await, SealedEvent::Message(key(number)));
    assert_eq!(next(&mut customer.receiver).await, SealedEvent::Message(key(number + 1)));
}

/// Kills a tool and starts it again.
async fn restarted(board: &Board, role: Role, tool: Sealed) -> Sealed {
    let secret = tool.secret.clone();
    drop(tool);
    timeout(PATIENCE, board.restart(role, secret)).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_customer_that_was_killed_comes_back_and_the_operator_is_told() {
    let board = Board::new(2, DELAY, 1);
    let (mut customer, mut operator) = board.meet().await.unwrap();
    board.lose_manager(true);
    both_arrive(&mut customer, &mut operator, 1).await;
    let (code, killed_at) = (customer.safety_code.clone(), Instant::now());

    let mut customer = restarted(&board, Role::Customer, customer).await;

    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted);
    assert!(killed_at.elapsed() < Duration::from_secs(2), "after {:?}", killed_at.elapsed());
    both_arrive(&mut customer, &mut operator, 3).await;
    assert_eq!((&customer.safety_code, &operator.safety_code), (&code, &code));
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_was_killed_comes_back_as_often_as_it_is_killed() {
    let board = Board::new(3, DELAY, 2);
    let (mut customer, mut operator) = board.meet().await.unwrap();

    for round in 0..10 {
        both_arrive(&mut customer, &mut operator, round * 2).await;
        operator = restarted(&board, Role::Operator, operator).await;
        assert_eq!(next(&mut customer.receiver).await, SealedEvent::PeerRestarted, "round {round}");
    }
    both_arrive(&mut customer, &mut operator, 50).await;
}

#[tokio::test(start_paused = true)]
async fn two_tools_that_were_both_killed_find_each_other() {
    for seed in 0..20 {
        let board = Board::new(3, DELAY, seed);
        let (mut customer, mut operator) = board.meet().await.unwrap();
        both_arrive(&mut customer, &mut operator, 1).await;
        let secrets = (customer.secret.clone(), operator.secret.clone());
        drop((customer, operator));

        let late = Duration::from_millis(seed * 100);
        let first = board.restart(Role::Customer, secrets.0);
        let second = async {
            sleep(late).await;
            board.restart(Role::Operator, secrets.1).await
        };
        let (customer, operator) = timeout(PATIENCE, async { tokio::join!(first, second) }).await.unwrap();

        both_arrive(&mut customer.unwrap(), &mut operator.unwrap(), 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_of_the_return_that_is_lost_with_its_connection_is_made_up_for() {
    for (seed, step) in (0..).zip([Kind::Call, Kind::Answer, Kind::Confirmation]) {
        for (role, relays) in [(Role::Customer, 1), (Role::Operator, 1), (Role::Customer, 3), (Role::Operator, 3)] {
            let board = Board::new(relays, DELAY, seed);
            let (customer, operator) = board.meet().await.unwrap();
            let (dead, mut other) = if role == Role::Customer { (customer, operator) } else { (operator, customer) };
            board.cut_at_step(step);

            let mut back = restarted(&board, role, dead).await;

            assert_eq!(next(&mut other.receiver).await, SealedEvent::PeerRestarted);
            both_arrive(&mut back, &mut other, 1).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_to_the_dead_tool_is_never_said_to_the_new_one() {
    let board = Board::new(2, DELAY, 3);
    let (customer, mut operator) = board.meet().await.unwrap();
    // As much as may be under way, and one that waits for its turn.
    operator.sender.send(picture(8_000_000, 1)).await.unwrap();
    let waiting = tokio::spawn({
        let sender = operator.sender.clone();
        async move { sender.send(picture(5_000_000, 2)).await }
    });
    operator.sender.send(key(1)).await.unwrap();

    let mut customer = restarted(&board, Role::Customer, customer).await;
    waiting.await.unwrap().unwrap();
    // The program does not know yet that somebody else listens.
    operator.sender.send(key(2)).await.unwrap();
    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted);
    operator.sender.send(key(3)).await.unwrap();

    assert_eq!(next(&mut customer.receiver).await, SealedEvent::Message(key(3)));
    assert!(timeout(Duration::from_secs(30), next(&mut customer.receiver)).await.is_err(), "nothing else comes");
}

#[tokio::test(start_paused = true)]
async fn what_the_dead_tool_said_and_nobody_took_is_lost_and_new_credit_is_whole() {
    let board = Board::new(1, DELAY, 4);
    let (customer, mut operator) = board.meet().await.unwrap();
    customer.sender.send(picture(8_000_000, 1)).await.unwrap();
    sleep(Duration::from_secs(5)).await;

    let customer = restarted(&board, Role::Customer, customer).await;
    customer.sender.send(picture(8_000_000, 2)).await.unwrap();

    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted);
    assert!(next(&mut operator.receiver).await == SealedEvent::Message(picture(8_000_000, 2)));
}

#[tokio::test(start_paused = true)]
async fn a_session_moves_to_another_relay_after_a_restart_too() {
    let board = Board::new(2, DELAY, 5);
    let (customer, mut operator) = board.meet().await.unwrap();
    let mut customer = restarted(&board, Role::Customer, customer).await;
    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted);
    both_arrive(&mut customer, &mut operator, 1).await;
    sleep(Duration::from_secs(5)).await;

    for relay in [0, 1] {
        board.kill(relay, true);
        both_arrive(&mut customer, &mut operator, 3).await;
        board.kill(relay, false);
        sleep(Duration::from_secs(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_holds_another_secret_does_not_get_in_and_the_true_tool_still_does() {
    let board = Board::new(2, DELAY, 6);
    let (mut customer, mut operator) = board.meet().await.unwrap();
    let (stranger, _) = Board::new(1, DELAY, 7).meet().await.unwrap();
    both_arrive(&mut customer, &mut operator, 1).await;
    let secret = customer.secret.clone();
    drop(customer);

    let wrong = timeout(Duration::from_secs(20), board.restart(Role::Customer, stranger.secret.clone())).await;

    assert!(wrong.is_err(), "nobody is met");
    let mut customer = timeout(PATIENCE, board.restart(Role::Customer, secret)).await.unwrap().unwrap();
    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted, "once, by the true one");
    both_arrive(&mut customer, &mut operator, 3).await;
}

/// Two living tools after a restart of the customer, and what was said for it.
async fn after_a_restart(board: &Board) -> (Sealed, Sealed, Vec<(Role, Bytes)>) {
    let (customer, mut operator) = board.meet().await.unwrap();
    let customer = restarted(board, Role::Customer, customer).await;
    assert_eq!(next(&mut operator.receiver).await, SealedEvent::PeerRestarted);
    let said = board.said();
    assert_eq!(
        said.iter().map(|(role, _)| *role).collect::<Vec<_>>(),
        [Role::Customer, Role::Operator, Role::Customer]
    );
    (customer, operator, said)
}

#[tokio::test(start_paused = true)]
async fn an_old_call_that_a_relay_repeats_changes_nothing_for_tools_that_live() {
    let board = Board::new(1, DELAY, 8);
    let (mut customer, mut operator, said) = after_a_restart(&board).await;
    let call = said[0].1.clone();

    // To its receiver, and turned round to its sender.
    for to in [Role::Operator, Role::Customer] {
        board.inject(0, to, call.clone());
        sleep(Duration::from_secs(1)).await;
        both_arrive(&mut customer, &mut operator, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_exchange_that_a_relay_repeats_costs_it_the_connection_and_nobody_the_session() {
    let board = Board::new(2, DELAY, 9);
    let (mut customer, mut operator, said) = after_a_restart(&board).await;
    both_arrive(&mut customer, &mut operator, 1).await;

    for step in [vec![0, 2], vec![1], vec![2]] {
        for to in [Role::Operator, Role::Customer] {
            for relay in 0..2 {
                for place in &step {
                    board.inject(relay, to, said[*place].1.clone());
                }
            }
            sleep(Duration::from_secs(15)).await;
            both_arrive(&mut customer, &mut operator, 3).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_calls_again_and_again_is_left() {
    let board = Board::new(2, DELAY, 10);
    let (mut customer, mut operator, said) = after_a_restart(&board).await;
    let answers = |board: &Board| board.said().len();
    let before = answers(&board);

    for _ in 0..100 {
        for relay in 0..2 {
            board.inject(relay, Role::Operator, said[0].1.clone());
        }
        sleep(Duration::from_millis(1)).await;
    }

    sleep(Duration::from_secs(15)).await;
    both_arrive(&mut customer, &mut operator, 1).await;
    assert!(answers(&board) - before < 60, "{} answers to 200 calls", answers(&board) - before);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_session_that_is_over_finds_nobody_and_gives_up() {
    let board = Board::new(2, DELAY, 11);
    let (customer, operator) = board.meet().await.unwrap();
    let secret = operator.secret.clone();
    drop((customer, operator));

    let begun = Instant::now();
    let ended = board.restart(Role::Operator, secret).await;

    assert_eq!(ended.unwrap_err(), CloseReason::TransportLost);
    assert!(begun.elapsed() <= Duration::from_secs(125));
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(usize),
    Cut(usize, Role),
    Restart(Role),
    /// Killed again so many milliseconds after it was started.
    RestartTwice(Role, u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    let role = || prop::sample::select(&[Role::Customer, Role::Operator][..]);
    prop_oneof![
        1 => (0..3usize).prop_map(Fault::Kill),
        1 => (0..3usize, role()).prop_map(|(relay, role)| Fault::Cut(relay, role)),
        2 => role().prop_map(Fault::Restart),
        2 => (role(), 0u64..600).prop_map(|(role, after)| Fault::RestartTwice(role, after)),
    ]
}

/// Lives through the faults, then hears what is said last, whatever came before.
async fn live(relays: usize, delay: Duration, seed: u64, faults: Vec<(u64, Fault)>) {
    let board = Board::new(relays, delay, seed);
    let (customer, operator) = board.meet().await.unwrap();
    let mut tools = [(Role::Customer, customer), (Role::Operator, operator)].map(|(role, tool)| (role, Some(tool)));
    for (pause, fault) in faults {
        for tool in tools.iter().filter_map(|(_, tool)| tool.as_ref()) {
            // Without credit it is not sent, which is no fault.
            drop(timeout(Duration::from_millis(1), tool.sender.send(picture(70_000, 9))).await);
        }
        sleep(Duration::from_millis(pause)).await;
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
            Fault::Restart(role) | Fault::RestartTwice(role, _) => {
                let (_, place) = tools.iter_mut().find(|(other, _)| *other == role).unwrap();
                let secret = place.take().unwrap().secret.clone();
                if let Fault::RestartTwice(role, after) = fault {
                    let first = board.restart(role, secret.clone());
                    drop(timeout(Duration::from_millis(after), first).await);
                }
                let back = timeout(PATIENCE, board.restart(role, secret)).await;
                *place = Some(back.unwrap().unwrap());
            }
        }
    }
    let [(_, Some(mut customer)), (_, Some(mut operator))] = tools else { panic!("both were started again") };
    let hear = async |tool: &mut Sealed, number: u16| loop {
        match tool.receiver.recv().await {
            SealedEvent::Message(Message::Input(input)) if Message::Input(input.clone()) == key(number) => return,
            SealedEvent::Message(message) => assert!(message == picture(70_000, 9)),
            SealedEvent::Switching | SealedEvent::Resumed | SealedEvent::PeerRestarted => {}
            SealedEvent::Ended(reason) => panic!("ended: {reason:?}"),
        }
    };
    let senders = [customer.sender.clone(), operator.sender.clone()];
    let say = async {
        loop {
            for tool in &senders {
                drop(timeout(Duration::from_secs(1), tool.send(key(7))).await);
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let heard = async { tokio::join!(hear(&mut customer, 7), hear(&mut operator, 7)) };
    tokio::select! {
        heard = timeout(PATIENCE, heard) => drop(heard.unwrap()),
        () = say => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn tools_and_relays_that_die_in_any_order_leave_a_session_that_works(
        seed: u64,
        relays in 1usize..=3,
        delay in 0u64..120,
        faults in prop::collection::vec((0u64..1_500, fault()), 0..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(live(relays, Duration::from_millis(delay), seed, faults));
    }
}
