use proptest::prelude::*;

use super::*;

fn keys() -> SessionKeys {
    let rejoin = RejoinSecret::new(Zeroizing::new([3; 32]), 1_000_042_007);
    let (customer, operator) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
    SessionKeys { customer, operator, rejoin, begin: Begin::AtZero }
}

#[test]
fn keys_of_a_rejoin_count_from_numbers_that_no_earlier_frame_has() {
    let rejoined = || SessionKeys { begin: Begin::AtDrawn, ..keys() };
    let (mut before, mut opens_before) = pair(10);
    let (mut after, _) = rejoined().split(Role::Customer);
    let (_, mut opens_after) = rejoined().split(Role::Operator);
    for lane in Lane::ALL {
        for n in 0..3 {
            let (old, new) = (before.seal(lane, 0, &[n]).unwrap(), after.seal(lane, 0, &[n]).unwrap());
            assert!(opens_after.is_foreign(&old) && opens_before.is_foreign(&new));
            assert!(!opens_before.is_foreign(&old) && !opens_after.is_foreign(&new));
            assert_eq!(opens_after.open(&new).unwrap(), [n], "the numbers of both sides are the same");
            opens_before.open(&old).unwrap();
        }
    }
    assert_eq!(after.due(), opens_after.due());
    assert_ne!(after.due()[0], after.due()[1], "each lane has a beginning of its own");
}

#[test]
fn before_a_move_nothing_is_stale() {
    let (mut sealer, mut opener) = pair(10);
    let frames: Vec<_> = (0..3).map(|n| sealer.seal(Lane::Input, 0, &[n]).unwrap()).collect();

    opener.open(&frames[0]).unwrap();

    assert!(frames.iter().all(|frame| !opener.is_stale(frame)));
}

#[test]
fn after_a_move_what_comes_late_or_twice_is_stale_and_a_later_gap_is_not() {
    let (mut sealer, mut opener) = pair(10);
    let frames: Vec<_> = (0..6).map(|n| sealer.seal(Lane::Input, 0, &[n]).unwrap()).collect();
    opener.open(&frames[0]).unwrap();

    opener.move_on();

    assert!(opener.is_stale(&frames[0]), "it was opened");
    assert!(opener.is_stale(&frames[2]), "frame 1 is due and comes again");
    for frame in &frames[1..=2] {
        assert!(!opener.is_stale(frame));
        opener.open(frame).unwrap();
    }
    assert!(opener.is_stale(&frames[1]), "a copy stays a copy");
    assert!(!opener.is_stale(&frames[4]), "the lane goes on, so nothing is missing any more");
    assert_eq!(opener.open(&frames[4]), Err(SealError::Sequence { found: 4, expected: 3 }));
}

#[test]
fn of_a_frame_and_its_copy_the_first_to_come_is_opened_and_the_other_one_is_old() {
    let (mut sealer, mut opener) = pair(10);
    let frames: Vec<_> = (0..6).map(|n| sealer.seal(Lane::Input, 0, &[n]).unwrap()).collect();
    opener.open(&frames[0]).unwrap();

    assert_eq!(opener.copied(&frames[0]), Copied::Old);
    assert_eq!(opener.copied(&frames[2]), Copied::Early, "frame 1 is due");
    for frame in &frames[1..=2] {
        assert_eq!(opener.copied(frame), Copied::Due);
        opener.open_copy(frame).unwrap();
    }
    for frame in &frames[1..=2] {
        assert!(opener.is_stale(frame), "the frames themselves");
    }
    assert!(!opener.is_stale(&frames[2]), "they come once");
    opener.open(&frames[3]).unwrap();
    assert_eq!(opener.copied(&frames[3]), Copied::Old);
    assert_eq!(opener.open(&frames[2]), Err(SealError::Sequence { found: 2, expected: 4 }));
}

#[test]
fn a_copy_that_somebody_made_up_breaks_nothing() {
    let (mut sealer, mut opener) = pair(10);
    let frame = sealer.seal(Lane::Input, 0, b"key").unwrap();
    let mut forged = frame.payload.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Frame { payload: forged.into(), ..frame.clone() };
    let short = Frame { payload: Bytes::from_static(b"short"), ..frame.clone() };

    for made_up in [&forged, &short] {
        assert_eq!(opener.copied(made_up), Copied::Due);
        assert!(opener.open_copy(made_up).is_err());
    }

    assert_eq!(opener.open(&frame).unwrap(), b"key");
    assert_eq!(opener.due()[1], 1);
}

#[test]
fn a_copy_does_not_end_the_gap_that_a_move_leaves() {
    let (mut sealer, mut opener) = pair(10);
    let frames: Vec<_> = (0..4).map(|n| sealer.seal(Lane::Input, 0, &[n]).unwrap()).collect();
    opener.move_on();

    opener.open_copy(&frames[0]).unwrap();

    assert!(opener.is_stale(&frames[2]), "frame 1 is due over this connection, too, and comes again");
    assert!(opener.is_stale(&frames[0]));
    assert!(!opener.is_stale(&frames[1]));
}

#[test]
fn what_was_never_under_way_is_not_stale() {
    let (mut sealer, mut opener) = pair(1 << 20);
    let lost = sealer.seal(Lane::Input, 0, &[0; 1000]).unwrap();
    opener.move_on();

    let mut dropped = 0;
    while opener.is_stale(&sealer.seal(Lane::Input, 0, &[0; 1000]).unwrap()) {
        dropped += 1;
    }

    assert!((300..1_000).contains(&dropped), "{dropped}");
    assert!(!opener.is_stale(&lost), "what is due opens");
}

/// The customer's sealer and the operator's opener.
fn pair(every: u64) -> (Sealer, Opener) {
    let (sealer, _) = keys().split_turning(Role::Customer, every);
    let (_, opener) = keys().split_turning(Role::Operator, every);
    (sealer, opener)
}

#[test]
fn what_one_side_seals_the_other_opens() {
    let (mut customer_seals, mut customer_opens) = keys().split(Role::Customer);
    let (mut operator_seals, mut operator_opens) = keys().split(Role::Operator);
    let down = customer_seals.seal(Lane::Screen, FLAG_MORE, b"pixels").unwrap();
    let up = operator_seals.seal(Lane::Input, 0, b"").unwrap();
    assert_eq!(operator_opens.open(&down).unwrap(), b"pixels");
    assert_eq!(customer_opens.open(&up).unwrap(), b"");
    assert_eq!((down.payload.len(), up.payload.len()), (6 + limits::SEAL_OVERHEAD, limits::SEAL_OVERHEAD));
}

#[test]
fn the_longest_plain_text_fills_the_longest_frame() {
    let (mut sealer, mut opener) = pair(2);
    let longest = vec![7; limits::SEALED_PLAIN_MAX];
    let frame = sealer.seal(Lane::Bulk, 0, &longest).unwrap();
    assert_eq!(frame.payload.len(), limits::FRAME_PAYLOAD_MAX);
    assert_eq!(opener.open(&frame).unwrap(), longest);
    let too_long = vec![7; limits::SEALED_PLAIN_MAX + 1];
    assert_eq!(sealer.seal(Lane::Bulk, 0, &too_long), Err(SealError::TooLong(too_long.len())));
}

#[test]
fn a_refused_call_uses_no_number() {
    let (mut sealer, mut opener) = pair(3);
    assert_eq!(sealer.seal(Lane::Control, 2, b"x"), Err(SealError::Flags(2)));
    let frame = sealer.seal(Lane::Control, 0, b"x").unwrap();
    assert_eq!(opener.open(&frame).unwrap(), b"x");
}

#[test]
fn a_repeated_frame_does_not_open_and_nothing_after_it() {
    let (mut sealer, mut opener) = pair(3);
    let (first, second) = (sealer.seal(Lane::Input, 0, b"1").unwrap(), sealer.seal(Lane::Input, 0, b"2").unwrap());
    opener.open(&first).unwrap();
    assert_eq!(opener.open(&first), Err(SealError::Sequence { found: 0, expected: 1 }));
    assert_eq!(opener.open(&second), Err(SealError::Broken));
}

#[test]
fn a_frame_after_a_gap_does_not_open() {
    let (mut sealer, mut opener) = pair(3);
    sealer.seal(Lane::Input, 0, b"1").unwrap();
    let second = sealer.seal(Lane::Input, 0, b"2").unwrap();
    assert_eq!(opener.open(&second), Err(SealError::Sequence { found: 1, expected: 0 }));
}

#[test]
fn a_frame_on_another_lane_or_with_another_flag_does_not_open() {
    for change in [
        |frame: &mut Frame| frame.lane = Lane::Control,
        |frame: &mut Frame| frame.flags = FLAG_MORE,
        |frame: &mut Frame| frame.flags = 0x80,
    ] {
        let (mut sealer, mut opener) = pair(3);
        let mut frame = sealer.seal(Lane::Screen, 0, b"x").unwrap();
        change(&mut frame);
        assert_eq!(opener.open(&frame), Err(SealError::Altered));
    }
}

#[test]
fn a_frame_that_is_not_sealed_or_too_short_does_not_open() {
    for frame in [
        Frame::plain(FrameType::Prove, Bytes::from_static(&[0; 40])).unwrap(),
        Frame::sealed(Lane::Control, 0, Bytes::from_static(&[0; limits::SEAL_OVERHEAD - 1])).unwrap(),
        Frame::sealed(Lane::Control, 0, Bytes::new()).unwrap(),
    ] {
        let (_, mut opener) = pair(3);
        assert_eq!(opener.open(&frame), Err(SealError::NotSealed));
        assert_eq!(opener.open(&frame), Err(SealError::Broken));
    }
}

#[test]
fn a_side_does_not_open_its_own_frames() {
    let (mut sealer, mut own_opener) = keys().split(Role::Customer);
    let frame = sealer.seal(Lane::Control, 0, b"x").unwrap();
    assert_eq!(own_opener.open(&frame), Err(SealError::Altered));
}

#[test]
fn both_sides_turn_the_ratchet_at_the_same_frame_of_each_lane() {
    let (mut sealer, mut opener) = pair(3);
    for round in 0..10u8 {
        for lane in [Lane::Control, Lane::Screen, Lane::Screen] {
            let frame = sealer.seal(lane, 0, &[round]).unwrap();
            assert_eq!(opener.open(&frame).unwrap(), [round]);
        }
    }
    let now = |lane: Lane| sealer.lanes[usize::from(lane.code())].key.clone();
    let first = |lane| Chain::new(&keys().customer, lane, 3, 0).key;
    assert_ne!(now(Lane::Screen), first(Lane::Screen), "after 20 frames the first key is gone");
    assert_eq!(now(Lane::Bulk), first(Lane::Bulk), "an idle lane stays");
}

#[test]
fn sides_with_different_ratchets_part_at_the_first_turn() {
    let (mut sealer, _) = pair(3);
    let (_, mut opener) = pair(4);
    for _ in 0..3 {
        let frame = sealer.seal(Lane::Control, 0, b"x").unwrap();
        opener.open(&frame).unwrap();
    }
    let frame = sealer.seal(Lane::Control, 0, b"x").unwrap();
    assert_eq!(opener.open(&frame), Err(SealError::Altered));
}

#[test]
fn a_lane_ends_before_its_numbers_wrap() {
    let (mut sealer, mut opener) = pair(3);
    for chain in [&mut sealer.lanes[0], &mut opener.lanes[0]] {
        chain.sequence = SEQUENCE_SPAN - 1;
    }
    let last = sealer.seal(Lane::Control, 0, b"x").unwrap();
    opener.open(&last).unwrap();
    assert_eq!(sealer.seal(Lane::Control, 0, b"x"), Err(SealError::Exhausted));
    assert_eq!(opener.open(&last), Err(SealError::Exhausted));
}

#[test]
fn keys_print_as_nothing_and_the_code_has_six_digits() {
    assert_eq!(keys().safety_code(), "042 007");
    assert_eq!(format!("{:?} {:?}", keys(), pair(3)), "SessionKeys(…) (Sealer(…), Opener(…))");
}

/// What a relay may do to one frame.
#[derive(Debug, Clone)]
enum Fault {
    None,
    Drop,
    Repeat,
    SwapWithNext,
    FlipBit(usize),
    Cut(usize),
    Grow,
    Lane(Lane),
    Flags,
}

fn lane() -> impl Strategy<Value = Lane> {
    prop::sample::select(Lane::ALL.as_slice())
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        1 => Just(Fault::Drop),
        1 => Just(Fault::Repeat),
        1 => Just(Fault::SwapWithNext),
        1 => any::<usize>().prop_map(Fault::FlipBit),
        1 => any::<usize>().prop_map(Fault::Cut),
        1 => Just(Fault::Grow),
        1 => lane().prop_map(Fault::Lane),
        1 => Just(Fault::Flags),
    ]
}

fn suffer(fault: &Fault, frame: &Frame) -> Vec<Frame> {
    let with = |payload: Vec<u8>| vec![Frame { payload: payload.into(), ..frame.clone() }];
    match fault {
        Fault::None | Fault::SwapWithNext => vec![frame.clone()],
        Fault::Drop => vec![],
        Fault::Repeat => vec![frame.clone(), frame.clone()],
        Fault::FlipBit(bit) => {
            let mut payload = frame.payload.to_vec();
            let bit = bit % (payload.len() * 8);
            payload[bit / 8] ^= 1 << (bit % 8);
            with(payload)
        }
        Fault::Cut(len) => with(frame.payload.slice(..len % frame.payload.len()).to_vec()),
        Fault::Grow => with([frame.payload.as_ref(), &[0]].concat()),
        Fault::Lane(lane) => vec![Frame { lane: *lane, ..frame.clone() }],
        Fault::Flags => vec![Frame { flags: frame.flags ^ FLAG_MORE, ..frame.clone() }],
    }
}

proptest! {
    /// Whatever happens on the way, each lane's opened texts are a beginning of what was sealed on it.
    #[test]
    fn under_random_faults_only_a_true_beginning_of_each_lane_opens(
        sends in prop::collection::vec((lane(), prop::collection::vec(any::<u8>(), 0..40), fault()), 1..60),
        every in 1..5u64,
    ) {
        let (mut sealer, mut opener) = pair(every);
        let mut sealed: [Vec<Vec<u8>>; 4] = Default::default();
        let mut wire: Vec<Frame> = Vec::new();
        let mut swap: Option<Vec<Frame>> = None;
        for (lane, plain, fault) in &sends {
            let frame = sealer.seal(*lane, 0, plain).unwrap();
            sealed[usize::from(lane.code())].push(plain.clone());
            let frames = suffer(fault, &frame);
            if matches!(fault, Fault::SwapWithNext) && swap.is_none() {
                swap = Some(frames);
            } else {
                wire.extend(frames);
                wire.extend(swap.take().into_iter().flatten());
            }
        }
        let mut opened: [Vec<Vec<u8>>; 4] = Default::default();
        let mut failed = false;
        for frame in wire {
            match opener.open(&frame) {
                Ok(plain) => {
                    prop_assert!(!failed, "nothing opens after a failure");
                    opened[usize::from(frame.lane.code())].push(plain);
                }
                Err(_) => failed = true,
            }
        }
        for (opened, sealed) in opened.iter().zip(&sealed) {
            prop_assert!(sealed.starts_with(opened));
        }
    }
}
