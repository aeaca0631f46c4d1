//! Two sides, never three, and the end of a session.

use proto::{close::CloseReason, frame::Lane, hello::RelayWord, role::Role};

use link::join::JoinError;
use relay::config::Deadlines;

use crate::world::{SHORT, World, config, refused};

#[tokio::test]
async fn a_third_party_is_refused_as_crowded_and_the_pair_goes_on() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair(1).await;

    let third = world.try_join(&world.side(Role::Operator, 1), 5).await;

    assert_eq!(third.err(), Some(JoinError::Refused(CloseReason::Crowded)));
    assert!(world.metric(&refused(CloseReason::Crowded)) >= 1.0);
    customer.send(Lane::Screen, b"still here".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"still here");
    world.stop().await;
}

#[tokio::test]
async fn a_newer_connection_of_the_same_tool_displaces_the_older_one() {
    let world = World::start().await;
    let side = world.side(Role::Customer, 1);
    let (mut older, _) = world.try_join(&side, 1).await.unwrap();
    let (mut operator, _) = world.try_join(&world.side(Role::Operator, 1), 1).await.unwrap();
    assert_eq!(older.word().await, Some(RelayWord::PeerPresent));

    let (mut newer, present) = world.try_join(&side, 2).await.unwrap();
    let stale = world.try_join(&side, 2).await;

    assert!(present);
    assert_eq!(older.last_word().await, Some(RelayWord::Refused(CloseReason::Displaced)));
    assert_eq!(stale.err(), Some(JoinError::Refused(CloseReason::Displaced)));
    assert_eq!(operator.word().await, Some(RelayWord::PeerPresent), "the operator hears that the customer came back");
    newer.send(Lane::Input, b"from the newer".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"from the newer");
    operator.send(Lane::Input, b"to the newer".to_vec()).await;
    assert_eq!(newer.next().await.unwrap().payload.as_ref(), b"to the newer");
    world.stop().await;
}

#[tokio::test]
async fn what_a_side_said_before_it_left_arrives_before_the_news_of_its_leaving() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair(1).await;

    for number in 0..20u8 {
        customer.send(Lane::Screen, vec![number; 20_000]).await;
    }
    customer.connection.farewell().await;

    for number in 0..20u8 {
        assert_eq!(operator.next().await.unwrap().payload.as_ref(), vec![number; 20_000]);
    }
    assert_eq!(operator.last_word().await, Some(RelayWord::PeerGone(CloseReason::CustomerEnded)));
    world.until("the table is empty", |world| world.relay.sessions() == 0).await;
    assert!(world.metric("relay_sessions_ended_total{reason=\"customer_ended\"}") >= 1.0);
    assert!((world.metric("relay_sessions_active") - 0.0).abs() < 0.5);
    world.stop().await;
}

#[tokio::test]
async fn a_lost_side_is_told_to_the_other_within_a_moment() {
    let world = World::start().await;
    let (customer, mut operator) = world.pair(1).await;

    drop(customer);

    assert_eq!(operator.word().await, Some(RelayWord::PeerGone(CloseReason::PeerLost)));
    world.stop().await;
}

#[tokio::test]
async fn a_side_that_stays_alone_is_sent_away() {
    let world = World::start_hurried(Deadlines { peer: SHORT, ..Deadlines::default() }).await;
    let mut alone = world.join(Role::Customer, 1).await;

    assert_eq!(alone.last_word().await, Some(RelayWord::Refused(CloseReason::PeerTimeout)));
    world.until("the table is empty", |world| world.relay.sessions() == 0).await;
    assert!(world.metric("relay_sessions_ended_total{reason=\"peer_timeout\"}") >= 1.0);
    assert!((world.metric("relay_sessions_waiting") - 0.0).abs() < 0.5);
    world.stop().await;
}

#[tokio::test]
async fn a_session_ends_at_its_hard_end_whoever_is_busy() {
    let world = World::start().await;
    let mut side = world.side(Role::Customer, 1);
    side.ticket.hard_end_at_ms = side.ticket.issued_at_ms + 3_000;
    let (mut customer, _) = world.try_join(&side, 1).await.unwrap();
    let (mut operator, _) = world.try_join(&world.side(Role::Operator, 1), 1).await.unwrap();

    assert_eq!(customer.last_word().await, Some(RelayWord::Refused(CloseReason::HardEnd)));
    assert_eq!(operator.last_word().await, Some(RelayWord::PeerGone(CloseReason::HardEnd)));
    world.stop().await;
}

#[tokio::test]
async fn a_full_table_takes_no_other_session_but_the_second_side_of_its_own() {
    let mut config = config();
    config.limits.sessions = 1;
    let world = World::start_with(config).await;
    let _first = world.join(Role::Customer, 1).await;

    let second = world.try_join(&world.side(Role::Customer, 2), 1).await;
    let own = world.try_join(&world.side(Role::Operator, 1), 1).await;

    assert_eq!(second.err(), Some(JoinError::Refused(CloseReason::Overloaded)));
    assert!(own.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let mut config = config();
    config.limits.connections_per_address = 2;
    let world = World::start_with(config).await;
    let _pair = world.pair(1).await;

    let third = link::tcp::dial(&world.address.to_string(), &world.relay.spki()).await;

    assert!(third.is_err());
    world.until_metric("relay_connections_total{result=\"address_full\",transport=\"tcp\"}", 1.0).await;
    world.stop().await;
}
