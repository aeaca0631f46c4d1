//! The corpus as ordinary tests: every input through its oracle, then seeded mutations of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its corpus has failed")]

use std::{fs, path::PathBuf};

use fuzz::{Oracle, TARGETS, seeds};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};

/// Mutated inputs for each target in one run of the tests.
const MUTATIONS: usize = 3_000;
/// A mutated input is at most this long.
const LEN_MAX: usize = 8 * 1024;

macro_rules! targets {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn corpus_holds() {
                super::replay(stringify!($name));
            }

            #[test]
            fn mutations_hold() {
                super::mutate(stringify!($name));
            }
        })*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! {
    frame hello ticket sealed_frame screen_update input number message handshake rejoin proxy_v2 frame_reader record pre_ticket streams
}

#[test]
fn the_corpus_holds_every_seed() {
    for seed in seeds::all() {
        let file = folder(seed.target).join(&seed.name);
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // The encoder may improve; the decoder goes on reading what it once wrote.
        if seed.target != "screen_update" {
            assert_eq!(bytes, seed.bytes, "{}", file.display());
        }
    }
}

fn replay(target: &str) {
    let inputs = corpus(target);
    for (_, bytes) in &inputs {
        oracle(target)(bytes);
    }
    say(&format!("{target}: {} inputs replayed", inputs.len()));
}

fn mutate(target: &str) {
    let inputs = corpus(target);
    let mut rng = ChaCha20Rng::from_seed([42; 32]);
    for _ in 0..MUTATIONS {
        let (_, other) = &inputs[below(&mut rng, inputs.len())];
        let (_, input) = &inputs[below(&mut rng, inputs.len())];
        let mut bytes = input.clone();
        for _ in 0..=below(&mut rng, 4) {
            mutate_once(&mut rng, &mut bytes, other);
        }
        bytes.truncate(LEN_MAX);
        oracle(target)(&bytes);
    }
    say(&format!("{target}: {MUTATIONS} mutations of {} inputs", inputs.len()));
}

fn mutate_once(rng: &mut ChaCha20Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    const SPECIAL: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x11, b'-', b'0'];
    let at = below(rng, bytes.len() + 1);
    let value = [SPECIAL[below(rng, 8)], rng.next_u32().to_le_bytes()[0]][below(rng, 2)];
    match below(rng, 7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, value),
        2 => bytes.splice(at.., other[below(rng, other.len() + 1)..].iter().copied()).for_each(drop),
        3 => bytes.extend_from_within(at..),
        4 if at < bytes.len() => drop(bytes.remove(at)),
        5 if at < bytes.len() => bytes[at] ^= 1 << below(rng, 8),
        _ if at < bytes.len() => bytes[at] = value,
        _ => bytes.push(value),
    }
}

fn below(rng: &mut ChaCha20Rng, end: usize) -> usize {
    usize::try_from(rng.next_u64() % u64::try_from(end).unwrap()).unwrap()
}

fn oracle(target: &str) -> Oracle {
    TARGETS.iter().find(|(name, _)| *name == target).unwrap().1
}

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Every input of a target with its name, in the order of the names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|file| (file.display().to_string(), fs::read(&file).unwrap()))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

#[expect(clippy::print_stdout, reason = "the count of inputs is the evidence of this test")]
fn say(line: &str) {
    println!("{line}");
}
