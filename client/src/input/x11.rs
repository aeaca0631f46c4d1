//! Hands on an X11 desktop, by the test extension of the display.

use enigo::{Axis, Coordinate, Direction, Enigo, InputError as EnigoError, Keyboard as _, Mouse as _, Settings};
use proto::input::Button;

use super::{Hands, InputError};

/// Pause that is given to programs for each change of the keyboard, in milliseconds. Shorter ones lose letters.
const DELAY_MS: u32 = 4;
/// X11 key codes begin here.
const KEYCODE_OFFSET: u16 = 8;

/// Hands on one X11 display.
pub struct X11Hands(Enigo);

impl X11Hands {
    /// Opens a display such as `:7`; without a name the one of the environment.
    ///
    /// # Errors
    /// [`InputError::Open`].
    pub fn open(display: Option<&str>) -> Result<Self, InputError> {
        let settings =
            Settings { x11_display: display.map(str::to_owned), linux_delay: DELAY_MS, ..Settings::default() };
        Enigo::new(&settings).map(Self).map_err(|error| InputError::Open(error.to_string()))
    }
}

impl Hands for X11Hands {
    fn point(&mut self, x: i32, y: i32) -> Result<(), InputError> {
        Ok(self.0.move_mouse(x, y, Coordinate::Abs)?)
    }

    fn button(&mut self, button: Button, pressed: bool) -> Result<(), InputError> {
        let button = match button {
            Button::Left => enigo::Button::Left,
            Button::Middle => enigo::Button::Middle,
            Button::Right => enigo::Button::Right,
        };
        Ok(self.0.button(button, direction(pressed))?)
    }

    fn wheel(&mut self, dx: i8, dy: i8) -> Result<(), InputError> {
        if dx != 0 {
            self.0.scroll(dx.into(), Axis::Horizontal)?;
        }
        if dy != 0 {
            self.0.scroll(dy.into(), Axis::Vertical)?;
        }
        Ok(())
    }

    fn key(&mut self, evdev: u16, pressed: bool) -> Result<(), InputError> {
        Ok(self.0.raw(evdev.saturating_add(KEYCODE_OFFSET), direction(pressed))?)
    }

    fn text(&mut self, text: &str) -> Result<(), InputError> {
        Ok(self.0.text(text)?)
    }
}

const fn direction(pressed: bool) -> Direction {
    if pressed { Direction::Press } else { Direction::Release }
}

impl From<EnigoError> for InputError {
    fn from(error: EnigoError) -> Self {
        // Some variants quote the key; their names say enough.
        let what = match error {
            EnigoError::Mapping(_) => "a key has no place on the keyboard",
            EnigoError::Unmapping(_) => "a key cannot be given back",
            EnigoError::NoEmptyKeycodes => "the keyboard has no free place",
            EnigoError::Simulate(what) | EnigoError::InvalidInput(what) => what,
        };
        Self::Refused(what.to_owned())
    }
}
