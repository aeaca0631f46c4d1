//! What waits to be sent: only the newest position of the pointer waits, everything else keeps its order.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use proto::input::Input;
use tokio::sync::Notify;

/// Inputs that may wait: minutes of fast typing. More means that the line is dead.
pub const WAITING_MAX: usize = 1024;

/// Inputs between the hands and the session.
#[derive(Clone, Default)]
pub struct Queue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    waiting: Mutex<VecDeque<Input>>,
    arrived: Notify,
}

impl Queue {
    /// Adds an input. A position that still waits at the end is replaced, wheel notches are added up.
    ///
    /// When too much waits, all of it is dropped and everything held is let go instead: a late click is worse than a
    /// lost one.
    pub fn push(&self, input: Input) {
        let mut waiting = self.lock();
        push(&mut waiting, input);
        if WAITING_MAX < waiting.len() {
            waiting.clear();
            waiting.push_back(Input::ReleaseAll);
        }
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// Whether so many inputs can be added without loss.
    pub fn has_room(&self, count: usize) -> bool {
        self.lock().len().saturating_add(count) <= WAITING_MAX
    }

    /// Forgets what waits and lets go of everything held.
    pub fn release(&self) {
        let mut waiting = self.lock();
        waiting.clear();
        waiting.push_back(Input::ReleaseAll);
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// The next input; waits for one. Cancel-safe: an input is taken only when it is returned.
    pub async fn next(&self) -> Input {
        loop {
            if let Some(input) = self.lock().pop_front() {
                return input;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Takes all that waits.
    pub fn take_all(&self) -> Vec<Input> {
        self.lock().drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Input>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(waiting: &mut VecDeque<Input>, input: Input) {
    match (waiting.back_mut(), &input) {
        (Some(last @ Input::Pointer { .. }), Input::Pointer { .. }) => *last = input,
        (Some(Input::Wheel { dx, dy }), Input::Wheel { dx: more_x, dy: more_y }) => {
            *dx = dx.saturating_add(*more_x);
            *dy = dy.saturating_add(*more_y);
        }
        (Some(Input::ReleaseAll), Input::ReleaseAll) => {}
        _ => waiting.push_back(input),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::input::{Button, Key};

    use super::*;

    fn at(x: u16) -> Input {
        Input::Pointer { monitor: 0, x, y: 0 }
    }

    const fn press(pressed: bool) -> Input {
        Input::Button { button: Button::Left, pressed }
    }

    #[test]
    fn only_the_newest_waiting_position_is_sent_and_a_click_keeps_its_place() {
        let queue = Queue::default();
        for input in [at(1), at(2), press(true), at(3), at(4), press(false), at(5), at(6)] {
            queue.push(input);
        }
        assert_eq!(queue.take_all(), [at(2), press(true), at(4), press(false), at(6)]);
    }

    #[test]
    fn when_too_much_waits_everything_is_let_go() {
        let queue = Queue::default();
        for count in 0..=u16::try_from(WAITING_MAX).unwrap() {
            queue.push(Input::Key { key: Key(4 + count % 2), pressed: true });
        }
        assert_eq!(queue.take_all(), [Input::ReleaseAll]);
    }

    #[tokio::test]
    async fn an_input_wakes_the_session() {
        let queue = Queue::default();
        let (input, ()) = tokio::join!(queue.next(), async { queue.push(at(7)) });
        assert_eq!(input, at(7));
    }

    fn any_input() -> impl Strategy<Value = Input> {
        prop_oneof![
            (0..50u16).prop_map(at),
            any::<bool>().prop_map(press),
            (4..30u16, any::<bool>()).prop_map(|(key, pressed)| Input::Key { key: Key(key), pressed }),
        ]
    }

    proptest! {
        #[test]
        fn order_is_kept_and_each_click_happens_where_the_pointer_was(
            inputs in proptest::collection::vec(any_input(), 0..200),
        ) {
            let queue = Queue::default();
            for input in &inputs {
                queue.push(input.clone());
            }
            prop_assert_eq!(places(&queue.take_all()), places(&inputs));
        }
    }

    /// Everything but positions, each with the position it happened at.
    fn places(inputs: &[Input]) -> Vec<(Option<Input>, Input)> {
        let mut place = None;
        let mut found = Vec::new();
        for input in inputs {
            if matches!(input, Input::Pointer { .. }) {
                place = Some(input.clone());
            } else {
                found.push((place.clone(), input.clone()));
            }
        }
        found
    }
}
