//! The operator's pointer and keys, done on the customer's desktop.
//!
//! Guarantees: nothing acts while the permit does not allow it, checked at the moment of acting; everything that is
//! held is let go when the permit ends, when the session ends, when the operator says so, and after
//! [`SILENCE`] without a word from the operator. A thread of its own does it, because typing a long text takes time
//! that the session does not have.
//! It does not know how a permission is given (`consent.rs`).

pub mod held;
pub mod keymap;
pub mod none;
#[cfg(target_os = "linux")]
pub mod x11;

use std::{io, thread, time::Duration};

use proto::{
    input::{Button, Input},
    message::Monitor,
};
use tokio::{runtime::Handle, sync::mpsc};

use self::held::{Deed, Held};
use crate::consent::Permit;

/// Silence of the operator after which held keys and buttons are let go. The operator's tool says something at least
/// every second while it holds something.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Acts that wait for the thread at most.
const ACTS_MAX: usize = 256;
/// Characters typed between two looks at the permit.
const TEXT_PIECE: usize = 8;

/// Hands on a desktop; one implementation for each platform.
pub trait Hands {
    /// Moves the pointer, pixels of the desktop.
    ///
    /// # Errors
    /// See [`InputError`].
    fn point(&mut self, x: i32, y: i32) -> Result<(), InputError>;

    /// Presses or lets go of a button.
    ///
    /// # Errors
    /// See [`InputError`].
    fn button(&mut self, button: Button, pressed: bool) -> Result<(), InputError>;

    /// Turns the wheel, notches; positive is right and down.
    ///
    /// # Errors
    /// See [`InputError`].
    fn wheel(&mut self, dx: i8, dy: i8) -> Result<(), InputError>;

    /// Presses or lets go of a physical key, by its evdev code.
    ///
    /// # Errors
    /// See [`InputError`].
    fn key(&mut self, evdev: u16, pressed: bool) -> Result<(), InputError>;

    /// Types a text, whatever the keyboard's layout.
    ///
    /// # Errors
    /// See [`InputError`].
    fn text(&mut self, text: &str) -> Result<(), InputError>;
}

/// Makes hands on the thread they will live on.
pub type MakeHands = Box<dyn FnOnce() -> Result<Box<dyn Hands>, InputError> + Send>;

/// Why input could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No connection to the display.
    #[error("the display takes no input: {0}")]
    Open(String),
    /// One act failed; the next may work.
    #[error("the display refused an act: {0}")]
    Refused(String),
}

/// What the session tells the thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Do this, if it is allowed.
    Do(Input),
    /// The operator is there: held keys stay held.
    Alive,
    /// Monitors changed; positions refer to these.
    Monitors(Vec<Monitor>),
}

/// Starts the thread. It ends, with everything let go, when the sender is dropped.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(make: MakeHands, permit: Permit) -> io::Result<mpsc::Sender<Act>> {
    let (acts, received) = mpsc::channel(ACTS_MAX);
    let runtime = Handle::current();
    thread::Builder::new().name("input".to_owned()).spawn(move || match make() {
        Ok(hands) => Worker { hands, permit, held: Held::default() }.run(&runtime, received),
        Err(error) => tracing::warn!(event = "input.unavailable", reason = %error, "No input can be given: {error}"),
    })?;
    Ok(acts)
}

struct Worker {
    hands: Box<dyn Hands>,
    permit: Permit,
    held: Held,
}

impl Worker {
    fn run(mut self, runtime: &Handle, mut acts: mpsc::Receiver<Act>) {
        loop {
            let next = runtime.block_on(async {
                let holding = self.held.is_holding();
                tokio::select! {
                    biased;
                    () = self.permit.idle(), if holding => Some(Act::Do(Input::ReleaseAll)),
                    act = acts.recv() => act,
                    () = tokio::time::sleep(SILENCE), if holding => Some(Act::Do(Input::ReleaseAll)),
                }
            });
            let Some(act) = next else { break };
            self.act(act);
        }
        self.act(Act::Do(Input::ReleaseAll));
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Alive => {}
            Act::Monitors(monitors) => self.held.set_monitors(monitors),
            Act::Do(input) => {
                for deed in self.held.plan(input, self.permit.may_act()) {
                    self.deed(deed);
                }
            }
        }
    }

    fn deed(&mut self, deed: Deed) {
        let done = match deed {
            Deed::Point(x, y) => self.hands.point(x, y),
            Deed::Button(button, pressed) => self.hands.button(button, pressed),
            Deed::Wheel(dx, dy) => self.hands.wheel(dx, dy),
            Deed::Key(evdev, pressed) => self.hands.key(evdev, pressed),
            Deed::Text(text) => self.text(&text),
        };
        if let Err(error) = done {
            // Never with the input: it may be a password.
            tracing::warn!(event = "input.refused", reason = %error, "The desktop refused an input");
        }
    }

    /// Types piece by piece, so that a pause in the middle of a long text stops it.
    fn text(&mut self, text: &str) -> Result<(), InputError> {
        let characters: Vec<char> = text.chars().collect();
        for piece in characters.chunks(TEXT_PIECE) {
            if !self.permit.may_act() {
                return Ok(());
            }
            self.hands.text(&piece.iter().collect::<String>())?;
        }
        Ok(())
    }
}
