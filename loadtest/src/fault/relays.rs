//! A real manager, relay processes that report to it, and tools that meet there.
//!
//! The relays take tickets of the manager and of a key of our own: what a manager would never sign is signed here, and
//! more sessions than one operator can issue numbers for.
//! Each relay keeps its address, certificate and configuration, so that one that was killed comes back as the same
//! relay. With gates, each tool reaches each relay through a [`Gate`] of its own, so that one side can be cut off.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use link::{
    BoxFuture,
    meet::{Meeting, meet},
    race::Dialer,
    sealed::Sealed,
    transport::{Choice, Transport},
};
use ops::{clock::Clock, tls};
use proto::{
    api::reception::{Pairing, RelayAddress},
    id::{RelayId, SessionId},
    limits,
    role::Role,
    ticket::{ProofKey, SigningKey, Ticket, TicketRelay, proof_key_hash},
};
use rand_core::{OsRng, RngCore as _};
use rustix::process::Signal;
use tokio::{process::Command, time::Instant};
use zeroize::Zeroizing;

use super::{
    crowd::{Matchmaker, both_or_why},
    gate::{Climate, Gate},
    house::{self, House},
    receptions::{Detour, Receptions},
    tries::Tries,
};
use crate::{
    desktop::pause,
    private::{metric, metric_by, wait_ready},
    process::{Process, our_binary},
    tool::Account,
    world::{World, free_address},
};

/// A relay that was asked to leave, or to start, does so within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the relays are asked how many sessions they hold.
const LOOK: Duration = Duration::from_millis(50);

/// Limits for a run in which every tool comes from one address.
const WIDE: &str = "connections_per_address = 10000\nconnections_per_network = 10000\nhandshakes = 3072\n\
                    handshakes_per_address = 10000\naccepts_per_second = 10000\n\
                    accepts_per_second_per_address = 10000\n";

/// Sessions that a relay takes less than the one before it: a manager names the relay with most room first, so tickets
/// name all relays in one order for as long as no relay has so many sessions more than the next.
const ROOM_LESS: usize = 1_200;
/// Sessions that the last of four relays takes.
const ROOM_MIN: usize = 4_096;

/// A manager and relays on loopback.
pub struct Relays {
    world: World,
    key: Arc<SigningKey>,
    all: Vec<Relay>,
    transport: Transport,
    house: Option<House>,
    /// On the cable of the house, by relay.
    climates: Vec<[Climate; 2]>,
}

/// One relay.
pub struct Relay {
    /// Its id in tickets.
    pub id: RelayId,
    name: String,
    spki: String,
    listen: SocketAddr,
    /// Where operators find it, when that is elsewhere than where customers do.
    operators_at: SocketAddr,
    private: SocketAddr,
    process: Option<Process>,
    gates: Option<[Gate; 2]>,
}

/// How relays are set up.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many.
    pub count: usize,
    /// Whether tools reach them through gates.
    pub gated: bool,
    /// Seed of the gates' chance.
    pub seed: u64,
    /// What carries the links.
    pub transport: Transport,
    /// Whether relays have their own limits by source, and not wide ones for tools that share one address.
    pub strict: bool,
    /// Whether relays are in a network of their own ([`House`]); the tools must be in the namespaces that it needs.
    pub housed: bool,
    /// How many managers there are.
    pub managers: Managed,
}

/// How many managers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Managed {
    /// One, whose database is a file.
    One,
    /// Two on one `PostgreSQL`, behind a balancer.
    Two,
    /// Two, of whom the second has all relays.
    TwoApart,
}

impl Plan {
    /// So many relays, with TLS over TCP and wide limits.
    pub const fn of(count: usize, gated: bool, seed: u64) -> Self {
        Self { count, gated, seed, transport: Transport::Tcp, strict: false, housed: false, managers: Managed::One }
    }
}

impl Relays {
    /// Starts a manager and relays and waits until they are ready.
    ///
    /// # Errors
    /// When one is not built or does not start.
    pub async fn start(plan: Plan) -> Result<Self> {
        ensure!((1..=limits::TICKET_RELAYS_MAX).contains(&plan.count), "a ticket names 1 to 4 relays");
        let (world, house) = if plan.housed {
            let folder = tempfile::tempdir()?;
            let house = House::build(folder.path()).await?;
            (World::with_manager_at(house::TOOLS).await?, Some(house))
        } else {
            let world = match plan.managers {
                Managed::One => World::with_manager().await?,
                Managed::Two | Managed::TwoApart => World::with_two_managers().await?,
            };
            (world, None)
        };
        let mut seed = [0; 32];
        OsRng.fill_bytes(&mut seed);
        let key = Arc::new(SigningKey::from_seed("fault", seed)?);
        let mut relays = Vec::new();
        for index in 1..=plan.count {
            let mut relay = Relay::prepare(index, &world, &key, plan).await?;
            if plan.gated {
                let chance = plan.seed.wrapping_add(u64::try_from(index)?);
                let listen = relay.listen;
                relay.gates = Some([Gate::open(listen, chance).await?, Gate::open(listen, chance ^ 1 << 32).await?]);
            }
            relays.push(relay);
        }
        let climates = vec![[Climate::default(); 2]; plan.count];
        let mut own = Self { world, key, all: relays, transport: plan.transport, house, climates };
        for index in 0..plan.count {
            own.restart(index).await?;
        }
        if plan.managers != Managed::One {
            for place in 0..2 {
                own.wait_until_known(place).await?;
            }
        }
        Ok(own)
    }

    /// Waits until a manager has heard of every relay: a ticket from before would name fewer of them for minutes.
    async fn wait_until_known(&self, place: usize) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let all = f64::from(u32::try_from(self.all.len())?);
        while self.world.managers().metric(place, "manager_relays_alive").await? + 0.5 < all {
            ensure!(Instant::now() < until, "manager {place} does not hear of every relay within {PATIENCE:?}");
            pause(LOOK).await;
        }
        Ok(())
    }

    /// All relays, in the order of the tickets.
    pub fn all(&self) -> &[Relay] {
        &self.all
    }

    /// The place of a relay.
    ///
    /// # Errors
    /// When there is none with this id.
    pub fn place(&self, id: RelayId) -> Result<usize> {
        self.all.iter().position(|relay| relay.id == id).context("a session is at a relay that nobody started")
    }

    /// The relay in this place.
    ///
    /// # Errors
    /// When there is none.
    pub fn relay(&self, place: usize) -> Result<&Relay> {
        self.all.get(place).context("there is no relay in this place")
    }

    /// Kills a relay without warning and waits until the system has closed its sockets.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill(&mut self, place: usize) -> Result<()> {
        self.relay(place)?.signal(Signal::KILL);
        self.wait_for_end(place).await
    }

    /// Asks a relay to leave, and waits until it has.
    ///
    /// # Errors
    /// When it does not leave by itself.
    pub async fn drain(&mut self, place: usize) -> Result<()> {
        self.relay(place)?.signal(Signal::TERM);
        self.wait_for_end(place).await
    }

    async fn wait_for_end(&mut self, place: usize) -> Result<()> {
        let relay = self.all.get_mut(place).context("there is no relay in this place")?;
        if let Some(mut process) = relay.process.take() {
            ensure!(process.ended(PATIENCE).await?, "relay {} did not end within {PATIENCE:?}", relay.name);
        }
        Ok(())
    }

    /// Starts a relay that has ended, as it was, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self, place: usize) -> Result<()> {
        let folder = self.folder().to_owned();
        let program = our_binary("uketsuke-relay")?;
        let mut command = self.house.as_ref().map_or_else(|| Command::new(&program), |house| house.command(&program));
        let relay = self.all.get_mut(place).context("there is no relay in this place")?;
        command.args(["serve", "--config", &format!("{}.toml", relay.name)]).current_dir(&folder);
        relay.process = Some(Process::start(&relay.name, command, &folder)?);
        wait_ready(&relay.name, relay.private).await
    }

    /// Waits until all living relays together hold this many pairs of tools; whether that came about.
    ///
    /// # Errors
    /// When a living relay does not answer.
    pub async fn wait_for_pairs(&self, count: usize, patience: Duration) -> Result<bool> {
        let until = Instant::now() + patience;
        loop {
            let held: f64 = self.held().await?.iter().sum();
            #[expect(clippy::cast_precision_loss, reason = "thousands of sessions at most")]
            let wanted = count as f64;
            if (held - wanted).abs() < 0.5 {
                return Ok(true);
            }
            if until <= Instant::now() {
                return Ok(false);
            }
            pause(LOOK).await;
        }
    }

    /// Pairs of tools at each living relay.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn held(&self) -> Result<Vec<f64>> {
        let mut held = Vec::new();
        for relay in self.all.iter().filter(|relay| relay.process.is_some()) {
            held.push(relay.metric("relay_sessions_active").await?);
        }
        Ok(held)
    }

    /// Lets tools meet at these relays, through the gates when there are any.
    pub fn matchmaker(&self) -> Arc<dyn Matchmaker> {
        self.matchmaker_of(Relay::address)
    }

    /// Lets tools meet at these relays, past any gate.
    pub fn direct_matchmaker(&self) -> Arc<dyn Matchmaker> {
        self.matchmaker_of(|relay, _side| relay.own_address(relay.listen))
    }

    /// Lets tools meet with tickets that are signed by a clock so many seconds ahead of the relays', or behind.
    pub fn matchmaker_ahead(&self, ahead_secs: i64) -> Arc<dyn Matchmaker> {
        Arc::new(Tickets { ahead_ms: ahead_secs.saturating_mul(1_000), ..self.tickets(Relay::address) })
    }

    /// Lets tools meet by what `choice` allows; they remember what worked from one session to the next.
    pub fn matchmaker_by(&self, choice: Choice) -> Arc<dyn Matchmaker> {
        Arc::new(Tickets { dialer: Dialer::new(choice), ..self.tickets(Relay::address) })
    }

    /// Lets an operator log in at the manager, whose sessions go the same ways as those of [`Self::matchmaker`].
    ///
    /// # Errors
    /// When the manager does not take the login.
    pub async fn receptions(&self) -> Result<Receptions> {
        let detours = [0, 1].map(|side| self.all.iter().map(|relay| (relay.id, relay.address(side).address)).collect());
        self.receptions_by(detours).await
    }

    /// As [`Self::receptions`], past any gate.
    ///
    /// # Errors
    /// See [`Self::receptions`].
    pub async fn direct_receptions(&self) -> Result<Receptions> {
        self.receptions_by([Detour::new(), Detour::new()]).await
    }

    /// Lets another operator log in, whose sessions go past any gate; with `tries`, that tool and those of the customers
    /// ask again what nobody answered.
    ///
    /// # Errors
    /// See [`Self::receptions`].
    pub async fn receptions_of(&self, account: &Account, tries: Option<Arc<Tries>>) -> Result<Receptions> {
        let dialer = Dialer::new(Choice::Only(self.transport));
        Receptions::open_with(account, dialer, [Detour::new(), Detour::new()], tries).await
    }

    async fn receptions_by(&self, detours: [Detour; 2]) -> Result<Receptions> {
        Receptions::open(self.world.account(), Dialer::new(Choice::Only(self.transport)), detours).await
    }

    /// The manager.
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// The manager, to be killed and started again.
    pub const fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }

    /// Puts weather between a relay and the customers, and the operators: at its gates, or on the cable of the house.
    ///
    /// # Errors
    /// When there are neither, or the house cannot make this weather.
    pub async fn set_weather(&mut self, place: usize, climates: &[Climate; 2]) -> Result<()> {
        let Some(house) = &self.house else {
            for (gate, climate) in self.relay(place)?.gates()?.iter().zip(climates) {
                gate.set(*climate);
            }
            return Ok(());
        };
        *self.climates.get_mut(place).context("there is no relay in this place")? = *climates;
        let ports = self.all.iter().map(|relay| relay.listen.port());
        house.set(ports.zip(&self.climates)).await
    }

    /// The network of the relays.
    ///
    /// # Errors
    /// When they have none of their own.
    pub fn house(&self) -> Result<&House> {
        self.house.as_ref().context("these relays are in no house")
    }

    /// Names and process ids of the servers that run: the managers and the relays.
    pub fn servers(&self) -> Vec<(String, u32)> {
        let relays = self.all.iter().map(|relay| (relay.name.clone(), relay.process_id()));
        let all = self.world.managers().ids().into_iter().chain(relays);
        all.filter(|(_name, id)| *id != 0).collect()
    }

    /// The key that signs tickets here.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The folder with configuration, database and logs.
    pub fn folder(&self) -> &Path {
        self.world.folder()
    }

    /// Puts another certificate with another key in the place of a relay's; tickets name the new key from now on.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub async fn renew_certificate(&mut self, place: usize) -> Result<()> {
        let folder = self.folder().to_owned();
        let relay = self.all.get_mut(place).context("there is no relay in this place")?;
        let files = tls::self_signed(&["localhost"])?;
        tokio::fs::write(folder.join(format!("{}.pem", relay.name)), &files.cert_pem).await?;
        tokio::fs::write(folder.join(format!("{}.key", relay.name)), &files.key_pem).await?;
        relay.spki = files.spki_hash;
        Ok(())
    }

    fn matchmaker_of(&self, address: impl Fn(&Relay, usize) -> RelayAddress) -> Arc<dyn Matchmaker> {
        Arc::new(self.tickets(address))
    }

    fn tickets(&self, address: impl Fn(&Relay, usize) -> RelayAddress) -> Tickets {
        let addresses = [0, 1].map(|side| self.all.iter().map(|relay| address(relay, side)).collect());
        let dialer = Dialer::new(Choice::Only(self.transport));
        Tickets { key: Arc::clone(&self.key), addresses, dialer, ahead_ms: 0 }
    }
}

impl Relay {
    async fn prepare(index: usize, world: &World, key: &SigningKey, plan: Plan) -> Result<Self> {
        let name = format!("relay-{index}");
        let (id, token_file) = world.enroll(&name).await?;
        let (folder, account) = match plan.managers {
            Managed::One | Managed::Two => (world.folder(), world.account().clone()),
            Managed::TwoApart => (world.folder(), world.account_at(1)?),
        };
        let files = tls::self_signed(&["localhost"])?;
        let at = |kind: &str| folder.join(format!("{name}.{kind}"));
        tokio::fs::write(at("pem"), &files.cert_pem).await?;
        tokio::fs::write(at("key"), &files.key_pem).await?;
        let (mut listen, mut private) = (free_address()?, free_address()?);
        let (mut operators_at, mut bind) = (listen, listen);
        if plan.housed {
            // A port that is free here is free there, where nobody else is.
            listen.set_ip(house::RELAYS[0]);
            operators_at.set_ip(house::RELAYS[1]);
            private.set_ip(house::RELAYS[0]);
            bind.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        let wide = if plan.strict { "" } else { WIDE };
        let sessions = ROOM_MIN + ROOM_LESS * limits::TICKET_RELAYS_MAX.saturating_sub(index);
        let text = format!(
            r#"
listen = "{bind}"
public_address = "{listen}"
private_listen = "{private}"
log_format = "json"
certificate_file = "{}"
key_file = "{}"
manager = "{}"
manager_ca_file = "{}"
token_file = "{}"

[limits]
{wide}sessions = {sessions}
drain = "1m"

[[ticket_keys]]
key_id = "fault"
public_key = "{}"
"#,
            at("pem").display(),
            at("key").display(),
            account.manager,
            account.ca.display(),
            token_file.display(),
            key.verifying_key().to_hex(),
        );
        tokio::fs::write(at("toml"), text).await?;
        Ok(Self { id, name, spki: files.spki_hash, listen, operators_at, private, process: None, gates: None })
    }

    /// Its name in files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Its process id; 0 when it is not running.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// Where it listens.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Hash of its key, as tickets name it.
    pub fn spki(&self) -> String {
        self.spki.clone()
    }

    /// The gate of the customers and that of the operators.
    ///
    /// # Errors
    /// When this run has no gates.
    pub fn gates(&self) -> Result<&[Gate; 2]> {
        self.gates.as_ref().context("these relays have no gates")
    }

    /// The sum of all values of a metric.
    ///
    /// # Errors
    /// When the relay does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(self.private, name).await
    }

    /// How connections' coming has ended so far, by the result that the relay counts it under.
    ///
    /// # Errors
    /// When the relay does not answer.
    pub async fn arrivals(&self) -> Result<BTreeMap<String, f64>> {
        metric_by(self.private, "relay_connections_total", "result").await
    }

    /// Sessions it holds, those with one side included.
    ///
    /// # Errors
    /// When the relay does not answer.
    pub async fn sessions_held(&self) -> Result<f64> {
        Ok(self.metric("relay_sessions_active").await? + self.metric("relay_sessions_waiting").await?)
    }

    /// Where tools of a side dial: 0 for customers, 1 for operators.
    fn address(&self, side: usize) -> RelayAddress {
        let gate = self.gates.as_ref().and_then(|gates| gates.get(side));
        let own = if side == 0 { self.listen } else { self.operators_at };
        self.own_address(gate.map_or(own, Gate::address))
    }

    fn own_address(&self, address: SocketAddr) -> RelayAddress {
        RelayAddress { relay_id: self.id, address: address.to_string(), spki: self.spki.clone() }
    }
}

/// Meets with tickets that are signed here.
struct Tickets {
    key: Arc<SigningKey>,
    addresses: [Vec<RelayAddress>; 2],
    dialer: Dialer,
    /// By how much the signer's clock is ahead.
    ahead_ms: i64,
}

impl Tickets {
    fn meeting(&self, session_id: SessionId, role: Role) -> Result<Meeting> {
        let proof_key = Arc::new(ProofKey::random(&mut OsRng));
        let relays = match role {
            Role::Customer => &self.addresses[0],
            Role::Operator => &self.addresses[1],
        };
        let named = relays.iter().map(|relay| TicketRelay { relay_id: relay.relay_id, spki: relay.spki.clone() });
        let now_ms = Clock::system().now_ms().saturating_add(self.ahead_ms);
        let ticket = Ticket {
            session_id,
            role,
            proof_key_hash: proof_key_hash(&proof_key.public()),
            relays: named.collect(),
            rate_max: u64::from(u32::MAX),
            issued_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(i64::try_from(limits::TICKET_LIFE.as_millis())?),
            hard_end_at_ms: now_ms.saturating_add(i64::try_from(limits::SESSION_LIFE_MAX.as_millis())?),
        };
        let pairing = Pairing {
            session_id,
            introduction: "an introduction".to_owned(),
            ticket: ticket.sign(&self.key)?,
            relays: relays.clone(),
        };
        Ok(Meeting {
            role,
            pairing,
            proof_key,
            secret: Zeroizing::new(b"3381".to_vec()),
            renew: None,
            dialer: self.dialer.clone(),
        })
    }
}

impl Matchmaker for Tickets {
    fn make(&self, _index: usize) -> BoxFuture<Result<[Sealed; 2]>> {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let session_id = SessionId::from_bytes(id);
        let meetings = [Role::Customer, Role::Operator].map(|role| self.meeting(session_id, role));
        Box::pin(async move {
            let [customer, operator] = meetings;
            let (customer, operator) = tokio::join!(meet(customer?), meet(operator?));
            both_or_why(customer, operator)
        })
    }
}
