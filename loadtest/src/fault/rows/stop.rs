//! stop: a session, an account and a company are stopped at one of two managers, and everything of them is at the other:
//! the relays' heartbeats, the tools' requests, the operator's stream of events.
//!
//! Measured from before the button is pressed until each tool has heard that its session is over, until the stream has
//! ended, and until the other manager refuses what the login asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use link::api::{ApiError, ManagerApi};
use proto::close::CloseReason;
use tokio::time::{Instant, timeout};

use crate::{
    browser::{Browser, between},
    desktop::pause,
    fault::{
        Call,
        crowd::{Crowd, Load},
        receptions::Receptions,
        relays::{Managed, Plan},
        score::Outcome,
        trial::{PATIENCE, Trial},
    },
    tool::Account,
    world::World,
};

/// Whoever is stopped is out of everything within this time. Source: OR-53.
const OUT_MAX: Duration = Duration::from_secs(5);
/// Relays of each session.
const RELAYS: usize = 2;
/// Sessions that stand the whole time and nobody stops.
const SESSIONS: usize = 30;
/// The same in the short form.
const SESSIONS_QUICK: usize = 6;
/// Sessions of an account that is stopped, or of a company.
const STOPPED: usize = 10;
/// The same in the short form.
const STOPPED_QUICK: usize = 2;
/// Pause between two questions to the manager that should refuse them.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The system administrator, whose password is longer than others'.
const ROOT: (&str, &str) = ("root", "Uketsuke-Demo-System-1");

/// What is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// One session, at the board.
    Session,
    /// An operator's account.
    Account,
    /// The company.
    Company,
}

/// One who does it, at the first manager, and whom it meets, at the second.
struct Scene {
    administrator: Browser,
    company_id: String,
    operator_id: String,
    receptions: Receptions,
    /// Of the operator whose account it is.
    stopped: Crowd,
    /// Of a session that nobody stops, where there is one in the company.
    spared: Option<(Receptions, Crowd)>,
}

/// stop.
pub(super) async fn stop(call: &Call) -> Result<Outcome> {
    let sessions = if call.is_quick { SESSIONS_QUICK } else { SESSIONS };
    let plan = Plan { managers: Managed::TwoApart, ..Plan::of(RELAYS, false, call.seed) };
    let mut trial = Trial::start_with(call, plan, Load::of(sessions)).await?;
    let mut root = root(trial.relays.world()).await?;
    for round in 0..call.repeat {
        for deed in [Deed::Session, Deed::Account, Deed::Company] {
            let company = format!("{deed:?}-{round}").to_lowercase();
            let count = match deed {
                Deed::Session => 1,
                Deed::Account | Deed::Company if call.is_quick => STOPPED_QUICK,
                Deed::Account | Deed::Company => STOPPED,
            };
            let mut scene = Scene::set(&trial, deed, &company, count, call.seed).await?;
            trial.rebase()?;
            watch(&mut trial, deed, &mut scene, &mut root).await?;
            scene.clear(&mut trial, company).await?;
        }
    }
    let out = trial.gaps.pauses();
    let most = if call.is_quick { PATIENCE } else { OUT_MAX };
    trial.outcome.must(out.max <= most.as_secs_f64() * 1_000.0, || {
        format!("out of everything after {:.0} ms, {most:?} at most", out.max)
    });
    trial.outcome.note("the gap is the time from the press of the button until a tool, a stream or a login is out");
    trial.finish().await
}

/// The browser of a system administrator at the first manager.
pub(super) async fn root(world: &World) -> Result<Browser> {
    let (user, password) = ROOT;
    let file = world.folder().join("system.password");
    tokio::fs::write(&file, password).await?;
    let file = file.display().to_string();
    let new = ["admin", "create", "--user", user, "--name", "運用 一郎", "--role", "operations"];
    world.manager_command(&[&new[..], &["--password-file", &file]].concat()).await?;
    let mut browser = Browser::open(&world.account_at(0)?)?;
    browser.log_in_system(user, password).await?;
    Ok(browser)
}

impl Scene {
    async fn set(trial: &Trial, deed: Deed, company: &str, count: usize, seed: u64) -> Result<Self> {
        let (relays, world) = (&trial.relays, trial.relays.world());
        let company_id = world.add_company(company).await?;
        let operator_id = world.add_account(company, "tanaka", "operator").await?;
        world.add_account(company, "suzuki", "operator").await?;
        world.add_account(company, "admin", "company_admin").await?;
        let of = |place: usize, user: &str| -> Result<Account> {
            Ok(Account { company: company.to_owned(), user: user.to_owned(), ..world.account_at(place)? })
        };
        let mut administrator = Browser::open(&world.account_at(0)?)?;
        administrator.log_in(&of(0, "admin")?).await?;

        let receptions = relays.receptions_of(&of(1, "tanaka")?, None).await?;
        let stopped = Crowd::start(Load::of(count), seed, Arc::new(receptions.clone())).await?;
        receptions.expect_revoked();
        let spared = match deed {
            // Another session of the same operator.
            Deed::Session => Some("tanaka"),
            Deed::Account => Some("suzuki"),
            Deed::Company => None,
        };
        let spared = match spared {
            Some(user) => {
                let receptions = relays.receptions_of(&of(1, user)?, None).await?;
                let crowd = Crowd::start(Load::of(1), !seed, Arc::new(receptions.clone())).await?;
                Some((receptions, crowd))
            }
            None => None,
        };
        let flows = stopped.flows_since(Instant::now(), PATIENCE).await;
        ensure!(flows.is_some(), "the sessions that are to be stopped do not go");
        Ok(Self { administrator, company_id, operator_id, receptions, stopped, spared })
    }

    /// Presses the button, after the page with it was opened; when that was.
    async fn press(&mut self, deed: Deed, root: &mut Browser) -> Result<Instant> {
        let reason = ("reason", "料金の未払い");
        match deed {
            Deed::Session => {
                let session = *self.receptions.made().sessions.first().context("there is no session")?;
                self.administrator.see("/live/sessions").await?;
                let begun = Instant::now();
                self.administrator.press(&format!("/live/sessions/{session}/end"), &[]).await?;
                Ok(begun)
            }
            Deed::Account => {
                let page = format!("/operators/{}", self.operator_id);
                self.administrator.see(&page).await?;
                let begun = Instant::now();
                self.administrator.press(&format!("{page}/stop"), &[]).await?;
                Ok(begun)
            }
            Deed::Company => {
                let page = format!("/system/companies/{}", self.company_id);
                let version = between(&root.see(&page).await?, "name=\"version\" value=\"", "\"")?.to_owned();
                let begun = Instant::now();
                root.press(&format!("{page}/state"), &[("to", "suspended"), reason, ("version", &version)]).await?;
                Ok(begun)
            }
        }
    }

    /// Ends what nobody stopped, and leaves everything to be looked at when the row is over.
    async fn clear(self, trial: &mut Trial, company: String) -> Result<()> {
        let mut made = self.receptions.made();
        if let Some((receptions, crowd)) = self.spared {
            Trial::part(&mut trial.outcome, crowd).await;
            receptions.tell_ends().await?;
            made = made.with(receptions.made());
        }
        trial.others.push((company, made));
        Ok(())
    }
}

/// Presses the button and waits until everybody is out whom it meets, and nobody else.
async fn watch(trial: &mut Trial, deed: Deed, scene: &mut Scene, root: &mut Browser) -> Result<()> {
    let login = scene.receptions.operator().clone();
    let is_out = deed != Deed::Session;
    until_streams(trial.relays.world(), 1, 0.0).await?;
    let stream = is_out.then(|| tokio::spawn(timeout(PATIENCE, until_stream_ends(login.clone()))));
    until_streams(trial.relays.world(), 1, f64::from(u8::from(is_out))).await?;

    let begun = scene.press(deed, root).await?;
    let refused = async { if is_out { Some(until_refused(&login).await) } else { None } };
    let (ends, refused) = tokio::join!(scene.stopped.ends(PATIENCE), timeout(PATIENCE, refused));

    let outcome = &mut trial.outcome;
    outcome.faults = outcome.faults.saturating_add(1);
    outcome.must(ends.is_some(), || format!("{deed:?}: not every tool heard of the end within {PATIENCE:?}"));
    let (mut sessions, mut reasons) = (Duration::ZERO, BTreeMap::<_, u32>::new());
    for (reason, at) in ends.into_iter().flatten() {
        *reasons.entry(reason.as_str()).or_default() += 1;
        let took = at.saturating_duration_since(begun);
        sessions = sessions.max(took);
        trial.gaps.add(took, took);
    }
    // A tool that hears of it at its spare relay leaves the other, which may tell the tool there so before it is told itself.
    let is_told = reasons.contains_key(CloseReason::Revoked.as_str());
    outcome.must(is_told, || format!("{deed:?}: no tool was told why, but {reasons:?}"));
    let refused = refused.ok().flatten().map(|at| at.saturating_duration_since(begun));
    outcome.must(!is_out || refused.is_some(), || format!("{deed:?}: the login still does what it did"));
    let stream = match stream {
        Some(stream) => stream.await?.ok().map(|at| at.saturating_duration_since(begun)),
        None => None,
    };
    outcome.must(!is_out || stream.is_some(), || format!("{deed:?}: the stream of events goes on"));
    for took in refused.into_iter().chain(stream) {
        trial.gaps.add(took, took);
    }
    outcome.note(format!(
        "{deed:?}: sessions ended after {sessions:.1?} {reasons:?}, login out {refused:.1?}, stream {stream:.1?}"
    ));

    for crowd in scene.spared.iter().map(|(_receptions, crowd)| crowd).chain([&trial.crowd]) {
        let since = Instant::now();
        let flows = crowd.flows_since(since, PATIENCE).await;
        outcome.must(flows.is_some(), || format!("{deed:?}: others do not go on: {}", crowd.whereabouts(since)));
    }
    Ok(())
}

/// Reads the events of a login until its stream ends; when that was.
pub(super) async fn until_stream_ends(login: ManagerApi) -> Instant {
    let mut events = login.events(None);
    while let Some(Ok(_event)) = events.next().await {}
    Instant::now()
}

/// Waits until the manager in this place has so many streams of events open.
pub(super) async fn until_streams(world: &World, place: usize, count: f64) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while 0.5 < (world.managers().metric(place, "manager_event_streams").await? - count).abs() {
        ensure!(Instant::now() < until, "manager {place} does not come to have {count} streams of events");
        pause(ASK_EVERY).await;
    }
    Ok(())
}

/// Asks what the login may ask until it is refused; when that was.
async fn until_refused(login: &ManagerApi) -> Instant {
    while !matches!(login.receptions().await, Err(ApiError::Refused { status: 401 | 403, .. })) {
        pause(ASK_EVERY).await;
    }
    Instant::now()
}
