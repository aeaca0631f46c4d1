//! Hands that do nothing, for a session without a desktop: the synthetic screen.

use proto::input::Button;

use super::{Hands, InputError};

/// Does nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoHands;

impl Hands for NoHands {
    fn point(&mut self, _x: i32, _y: i32) -> Result<(), InputError> {
        Ok(())
    }

    fn button(&mut self, _button: Button, _pressed: bool) -> Result<(), InputError> {
        Ok(())
    }

    fn wheel(&mut self, _dx: i8, _dy: i8) -> Result<(), InputError> {
        Ok(())
    }

    fn key(&mut self, _evdev: u16, _pressed: bool) -> Result<(), InputError> {
        Ok(())
    }

    fn text(&mut self, _text: &str) -> Result<(), InputError> {
        Ok(())
    }
}
