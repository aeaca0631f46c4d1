//! The window: draws the pages, hands keys over, and talks to the network thread.
//!
//! Guarantees: the network runs on a thread of its own, so a slow display delays no session and a slow network no
//! frame; both directions are bounded. Closing the window says goodbye to customer and manager.

use std::{io, path::PathBuf, sync::Arc, thread};

use desk::{bookmark::Shelf, clock, look, signals::Signals, text::Catalogue};
use eframe::{EframeWinitApplication, NativeOptions, UserEvent};
use egui::{Context, ViewportBuilder, ViewportCommand};
use link::{api::ManagerApi, race::Dialer};
use tokio::{
    runtime,
    sync::{mpsc, watch},
    time,
};
use tracing::warn;
use winit::{
    application::ApplicationHandler,
    event::{DeviceEvent, DeviceId, ElementState, Ime, StartCause, WindowEvent},
    event_loop::{ActiveEventLoop, ControlFlow, EventLoop},
    keyboard::PhysicalKey,
    window::WindowId,
};

use crate::{
    app::event::{Event, Wish},
    engine::{Arrived, Engine},
    input::{capture::Capture, collect::Act, keymap},
    login::Remembered,
    session::Wake,
    ui::{Pages, View},
};

/// Wishes ahead of the network thread: more clicks than anybody makes.
const WISHES_MAX: usize = 256;
/// Pause between two looks at the clock, for what counts down.
const TICK: time::Duration = time::Duration::from_millis(500);

/// What the window needs to open.
pub struct Opening {
    /// The manager.
    pub api: ManagerApi,
    /// The sentences.
    pub text: Catalogue,
    /// Folder in which company code and id are remembered.
    pub folder: Option<PathBuf>,
    /// Finds relays.
    pub dialer: Dialer,
}

/// Opens the window and stays until it is closed.
///
/// # Errors
/// When there is no display, or a thread cannot be started.
pub fn run(opening: Opening) -> anyhow::Result<()> {
    let Opening { api, text, folder, dialer } = opening;
    let event_loop = EventLoop::<UserEvent>::with_user_event().build()?;
    event_loop.set_control_flow(ControlFlow::Wait);
    let capture = Capture::default();
    let network = Network::default();
    let remembered = folder.as_deref().map(Remembered::load).unwrap_or_default();
    let pages = Pages::new(text, capture.clone(), remembered, jiff::tz::TimeZone::system());
    let joins = Arc::clone(&network.thread);
    let creator = Box::new(move |context: &eframe::CreationContext<'_>| {
        look::apply(&context.egui_ctx);
        let engine = |wake| Engine::new(api, wake, dialer).with_shelf(Shelf::of_user(), clock::now_ms());
        let window = Window::start(&context.egui_ctx, engine, pages, folder, &network)?;
        Ok(Box::new(window) as Box<dyn eframe::App>)
    });
    let mut app =
        Tapped { inner: eframe::create_native("uketsuke-operator", native_options(), creator, &event_loop), capture };
    event_loop.run_app(&mut app)?;
    drop(app);
    let thread = joins.lock().map(|mut thread| thread.take()).unwrap_or_default();
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        warn!(event = "tool.network_died", "The network thread did not end well");
    }
    Ok(())
}

/// Size and title of the window.
pub fn native_options() -> NativeOptions {
    let viewport = ViewportBuilder::default()
        .with_title("Uketsuke")
        .with_app_id("uketsuke-operator")
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([800.0, 560.0]);
    NativeOptions { viewport, ..NativeOptions::default() }
}

#[derive(Default)]
struct Network {
    thread: Arc<std::sync::Mutex<Option<thread::JoinHandle<()>>>>,
}

/// The pages with their two channels.
struct Window {
    pages: Pages,
    view: watch::Receiver<View>,
    wishes: mpsc::Sender<Wish>,
    folder: Option<PathBuf>,
    was_logged_in: bool,
    remembered: Remembered,
}

impl Window {
    fn start(
        ctx: &Context,
        engine: impl FnOnce(Wake) -> Engine + Send + 'static,
        pages: Pages,
        folder: Option<PathBuf>,
        network: &Network,
    ) -> io::Result<Self> {
        let (wishes, wished) = mpsc::channel(WISHES_MAX);
        let (views, view) = watch::channel(View::default());
        let wake: Wake = {
            let ctx = ctx.clone();
            Arc::new(move || ctx.request_repaint())
        };
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).thread_name("network").enable_all().build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::listen()?
        };
        let ctx = ctx.clone();
        let thread = thread::Builder::new().name("network".to_owned()).spawn(move || {
            runtime.spawn(close_on(signals, ctx));
            runtime.block_on(drive(engine(Arc::clone(&wake)), wished, views, wake));
        })?;
        if let Ok(mut place) = network.thread.lock() {
            *place = Some(thread);
        }
        let remembered = pages.remembered();
        Ok(Self { pages, view, wishes, folder, was_logged_in: false, remembered })
    }

    /// Remembers company code and id once a login with them held.
    fn remember(&mut self, logged_in: bool, login: Option<Remembered>) {
        if let Some(login) = login {
            self.remembered = login;
        }
        if logged_in
            && !self.was_logged_in
            && let Some(folder) = &self.folder
            && let Err(error) = self.remembered.save(folder)
        {
            warn!(event = "login.not_remembered", reason = %error, "Company code and id were not remembered");
        }
        self.was_logged_in = logged_in;
    }
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let view = self.view.borrow_and_update().clone();
        let wishes = self.pages.show(ui, &view, clock::now_ms());
        let login = wishes.iter().any(|wish| matches!(wish, Wish::Login(_))).then(|| self.pages.remembered());
        self.remember(view.app.account.is_some(), login);
        for wish in wishes {
            if self.wishes.try_send(wish).is_err() {
                warn!(event = "tool.wish_lost", "The network thread takes nothing more");
                ui.ctx().send_viewport_cmd(ViewportCommand::Close);
            }
        }
        ui.ctx().request_repaint_after(TICK);
    }
}

/// Closes the window when the system ends the program.
async fn close_on(mut signals: Signals, ctx: Context) {
    signals.end().await;
    ctx.send_viewport_cmd(ViewportCommand::Close);
    ctx.request_repaint();
}

/// The network thread: the engine, until the window is gone.
async fn drive(mut engine: Engine, mut wishes: mpsc::Receiver<Wish>, views: watch::Sender<View>, wake: Wake) {
    let mut tick = time::interval(TICK);
    loop {
        let event = tokio::select! {
            arrived = engine.arrived() => match arrived {
                Arrived::Event(event) => event,
                Arrived::Changed(_) => continue,
            },
            wish = wishes.recv() => match wish {
                Some(wish) => Event::Wish(wish),
                None => break,
            },
            _ = tick.tick() => Event::Tick,
        };
        let ticked = matches!(event, Event::Tick);
        // What is told is for programs; the window shows the machine itself.
        drop(engine.take(event, clock::now_ms()));
        if !ticked {
            let view = View { app: Arc::new(engine.app().clone()), session: engine.session().cloned() };
            views.send_replace(view);
            wake();
        }
    }
    drop(engine.farewell(clock::now_ms()).await);
}

/// The event loop with a tap: captured keys reach the customer, not the pages.
struct Tapped<'a> {
    inner: EframeWinitApplication<'a>,
    capture: Capture,
}

impl Tapped<'_> {
    /// Whether the event was taken for the customer.
    fn take(&self, event: &WindowEvent) -> bool {
        if !self.capture.is_on() {
            return false;
        }
        if let WindowEvent::KeyboardInput { event, is_synthetic, .. } = event {
            let pressed = event.state == ElementState::Pressed;
            if let PhysicalKey::Code(code) = event.physical_key
                && let Some(key) = keymap::of_code(code)
                && !(pressed && *is_synthetic)
            {
                self.capture.act(Act::Key { key, pressed });
            }
            return true;
        }
        if let WindowEvent::Ime(Ime::Preedit(text, _)) = event {
            self.capture.set_composing(!text.is_empty());
        } else if let WindowEvent::Ime(Ime::Commit(text)) = event {
            self.capture.set_composing(false);
            self.capture.act(Act::Text(text.clone()));
        } else if let WindowEvent::Ime(Ime::Disabled) = event {
            self.capture.set_composing(false);
        } else if let WindowEvent::Focused(false) = event {
            self.capture.act(Act::FocusLost);
            return false;
        }
        matches!(event, WindowEvent::Ime(_))
    }
}

impl ApplicationHandler<UserEvent> for Tapped<'_> {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        self.inner.resumed(event_loop);
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, window_id: WindowId, event: WindowEvent) {
        if !self.take(&event) {
            self.inner.window_event(event_loop, window_id, event);
        }
    }

    fn new_events(&mut self, event_loop: &ActiveEventLoop, cause: StartCause) {
        self.inner.new_events(event_loop, cause);
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, event: UserEvent) {
        self.inner.user_event(event_loop, event);
    }

    fn device_event(&mut self, event_loop: &ActiveEventLoop, device_id: DeviceId, event: DeviceEvent) {
        self.inner.device_event(event_loop, device_id, event);
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        self.inner.about_to_wait(event_loop);
    }

    fn suspended(&mut self, event_loop: &ActiveEventLoop) {
        self.inner.suspended(event_loop);
    }

    fn exiting(&mut self, event_loop: &ActiveEventLoop) {
        self.inner.exiting(event_loop);
    }

    fn memory_warning(&mut self, event_loop: &ActiveEventLoop) {
        self.inner.memory_warning(event_loop);
    }
}
