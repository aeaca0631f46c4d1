//! Which desktop is shared: the customer's display, or a synthetic one.

use crate::{
    input::{Hands, MakeHands, none::NoHands},
    screen::capture::{
        Capture, MakeCapture,
        synthetic::{Easel, Synthetic},
    },
};

/// A desktop to share.
#[derive(Debug, Clone)]
pub enum Desktop {
    /// An X11 display such as `:7`; without a name the one of the environment.
    X11(Option<String>),
    /// A picture that nobody sees.
    Synthetic(Easel),
}

impl Desktop {
    /// How to open its screen.
    pub fn capture(&self) -> MakeCapture {
        match self.clone() {
            #[cfg(target_os = "linux")]
            Self::X11(display) => Box::new(move || {
                let capture = crate::screen::capture::x11::X11::open(display.as_deref())?;
                Ok(Box::new(capture) as Box<dyn Capture>)
            }),
            #[cfg(not(target_os = "linux"))]
            Self::X11(_) => Box::new(|| {
                Err(crate::screen::capture::CaptureError::Open("there is no X11 on this system".to_owned()))
            }),
            Self::Synthetic(easel) => Box::new(move || Ok(Box::new(Synthetic::new(easel)) as Box<dyn Capture>)),
        }
    }

    /// How to open its input.
    pub fn hands(&self) -> MakeHands {
        match self.clone() {
            #[cfg(target_os = "linux")]
            Self::X11(display) => Box::new(move || {
                let hands = crate::input::x11::X11Hands::open(display.as_deref())?;
                Ok(Box::new(hands) as Box<dyn Hands>)
            }),
            #[cfg(not(target_os = "linux"))]
            Self::X11(_) => {
                Box::new(|| Err(crate::input::InputError::Open("there is no X11 on this system".to_owned())))
            }
            Self::Synthetic(_) => Box::new(|| Ok(Box::new(NoHands) as Box<dyn Hands>)),
        }
    }
}
