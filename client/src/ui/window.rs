//! The window on a real display: effects, the network's thread, the bar's own viewport.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use desk::{bookmark::Shelf, clock, lang::Lang, look, signals::Signals, text::Catalogue};
use egui::{Context, UserAttentionType, ViewportBuilder, ViewportClass, ViewportCommand, ViewportId, WindowLevel};
use link::{api::ManagerApi, race::Dialer};
use proto::role::Role;
use tokio::{
    runtime::Runtime,
    sync::mpsc::{self, error::TryRecvError},
    task::JoinHandle,
};

use super::{Did, bar, draw};
use crate::{
    app::{App, Effect, Event, Shown},
    consent::Permit,
    desktop::Desktop,
    entry_key::EntryKey,
    session::Command,
    visit::{self, Plan, Stage, Step},
};

/// Steps and commands under way at most.
const QUEUE_MAX: usize = 64;
/// How long the end of the last visit is waited for when the window closes.
const FAREWELL: Duration = Duration::from_secs(3);
/// Size of the window.
const SIZE: [f32; 2] = [860.0, 680.0];

/// Opens the window and stays until it is closed. `number` is in the field at first; nobody but the customer enters it.
///
/// # Errors
/// When no window can be opened or the network's thread cannot be started.
pub fn run(api: ManagerApi, desktop: Desktop, lang: Lang, dialer: Dialer, number: Option<&str>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_all().build()?;
    let text = super::catalogue(lang)?;
    let title = text.say("window.title", &[]);
    let state = Arc::new(Mutex::new(State {
        app: first_page(&api, number),
        text,
        api,
        desktop,
        dialer,
        entry_key: EntryKey::none(),
        permit: Permit::none(),
        commands: None,
        steps: None,
        leaving: None,
        runtime,
    }));
    let viewport = ViewportBuilder::default()
        .with_title(&title)
        .with_app_id("uketsuke-client")
        .with_inner_size(SIZE)
        .with_min_inner_size([520.0, 480.0]);
    let options = eframe::NativeOptions { viewport, centered: true, ..Default::default() };
    let window = Window(Arc::clone(&state));
    let signals = {
        let state = lock(&state);
        let _inside = state.runtime.enter();
        Signals::listen()?
    };
    let ending = Arc::clone(&state);
    let opened = eframe::run_native(
        &title,
        options,
        Box::new(move |creation| {
            look::apply(&creation.egui_ctx);
            lock(&ending).runtime.spawn(close_on(signals, creation.egui_ctx.clone()));
            Ok(Box::new(window))
        }),
    );
    farewell(&state);
    opened.map_err(|error| anyhow::anyhow!("no window can be opened: {error}"))
}

/// What the window and the bar share.
struct State {
    app: App,
    text: Catalogue,
    api: ManagerApi,
    desktop: Desktop,
    dialer: Dialer,
    entry_key: EntryKey,
    permit: Permit,
    commands: Option<mpsc::Sender<Command>>,
    steps: Option<mpsc::Receiver<Step>>,
    /// A session that an earlier process left is being ended.
    leaving: Option<JoinHandle<()>>,
    runtime: Runtime,
}

/// The number field, or the session that an earlier process left.
fn first_page(api: &ManagerApi, number: Option<&str>) -> App {
    let found = Shelf::of_user().map(|shelf| shelf.find(Role::Customer, api.url(), clock::now()));
    let newest = found.and_then(|found| found.into_iter().next()).map(|found| found.bookmark);
    let known = newest.and_then(|newest| Some((newest.introduction().ok()?, newest)));
    known.map_or_else(
        || App::with_number(number.unwrap_or_default()),
        |(introduction, newest)| {
            let shown = match newest.viewed_at_ms {
                None => Shown::Nothing,
                Some(_) if newest.is_paused => Shown::Paused,
                Some(_) => Shown::Screen,
            };
            App::found(newest.pairing.session_id, introduction, shown)
        },
    )
}

struct Window(Arc<Mutex<State>>);

impl eframe::App for Window {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        lock(&self.0).take_steps(ctx);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        let mut state = lock(&self.0);
        let now = now();
        let did = draw(ui, &state.app, &state.text, now);
        state.follow(&ctx, did);
        if state.app.question().is_some() {
            ctx.request_repaint_after(Duration::from_secs(1));
        }
        let shared = state.app.sharing().is_some();
        drop(state);
        if shared {
            show_bar(&ctx, &self.0);
        }
    }
}

/// Closes the window when the system ends the program.
async fn close_on(mut signals: Signals, ctx: Context) {
    signals.end().await;
    ctx.send_viewport_cmd_to(ViewportId::ROOT, ViewportCommand::Close);
    ctx.request_repaint_of(ViewportId::ROOT);
}

/// The bar repaints on its own, also while the window is minimised.
fn show_bar(ctx: &Context, state: &Arc<Mutex<State>>) {
    let screen_width = ctx.input(|input| input.viewport().monitor_size).map_or(1280.0, |size| size.x);
    // "End" is at the right edge of the bar, and must be on the screen.
    let width = screen_width.clamp(SIZE[0] / 2.0, bar::SIZE[0]);
    let builder = ViewportBuilder::default()
        .with_title(lock(state).text.say("window.title", &[]))
        .with_inner_size([width, bar::SIZE[1]])
        .with_position([((screen_width - width) / 2.0).max(0.0), 0.0])
        .with_decorations(false)
        .with_resizable(false)
        .with_taskbar(false)
        .with_window_level(WindowLevel::AlwaysOnTop);
    let state = Arc::clone(state);
    ctx.show_viewport_deferred(ViewportId::from_hash_of("bar"), builder, move |ui, class| {
        debug_assert!(class != ViewportClass::Root, "the bar is a window of its own");
        let ctx = ui.ctx().clone();
        let mut state = lock(&state);
        let did = bar::draw(ui, &state.app, &state.text, now());
        if !did.is_empty() {
            state.follow(&ctx, did);
            ctx.request_repaint_of(ViewportId::ROOT);
        }
        ctx.request_repaint_after(Duration::from_mins(1));
    });
}

impl State {
    /// Takes what the network says.
    fn take_steps(&mut self, ctx: &Context) {
        loop {
            let step = match self.steps.as_mut().map(mpsc::Receiver::try_recv) {
                Some(Ok(step)) => step,
                Some(Err(TryRecvError::Empty)) | None => return,
                Some(Err(TryRecvError::Disconnected)) => {
                    self.steps = None;
                    return;
                }
            };
            self.on(ctx, Event::Step(step));
        }
    }

    fn follow(&mut self, ctx: &Context, did: Vec<Did>) {
        for did in did {
            match did {
                Did::App(event) => self.on(ctx, event),
                Did::Lang(lang) => self.text.set_lang(lang),
                Did::Close => ctx.send_viewport_cmd_to(ViewportId::ROOT, ViewportCommand::Close),
            }
        }
    }

    fn on(&mut self, ctx: &Context, event: Event) {
        let page = self.app.page();
        for effect in self.app.on(event, now()) {
            self.carry_out(ctx, effect);
        }
        if page != self.app.page() {
            ctx.request_repaint_of(ViewportId::ROOT);
        }
        ctx.request_repaint_of(ViewportId::from_hash_of("bar"));
    }

    fn carry_out(&mut self, ctx: &Context, effect: Effect) {
        match effect {
            Effect::Brake(brake) => self.permit.brake(brake),
            Effect::Command(command) => {
                // The brake is on already; a full queue has an end in it or a session that is ending.
                if let Some(Err(error)) = self.commands.as_ref().map(|commands| commands.try_send(command)) {
                    tracing::warn!(event = "command.lost", reason = %error, "The session does not take commands");
                }
            }
            Effect::Raise => {
                ctx.send_viewport_cmd_to(ViewportId::ROOT, ViewportCommand::Minimized(false));
                ctx.send_viewport_cmd_to(ViewportId::ROOT, ViewportCommand::Focus);
                let notice = ViewportCommand::RequestUserAttention(UserAttentionType::Informational);
                ctx.send_viewport_cmd_to(ViewportId::ROOT, notice);
                ctx.request_repaint_of(ViewportId::ROOT);
            }
            Effect::Lower => ctx.send_viewport_cmd_to(ViewportId::ROOT, ViewportCommand::Minimized(true)),
            Effect::EndLeft(session_id) => {
                if let Some(shelf) = Shelf::of_user() {
                    let ending = visit::end(self.api.clone(), session_id, self.dialer.clone(), shelf);
                    self.leaving = Some(self.runtime.spawn(ending));
                }
            }
            Effect::Visit(begin) => {
                // Each visit has a permit of its own: what an old one was granted means nothing for the new one.
                self.permit = Permit::none();
                let (commands, taken) = mpsc::channel(QUEUE_MAX);
                let (told, steps) = mpsc::channel(QUEUE_MAX);
                (self.commands, self.steps) = (Some(commands), Some(steps));
                let stage = Stage {
                    desktop: self.desktop.clone(),
                    permit: self.permit.clone(),
                    language: self.text.lang().as_str(),
                    shelf: Shelf::of_user(),
                };
                let (api, dialer) = (self.api.clone(), self.dialer.clone());
                let plan = Plan { api, begin, entry_key: self.entry_key.clone(), dialer, stage };
                let waking = wake_on_step(ctx.clone(), told);
                self.runtime.spawn(visit::visit(plan, taken, waking.0));
                self.runtime.spawn(waking.1);
            }
        }
    }
}

/// A sender whose steps wake the window.
fn wake_on_step(ctx: Context, told: mpsc::Sender<Step>) -> (mpsc::Sender<Step>, impl Future<Output = ()>) {
    let (sender, mut steps) = mpsc::channel(QUEUE_MAX);
    let forward = async move {
        while let Some(step) = steps.recv().await {
            if told.send(step).await.is_err() {
                return;
            }
            ctx.request_repaint_of(ViewportId::ROOT);
        }
    };
    (sender, forward)
}

/// A window that is closed in a session ends the session and waits a moment until the other side and the manager know.
fn farewell(state: &Arc<Mutex<State>>) {
    let mut state = lock(state);
    state.permit.brake(crate::consent::Brake::All);
    state.commands = None;
    if let Some(leaving) = state.leaving.take() {
        // Whoever is not reached by then finds out by itself.
        drop(state.runtime.block_on(async { tokio::time::timeout(FAREWELL, leaving).await }));
    }
    if let Some(mut steps) = state.steps.take() {
        let closing = async { while steps.recv().await.is_some() {} };
        if state.runtime.block_on(async { tokio::time::timeout(FAREWELL, closing).await }).is_err() {
            tracing::info!(event = "session.left", "The window was closed before the other side knew");
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
