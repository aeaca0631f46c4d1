//! Frames arrive as they were sent, and a receiver that stands still harms nobody but its own session.

use bytes::Bytes;
use link::framed::write_frame;
use ops::config::Span;
use proto::{
    close::CloseReason,
    frame::{Frame, FrameType, Lane},
    hello::RelayWord,
    limits::{FRAME_PAYLOAD_MAX, RELAY_QUEUE_MAX},
    role::Role,
};
use relay::config::Deadlines;
use tokio::time::timeout;

use crate::world::{PATIENCE, Tool, World};

#[tokio::test]
async fn every_byte_arrives_in_both_directions_and_each_lane_in_order() {
    let world = World::start().await;
    let (mut customer, mut operator) = world.pair(1).await;
    let sent: Vec<Frame> = (0..200usize).map(some_frame).collect();

    for (from, to) in [(0, 1), (1, 0)] {
        let mut tools = [&mut customer, &mut operator];
        let Ok([from, to]) = tools.get_disjoint_mut([from, to]) else { panic!("two places") };
        let (from, to): (&mut Tool, &mut Tool) = (from, to);
        let send = async {
            for frame in &sent {
                write_frame(&mut from.connection.writer, frame.clone()).await.unwrap();
            }
        };
        let receive = async {
            let mut got = Vec::new();
            while got.len() < sent.len() {
                got.push(to.next().await.unwrap());
            }
            got
        };
        let ((), got) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.unwrap();
        for lane in Lane::ALL {
            let of_lane = |frames: &[Frame]| -> Vec<Frame> {
                frames.iter().filter(|frame| frame.lane == lane).cloned().collect()
            };
            assert!(of_lane(&got) == of_lane(&sent), "lane {lane:?} is byte-exact and in order");
        }
    }

    let expected: usize = sent.iter().map(|frame| frame.payload.len()).sum();
    let expected = f64::from(u32::try_from(expected).unwrap());
    for direction in ["from_customer", "from_operator"] {
        world.until("all bytes are counted", |world| (forwarded(world, direction) - expected).abs() < 0.5).await;
    }
    world.stop().await;
}

fn forwarded(world: &World, direction: &str) -> f64 {
    let name =
        |lane: Lane| format!("relay_forwarded_bytes_total{{direction=\"{direction}\",lane=\"{}\"}}", lane.as_str());
    Lane::ALL.into_iter().map(|lane| world.metric(&name(lane))).sum()
}

/// Frames of every lane and many lengths, the longest included.
fn some_frame(number: usize) -> Frame {
    let lane = Lane::ALL[number % 4];
    let len = if number.is_multiple_of(50) { FRAME_PAYLOAD_MAX } else { (number * 977) % 9_000 };
    let payload: Vec<u8> = (0..len).map(|place| u8::try_from((place * 31 + number * 7) % 251).unwrap()).collect();
    let flags = u8::from(number.is_multiple_of(3));
    Frame::sealed(lane, flags, Bytes::from(payload)).unwrap()
}

#[tokio::test]
async fn a_frozen_receiver_costs_one_queue_and_ends_as_stalled_while_the_other_direction_moves() {
    let world = World::start_hurried(Deadlines { write_stall: Span::secs(1), ..Deadlines::default() }).await;
    let (customer, mut operator) = world.pair(1).await;
    let mut reader = customer.connection.reader;
    let mut writer = customer.connection.writer;

    // The operator reads nothing. The customer sends as much as is taken; the operator's own frames still arrive.
    let flood = async {
        let frame = Frame::sealed(Lane::Screen, 0, Bytes::from(vec![5; FRAME_PAYLOAD_MAX])).unwrap();
        while write_frame(&mut writer, frame.clone()).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let other_direction = async {
        for number in 0..20u8 {
            operator.send(Lane::Input, vec![number]).await;
            let frame = reader.next().await.unwrap().unwrap();
            assert_eq!(frame.payload().as_ref(), [number]);
            assert!(world.relay.queued_bytes() <= RELAY_QUEUE_MAX + FRAME_PAYLOAD_MAX);
        }
        loop {
            let frame = reader.next().await.unwrap().unwrap().to_frame();
            if let Some(word) = RelayWord::parse(&frame) {
                return word;
            }
        }
    };
    let word = timeout(PATIENCE, async {
        tokio::select! {
            word = other_direction => word,
            () = flood => panic!("a flood does not end"),
        }
    });

    assert_eq!(word.await.unwrap(), RelayWord::PeerGone(CloseReason::WriteStalled));
    assert!(world.metric("relay_write_stalls_total") >= 1.0);
    assert_eq!(world.relay.queued_bytes(), 0, "what waited for the stalled side is dropped");
    world.stop().await;
}

#[tokio::test]
async fn input_passes_the_screen_frames_that_wait_for_their_rate() {
    let world = World::start().await;
    let mut side = world.side(Role::Operator, 1);
    side.ticket.rate_max = 200_000;
    let (mut operator, _) = world.try_join(&side, 1).await.unwrap();
    let (mut customer, _) = world.try_join(&world.side(Role::Customer, 1), 1).await.unwrap();
    assert_eq!(operator.word().await, Some(RelayWord::PeerPresent));

    for _ in 0..20 {
        operator.send(Lane::Screen, vec![1; 20_000]).await;
    }
    operator.send(Lane::Input, b"key".to_vec()).await;

    let mut screens = 0;
    while customer.next().await.unwrap().lane == Lane::Screen {
        screens += 1;
    }
    assert!(screens < 20, "the key did not wait for all pictures");
    while screens < 20 {
        assert_eq!(customer.next().await.unwrap().lane, Lane::Screen);
        screens += 1;
    }
    assert!(world.relay.metrics_text().contains("relay_limit_wait_seconds_count{scope=\"direction\"}"));
    world.stop().await;
}

#[tokio::test]
async fn pings_are_answered_while_a_tool_waits_alone() {
    let world = World::start().await;
    let mut tool = world.join(Role::Customer, 1).await;
    let ping = Frame::plain(FrameType::Ping, Bytes::from_static(b"12345678")).unwrap();

    write_frame(&mut tool.connection.writer, ping).await.unwrap();

    let pong = tool.next().await.unwrap();
    assert_eq!((pong.kind, pong.payload.as_ref()), (FrameType::Pong, b"12345678".as_ref()));
    world.stop().await;
}
