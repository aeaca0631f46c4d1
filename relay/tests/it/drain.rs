//! Leaving without harm.

use link::join::JoinError;
use proto::{
    close::CloseReason,
    frame::{FrameType, Lane},
    hello::RelayWord,
    role::Role,
};
use tokio::time::timeout;

use crate::world::{PATIENCE, SHORT, World, config, refused};

#[tokio::test]
async fn a_draining_relay_takes_nobody_new_and_ends_when_its_last_session_has() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair(1).await;
    let mut waiting = world.join(Role::Customer, 2).await;

    world.shutdown.drain();

    assert_eq!(waiting.last_word().await, Some(RelayWord::Refused(CloseReason::Draining)));
    let late = world.try_join(&world.side(Role::Customer, 3), 1).await;
    assert_eq!(late.err(), Some(JoinError::Refused(CloseReason::Draining)));
    assert!(world.metric(&refused(CloseReason::Draining)) >= 1.0);
    assert!(world.metric("relay_draining") > 0.5);
    assert_eq!(operator.next().await.unwrap().kind, FrameType::Goaway, "it is told to go on elsewhere");
    customer.send(Lane::Screen, b"work goes on".to_vec()).await;
    assert_eq!(operator.next().await.unwrap().payload.as_ref(), b"work goes on");

    customer.connection.farewell().await;
    assert_eq!(operator.last_word().await, Some(RelayWord::PeerGone(CloseReason::CustomerEnded)));
    drop((operator, waiting));
    timeout(PATIENCE, world.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn who_comes_back_to_a_draining_relay_is_sent_on_too() {
    let world = World::start().await;
    let (customer, operator) = (world.side(Role::Customer, 1), world.side(Role::Operator, 1));
    let _first = world.try_join(&customer, 1).await.unwrap();
    let (mut peer, _) = world.try_join(&operator, 1).await.unwrap();
    world.shutdown.drain();
    assert_eq!(peer.next().await.unwrap().kind, FrameType::Goaway);

    let (mut back, present) = world.try_join(&customer, 2).await.unwrap();

    assert!(present, "its session is here still");
    assert_eq!(back.next().await.unwrap().kind, FrameType::Goaway, "else it would stay until it is ended by force");
}

#[tokio::test]
async fn a_second_signal_ends_every_session_at_once() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair(1).await;

    world.shutdown.force();

    let word = Some(RelayWord::Refused(CloseReason::RelayStopped));
    let (first, second) = tokio::join!(customer.last_word(), operator.last_word());
    assert_eq!((first, second), (word, word));
    timeout(PATIENCE, world.serving).await.unwrap().unwrap().unwrap();
    assert_eq!(world.relay.sessions(), 0);
}

#[tokio::test]
async fn draining_has_an_end() {
    let mut config = config();
    config.limits.drain = SHORT;
    let world = World::start_with(config).await;
    let (mut customer, _operator) = world.pair(1).await;

    world.shutdown.drain();

    assert_eq!(customer.last_word().await, Some(RelayWord::Refused(CloseReason::RelayStopped)));
    timeout(PATIENCE, world.serving).await.unwrap().unwrap().unwrap();
}
