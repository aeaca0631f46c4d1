//! What a run does: from a file, changed by flags, checked before anything starts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, anyhow, ensure};
use ops::config::{self, ConfigError, Span};
use serde::{Deserialize, Serialize};

use crate::load::{generator::DESCRIPTORS_KEPT, mix::Mix};

/// Everything that a run can be told. The keys of a file; every one has a flag of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Sessions held at once.
    pub sessions: u32,
    /// The share of them that speaks, 0–1; the others only hold their connections.
    pub active_share: f64,
    /// `recorded`, a file in its form, or `steady`: then the next three keys say what is sent.
    pub mix: String,
    /// Updates of each session for each second, for `steady`.
    pub pictures_per_sec: f64,
    /// Bytes of each of them, for `steady`.
    pub picture_bytes: u32,
    /// Messages with input of each session for each second, for `steady`.
    pub inputs_per_sec: f64,
    /// How much faster than recorded everything goes.
    pub speed: f64,
    /// Sessions are opened evenly over this time.
    pub ramp: Span,
    /// From the last session open to the first frame that counts.
    pub warm_up: Span,
    /// How long frames count.
    pub duration: Span,
    /// Sessions a second that end and are replaced.
    pub churn_per_sec: f64,
    /// Threads of the generator.
    pub threads: u32,
    /// The same seed gives the same schedule.
    pub seed: u64,
    /// A relay that runs already, instead of one that is started for the run; then the next two keys are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<SocketAddr>,
    /// Its key's hash, 64 hexadecimal digits: `relay.started` in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spki: Option<String>,
    /// File with 64 hexadecimal digits: the seed of a key that the relay's `[[ticket_keys]]` names `loadtest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_seed_file: Option<PathBuf>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            sessions: 100,
            active_share: 1.0,
            mix: RECORDED.to_owned(),
            pictures_per_sec: 10.0,
            picture_bytes: 3000,
            inputs_per_sec: 10.0,
            speed: 1.0,
            ramp: Span::secs(0),
            warm_up: Span::secs(2),
            duration: Span::secs(20),
            churn_per_sec: 0.0,
            threads: 1,
            seed: 1,
            relay: None,
            spki: None,
            ticket_seed_file: None,
        }
    }
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// One line that names the file and the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        config::load(file)
    }

    /// Whether every value is within its limits.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn check(&self) -> Result<()> {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let sessions_max = descriptors.saturating_sub(u64::from(DESCRIPTORS_KEPT)) / 2;
        ensure!(
            (1..=sessions_max).contains(&u64::from(self.sessions)),
            "sessions is from 1 to {sessions_max}: each has two sockets, and one process has {descriptors} file \
             descriptors here"
        );
        ensure!((0.0..=1.0).contains(&self.active_share), "active_share is from 0 to 1");
        ensure!((0.0..=1000.0).contains(&self.pictures_per_sec), "pictures_per_sec is from 0 to 1000");
        ensure!((1..=4_000_000).contains(&self.picture_bytes), "picture_bytes is from 1 to 4000000");
        ensure!((0.0..=1000.0).contains(&self.inputs_per_sec), "inputs_per_sec is from 0 to 1000");
        ensure!((0.01..=100.0).contains(&self.speed), "speed is from 0.01 to 100");
        ensure!((0.0..=1000.0).contains(&self.churn_per_sec), "churn_per_sec is from 0 to 1000");
        ensure!((1..=16).contains(&self.threads), "threads is from 1 to 16");
        let hour = Duration::from_hours(1);
        for (key, span, least) in [
            ("ramp", self.ramp, Duration::ZERO),
            ("warm_up", self.warm_up, Duration::ZERO),
            ("duration", self.duration, Duration::from_millis(100)),
        ] {
            ensure!((least..=hour).contains(&span.get()), "{key} is from {} to 1h", Span::new(least));
        }
        let given = (self.relay.is_some(), self.spki.is_some(), self.ticket_seed_file.is_some());
        ensure!(
            matches!(given, (false, false, false) | (true, true, true)),
            "relay, spki and ticket_seed_file go together: a relay that runs already admits only with its own key"
        );
        Ok(())
    }

    /// What the sessions say.
    ///
    /// # Errors
    /// When the file of the mix cannot be used.
    pub fn mix(&self) -> Result<Mix> {
        match self.mix.as_str() {
            RECORDED => Mix::recorded(),
            STEADY => Ok(Mix::steady(self.pictures_per_sec, self.picture_bytes, self.inputs_per_sec)),
            file => Mix::load(Path::new(file)).map_err(|error| {
                anyhow!("mix is \"{RECORDED}\", \"{STEADY}\" or a file in the form of mixes/recorded.toml: {error:#}")
            }),
        }
    }

    /// How many sessions speak.
    pub fn active(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 32 bits")]
        let active = (f64::from(self.sessions) * self.active_share).round() as u32;
        active.min(self.sessions)
    }
}

/// The mix that comes with this program.
const RECORDED: &str = "recorded";
/// One rate and one size.
const STEADY: &str = "steady";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_scenario_is_read_and_names_every_key() {
        let text = include_str!("../../scenarios/example.toml");
        let uncommented = text.replace("#= ", "");

        let scenario: Scenario = config::parse(&uncommented).unwrap();

        let shown = config::print(&scenario).unwrap();
        let (full, known): (toml::Table, toml::Table) =
            (toml::from_str(&uncommented).unwrap(), toml::from_str(&shown).unwrap());
        assert_eq!(full.keys().collect::<Vec<_>>(), known.keys().collect::<Vec<_>>());
        Scenario { relay: None, spki: None, ticket_seed_file: None, ..scenario }.check().unwrap();
    }

    #[test]
    fn a_mistake_is_one_line_that_names_the_key() {
        for (text, key) in [
            ("sessions = 0", "sessions"),
            ("sessions = 1000000000", "file descriptors"),
            ("sessions = \"many\"", "sessions"),
            ("active_share = 1.5", "active_share"),
            ("duration = \"2h\"", "duration"),
            ("duration = \"soon\"", "duration"),
            ("churn_per_sec = -1.0", "churn_per_sec"),
            ("speed = 0.0", "speed"),
            ("threads = 0", "threads"),
            ("relay = \"127.0.0.1:443\"", "spki"),
            ("pictures = 3", "pictures"),
        ] {
            let said = match config::parse::<Scenario>(text) {
                Ok(scenario) => format!("{:#}", scenario.check().unwrap_err()),
                Err(mistake) => mistake.to_string(),
            };
            assert!(said.contains(key) && said.lines().count() == 1, "{text}: {said}");
        }
        let no_mix = Scenario { mix: "nowhere.toml".to_owned(), ..Scenario::default() }.mix().unwrap_err();
        assert!(format!("{no_mix:#}").contains("nowhere.toml") && format!("{no_mix:#}").lines().count() == 1);
    }
}
