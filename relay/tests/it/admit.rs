//! Closed by default: every hello that is not exactly right is refused with its reason, and counted.

use link::{framed::write_frame, join::JoinError};
use proto::{
    close::CloseReason,
    hello::{Hello, RelayWord},
    role::Role,
    ticket::{ProofKey, SigningKey},
};
use relay::config::Config;

use crate::world::{Side, World, config, refused};

async fn assert_refused(world: &World, ticket: &str, proof_key: &ProofKey, reason: CloseReason) {
    let joined = world.try_join_with(ticket, proof_key, 1).await;

    assert_eq!(joined.err(), Some(JoinError::Refused(reason)));
    assert!(world.metric(&refused(reason)) >= 1.0, "{reason:?} is counted");
}

#[tokio::test]
async fn a_ticket_of_an_unknown_key_is_refused() {
    let world = World::start().await;
    let Side { proof_key, ticket } = world.side(Role::Customer, 1);
    let other_key = SigningKey::from_seed("test", [8; 32]).unwrap();
    let other_name = SigningKey::from_seed("other", [7; 32]).unwrap();

    assert_refused(&world, &ticket.sign(&other_key).unwrap(), &proof_key, CloseReason::TicketUnknown).await;
    assert_refused(&world, &ticket.sign(&other_name).unwrap(), &proof_key, CloseReason::TicketUnknown).await;
    assert_refused(&world, "v4.public.nonsense", &proof_key, CloseReason::TicketUnknown).await;
    world.stop().await;
}

#[tokio::test]
async fn a_ticket_whose_time_is_over_is_refused() {
    let world = World::start().await;
    let Side { proof_key, mut ticket } = world.side(Role::Customer, 1);
    ticket.issued_at_ms -= 7_200_000;
    ticket.expires_at_ms -= 7_200_000;

    assert_refused(&world, &ticket.sign(&world.key).unwrap(), &proof_key, CloseReason::TicketExpired).await;
    world.stop().await;
}

#[tokio::test]
async fn a_ticket_for_other_relays_is_refused() {
    let world = World::start().await;
    let Side { proof_key, mut ticket } = world.side(Role::Customer, 1);
    for relay in &mut ticket.relays {
        relay.spki = "0".repeat(64);
    }

    assert_refused(&world, &ticket.sign(&world.key).unwrap(), &proof_key, CloseReason::TicketElsewhere).await;
    world.stop().await;
}

#[tokio::test]
async fn a_ticket_in_the_wrong_hands_is_refused() {
    let world = World::start().await;
    let Side { ticket, .. } = world.side(Role::Customer, 1);
    let thief = ProofKey::random(&mut rand_core::OsRng);

    assert_refused(&world, &ticket.sign(&world.key).unwrap(), &thief, CloseReason::ProofWrong).await;
    world.stop().await;
}

#[tokio::test]
async fn a_hello_recorded_on_another_connection_is_refused() {
    let world = World::start().await;
    let side = world.side(Role::Customer, 1);
    let text = side.ticket.sign(&world.key).unwrap();
    let mut tool = world.dial().await;
    let foreign = proto::hello::proof_text(&[0; 32], &text, 1);
    let hello = Hello {
        proof_key: side.proof_key.public(),
        generation: 1,
        signature: side.proof_key.sign(&foreign),
        ticket: text,
    };

    write_frame(&mut tool.connection.writer, hello.to_frame().unwrap()).await.unwrap();

    assert_eq!(tool.last_word().await, Some(RelayWord::Refused(CloseReason::ProofWrong)));
    world.stop().await;
}

#[tokio::test]
async fn a_relay_without_any_key_admits_nobody() {
    let token = tempfile::NamedTempFile::new().unwrap();
    let config = Config {
        ticket_keys: Vec::new(),
        manager: Some("https://127.0.0.1:1".to_owned()),
        token_file: Some(token.path().to_owned()),
        ..config()
    };
    let world = World::start_with(config).await;
    let side = world.side(Role::Customer, 1);

    let joined = world.try_join(&side, 1).await;

    assert_eq!(joined.err(), Some(JoinError::Refused(CloseReason::TicketUnknown)));
    world.stop().await;
}
