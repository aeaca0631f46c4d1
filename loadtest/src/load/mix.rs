//! What a session says and when: the updates of recorded screens with the input that made them, or one steady rate.
//!
//! `loadtest/mixes/recorded.toml` was made by `proto/benches/screen/record.sh DIR` (real programs on a real X server) and
//! `cargo bench -p uketsuke-proto --bench screen -- DIR --mix FILE` (our own encoder over each picture).
//! A session plays the whole recording again and again, from a place of its own. Bursts stay bursts that way.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use proto::{
    frame::Lane,
    limits::{SCREEN_MESSAGE_LEN_MAX, SEAL_OVERHEAD},
    role::Role,
};
use rand_core::RngCore;
use serde::{Deserialize, Serialize};

/// Bytes of a message with input or an ack, sealed.
const SMALL_LEN: usize = 24 + SEAL_OVERHEAD;
/// The operator's tool has applied an update this long after it was due, and acknowledges it.
const ACK_AFTER_NS: u64 = 5_000_000;
const NS_PER_SEC: u64 = 1_000_000_000;

/// Recorded clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Pictures of a clip for each second.
    pub pictures_per_sec: f64,
    /// The clips, played one after the other.
    pub clip: Vec<Clip>,
}

/// One clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// What was done.
    pub name: String,
    /// Its length.
    pub pictures: u32,
    /// Messages with input that the operator sent meanwhile.
    pub inputs: u32,
    /// Number of the picture, and bytes of its update. The first one of a clip is a whole screen.
    pub updates: Vec<(u32, u32)>,
}

/// One message of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the beginning of the recording.
    pub at_ns: u64,
    /// Its lane.
    pub lane: Lane,
    /// Its sealed length, bytes.
    pub len: usize,
}

/// What both sides of a session say, over and over.
#[derive(Debug, Clone)]
pub struct Script {
    length_ns: u64,
    customer: Arc<[Moment]>,
    operator: Arc<[Moment]>,
}

/// One side of one session, on its way through the script.
#[derive(Debug, Clone)]
pub struct Part {
    moments: Arc<[Moment]>,
    length_ns: u64,
    /// When the present turn of the recording began, nanoseconds of the monotonic clock.
    began_ns: u64,
    next: usize,
}

impl Mix {
    /// The mix that comes with this program.
    ///
    /// # Errors
    /// Never, unless the file in the repository is broken.
    pub fn recorded() -> Result<Self> {
        Self::parse(include_str!("../../mixes/recorded.toml"))
    }

    /// A mix in a file.
    ///
    /// # Errors
    /// One line: what is wrong with it.
    pub fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    /// `pictures` updates a second of `bytes` each, and `inputs` messages with input a second, without end.
    pub fn steady(pictures: f64, bytes: u32, inputs: f64) -> Self {
        const SECONDS: f64 = 100.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates of at most 1,000 a second")]
        let count = |rate: f64| (rate * SECONDS).round() as u32;
        let updates = (0..count(pictures)).map(|number| (number, bytes)).collect();
        let (pictures_per_sec, length) = if 0.0 < pictures { (pictures, count(pictures)) } else { (1.0, 100) };
        let clip = Clip { name: "steady".to_owned(), pictures: length.max(1), inputs: count(inputs), updates };
        Self { pictures_per_sec, clip: vec![clip] }
    }

    fn parse(text: &str) -> Result<Self> {
        let mix: Self = ops::config::parse(text)?;
        ensure!((0.1..=1000.0).contains(&mix.pictures_per_sec), "pictures_per_sec is from 0.1 to 1000");
        ensure!(!mix.clip.is_empty(), "a mix has at least one [[clip]]");
        for clip in &mix.clip {
            let name = &clip.name;
            ensure!((1..=1_000_000).contains(&clip.pictures), "{name}: pictures is from 1 to 1000000");
            ensure!(clip.inputs <= 1_000_000, "{name}: inputs is from 0 to 1000000");
            ensure!(clip.updates.is_sorted_by_key(|update| update.0), "{name}: updates are in the order of pictures");
            for (picture, bytes) in &clip.updates {
                ensure!(*picture < clip.pictures, "{name}: an update of picture {picture} of {}", clip.pictures);
                let fits = usize::try_from(*bytes).is_ok_and(|bytes| (1..=SCREEN_MESSAGE_LEN_MAX).contains(&bytes));
                ensure!(fits, "{name}: an update has from 1 to {SCREEN_MESSAGE_LEN_MAX} bytes");
            }
        }
        Ok(mix)
    }

    /// Everything in order of time, `speed` times as fast as recorded. A session shows a whole screen once in a turn,
    /// at its start: the first update of every later clip is left out, where a window was opened between recordings.
    pub fn script(&self, speed: f64) -> Script {
        let (mut customer, mut operator) = (Vec::new(), Vec::new());
        let mut begins_ns = 0;
        for (place, clip) in self.clip.iter().enumerate() {
            let picture_ns = |count: u32| ns(f64::from(count) / self.pictures_per_sec / speed);
            for (picture, bytes) in clip.updates.iter().skip(usize::from(0 < place)) {
                let at_ns = begins_ns + picture_ns(*picture);
                let len = usize::try_from(*bytes).unwrap_or(SCREEN_MESSAGE_LEN_MAX);
                customer.push(Moment { at_ns, lane: Lane::Screen, len });
                operator.push(Moment { at_ns: at_ns + ACK_AFTER_NS, lane: Lane::Control, len: SMALL_LEN });
            }
            let length_ns = picture_ns(clip.pictures);
            for input in 0..clip.inputs {
                let at_ns = begins_ns + length_ns / u64::from(clip.inputs) * u64::from(input);
                operator.push(Moment { at_ns, lane: Lane::Input, len: SMALL_LEN });
            }
            begins_ns += length_ns;
        }
        operator.sort_by_key(|moment| moment.at_ns);
        Script { length_ns: begins_ns.max(1), customer: customer.into(), operator: operator.into() }
    }
}

impl Script {
    /// How long one turn lasts, nanoseconds.
    pub const fn length_ns(&self) -> u64 {
        self.length_ns
    }

    /// Messages a second of both sides together, bytes a second likewise.
    pub fn rates(&self) -> (f64, f64) {
        let all = || self.customer.iter().chain(self.operator.iter());
        let seconds = std::time::Duration::from_nanos(self.length_ns).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "sums of one recording")]
        let (messages, bytes) = (all().count() as f64, all().map(|moment| moment.len).sum::<usize>() as f64);
        (messages / seconds, bytes / seconds)
    }

    /// Both sides of a session that starts at `start_ns`, somewhere in the recording.
    pub fn cast(&self, start_ns: u64, random: &mut impl RngCore) -> [(Role, Part); 2] {
        let into_ns = random.next_u64() % self.length_ns;
        [(Role::Customer, &self.customer), (Role::Operator, &self.operator)].map(|(role, moments)| {
            let next = moments.partition_point(|moment| moment.at_ns < into_ns);
            let began_ns = start_ns.saturating_sub(into_ns);
            (role, Part { moments: Arc::clone(moments), length_ns: self.length_ns, began_ns, next })
        })
    }
}

impl Part {
    /// The next message and when it is due; `None` when this side never says anything.
    pub fn next_moment(&mut self) -> Option<(u64, Moment)> {
        if self.next == self.moments.len() {
            self.next = 0;
            self.began_ns += self.length_ns;
        }
        let moment = *self.moments.get(self.next)?;
        self.next += 1;
        Some((self.began_ns + moment.at_ns, moment))
    }
}

fn ns(seconds: f64) -> u64 {
    u64::try_from(std::time::Duration::from_secs_f64(seconds.max(0.0)).as_nanos()).unwrap_or(NS_PER_SEC)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn the_recorded_mix_is_whole() {
        let mix = Mix::recorded().unwrap();
        let (messages, bytes) = mix.script(1.0).rates();

        assert_eq!(
            mix.clip.iter().map(|clip| clip.name.as_str()).collect::<Vec<_>>(),
            ["scroll", "type", "drag", "mixed"]
        );
        assert!((5.0..100.0).contains(&messages), "{messages} messages a second");
        assert!((1_000.0..200_000.0).contains(&bytes), "{bytes} bytes a second");
    }

    #[test]
    fn a_part_says_the_recording_again_and_again_at_its_times() {
        let mix = Mix {
            pictures_per_sec: 10.0,
            clip: vec![Clip { name: "a".to_owned(), pictures: 10, inputs: 0, updates: vec![(0, 500), (4, 7)] }],
        };
        let [(_, customer), (_, operator)] = mix.script(1.0).cast(5_000_000_000, &mut ChaCha8Rng::seed_from_u64(1));

        for (mut part, count) in [(customer, 6), (operator, 6)] {
            let times: Vec<u64> = std::iter::from_fn(|| part.next_moment()).take(count).map(|(due, _)| due).collect();
            assert!(5_000_000_000 <= times[0] && times[0] < 6_000_000_000, "{times:?}");
            assert!(
                times.windows(2).all(|pair| [400_000_000, 600_000_000].contains(&(pair[1] - pair[0]))),
                "{times:?}"
            );
        }
    }

    #[test]
    fn a_steady_mix_has_the_rates_that_were_asked_for() {
        let (messages, _) = Mix::steady(10.0, 3000, 5.0).script(1.0).rates();

        assert!((messages - 25.0).abs() < 0.1, "pictures, their acks, and input: {messages}");
    }

    #[test]
    fn a_mix_that_is_wrong_says_so_in_one_line() {
        for (text, says) in [
            ("pictures_per_sec = 15\nclip = []", "at least one"),
            ("pictures_per_sec = 0\nclip = []", "pictures_per_sec"),
            (
                "pictures_per_sec = 15\n[[clip]]\nname = \"a\"\npictures = 2\ninputs = 0\nupdates = [[2, 5]]",
                "picture 2",
            ),
            ("pictures_per_sec = 15\n[[clip]]\nname = \"a\"\npictures = 2\ninputs = 0\nupdates = [[1, 0]]", "from 1"),
            ("pictures_per_sec = 15\nclips = []", "clips"),
        ] {
            let message = format!("{:#}", Mix::parse(text).unwrap_err());
            assert!(message.contains(says) && message.lines().count() == 1, "{message}");
        }
    }
}
