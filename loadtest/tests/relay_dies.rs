//! Sessions that outlive their relay, on real programs: text that is typed into an editor while relays die arrives
//! whole, once and in order, and the picture is exact afterwards.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use loadtest::{
    desktop::pause,
    editor::{Editor, PIECES},
    stage::{PATIENCE, Ways},
    tool::Way,
    world::World,
};

#[tokio::test]
async fn text_typed_over_tcp_while_relays_die_arrives_whole_once_and_in_order() {
    two_relays_die_over("tcp").await;
}

#[tokio::test]
async fn text_typed_over_quic_while_relays_die_arrives_whole_once_and_in_order() {
    two_relays_die_over("quic").await;
}

#[tokio::test]
async fn a_session_moves_from_quic_to_a_relay_that_is_reached_by_tcp_only() {
    let mut world = World::start().await.unwrap();
    // A relay with less room comes second.
    world.add_relay_with("quic = false\n[limits]\nsessions = 64\n").await.unwrap();
    let mut editor = open(&Ways::default(), world).await;
    assert_eq!(editor.stage.carried_over().await.unwrap(), ("quic".to_owned(), "quic".to_owned()));

    for (index, piece) in PIECES.iter().enumerate() {
        editor.type_piece(piece).await.unwrap();
        if index == 3 {
            editor.stage.world.kill_relay(0);
        }
    }

    editor.check().await.unwrap();
    assert_eq!(editor.stage.carried_over().await.unwrap(), ("tcp".to_owned(), "tcp".to_owned()));
    editor.stage.end().await.unwrap();
}

#[tokio::test]
async fn a_relay_that_is_stopped_hands_its_sessions_on_and_leaves() {
    let mut editor = open(&Ways::default(), World::start_with(2).await.unwrap()).await;
    for (index, piece) in PIECES.iter().enumerate() {
        editor.type_piece(piece).await.unwrap();
        if index == 4 {
            editor.stage.world.drain_relay(0);
        }
    }
    editor.check().await.unwrap();
    let left = editor.stage.world.relay_left(0, PATIENCE).await.unwrap();
    assert!(left, "a relay that has nobody any more ends");
    editor.stage.end().await.unwrap();
}

async fn two_relays_die_over(transport: &'static str) {
    let ways = Ways { operator: Way::only(transport), client: Way::only(transport) };
    let mut editor = open(&ways, World::start_with(3).await.unwrap()).await;
    for (index, piece) in PIECES.iter().enumerate() {
        editor.type_piece(piece).await.unwrap();
        match index {
            3 => editor.stage.world.kill_relay(0),
            // A person types on; after a death the tools look for a new spare.
            5 => pause(Duration::from_secs(3)).await,
            8 => editor.stage.world.kill_relay(1),
            _ => {}
        }
    }
    editor.check().await.unwrap();
    assert_eq!(editor.stage.carried_over().await.unwrap(), (transport.to_owned(), transport.to_owned()));
    editor.stage.end().await.unwrap();
}

async fn open(ways: &Ways, world: World) -> Editor {
    let editor = Editor::open(ways, world).await.unwrap();
    // The spare path is there within a round trip or two.
    pause(Duration::from_secs(1)).await;
    editor
}
