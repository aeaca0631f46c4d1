//! End-to-end credit: how much of each lane may be under way between the two tools. Pure.
//!
//! The sender counts message bytes it sent, the receiver message bytes its program took. The difference is what may lie
//! in the other tool's memory, and [`Lane::credit`] bounds it; one message may always start when nothing is under way.
//! What the link itself says (`Credit`, `Echo`, `Echoed`, `End`) is not counted.

use proto::frame::Lane;

/// The sender's count.
#[derive(Debug, Default)]
pub struct SendCredit {
    sent: [u64; 4],
    taken: [u64; 4],
}

/// The receiver's count.
#[derive(Debug, Default)]
pub struct ReceiveCredit {
    arrived: [u64; 4],
    taken: [u64; 4],
    told: [u64; 4],
}

/// The other side broke the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// It says it took more than was sent, or less than it said before.
    #[error("credit for bytes that were not sent")]
    Impossible,
    /// It sent more than it had credit for.
    #[error("more bytes than the lane has credit for")]
    Exceeded,
}

impl SendCredit {
    /// Whether a message of `len` bytes may start now.
    pub fn allows(&self, lane: Lane, len: u64) -> bool {
        let under_way = self.under_way(lane);
        under_way == 0 || under_way.saturating_add(len) <= lane.credit()
    }

    /// Counts a message that starts.
    pub fn sent(&mut self, lane: Lane, len: u64) {
        let sent = &mut self.sent[place(lane)];
        *sent = sent.saturating_add(len);
    }

    /// Takes the other side's word for what it took since the session began.
    ///
    /// # Errors
    /// [`CreditError::Impossible`].
    pub fn on_credit(&mut self, lane: Lane, taken: u64) -> Result<(), CreditError> {
        let place = place(lane);
        if taken < self.taken[place] || self.sent[place] < taken {
            return Err(CreditError::Impossible);
        }
        self.taken[place] = taken;
        Ok(())
    }

    /// Message bytes sent that the other side has not taken yet.
    pub fn under_way(&self, lane: Lane) -> u64 {
        self.sent[place(lane)].saturating_sub(self.taken[place(lane)])
    }

    /// Message bytes sent since the session began.
    pub fn total(&self, lane: Lane) -> u64 {
        self.sent[place(lane)]
    }
}

impl ReceiveCredit {
    /// Checks a message that has grown to `len` bytes and may not be whole yet.
    ///
    /// # Errors
    /// [`CreditError::Exceeded`].
    pub fn check(&self, lane: Lane, len: u64) -> Result<(), CreditError> {
        let under_way = self.arrived[place(lane)].saturating_sub(self.told[place(lane)]);
        if under_way == 0 || under_way.saturating_add(len) <= lane.credit() {
            Ok(())
        } else {
            Err(CreditError::Exceeded)
        }
    }

    /// Counts a whole message that arrived.
    pub fn arrived(&mut self, lane: Lane, len: u64) {
        let arrived = &mut self.arrived[place(lane)];
        *arrived = arrived.saturating_add(len);
    }

    /// Counts a message that the program took.
    pub fn taken(&mut self, lane: Lane, len: u64) {
        let taken = &mut self.taken[place(lane)];
        *taken = taken.saturating_add(len);
    }

    /// Whether anything was taken that the sender was not told.
    pub fn is_owed(&self) -> bool {
        self.taken != self.told
    }

    /// Whether so much is owed on some lane that the sender should be told at once: a quarter of the lane's credit.
    pub fn is_urgent(&self) -> bool {
        Lane::ALL.into_iter().any(|lane| lane.credit() / 4 <= self.owed(lane))
    }

    /// The next lane that is owed a word, and the word; counts it as told.
    pub fn tell(&mut self) -> Option<(Lane, u64)> {
        let lane = Lane::ALL.into_iter().find(|lane| 0 < self.owed(*lane))?;
        let taken = self.taken[place(lane)];
        self.told[place(lane)] = taken;
        Some((lane, taken))
    }

    fn owed(&self, lane: Lane) -> u64 {
        self.taken[place(lane)].saturating_sub(self.told[place(lane)])
    }
}

fn place(lane: Lane) -> usize {
    usize::from(lane.code())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_message_of_any_length_may_start_when_nothing_is_under_way() {
        let mut credit = SendCredit::default();

        assert!(credit.allows(Lane::Input, u64::MAX));
        credit.sent(Lane::Input, Lane::Input.credit() * 4);

        assert!(!credit.allows(Lane::Input, 1));
        assert!(credit.allows(Lane::Control, 1), "lanes do not share their credit");
    }

    #[test]
    fn credit_for_bytes_never_sent_is_refused() {
        let mut credit = SendCredit::default();
        credit.sent(Lane::Screen, 100);

        assert_eq!(credit.on_credit(Lane::Screen, 101), Err(CreditError::Impossible));
        assert_eq!(credit.on_credit(Lane::Screen, 60), Ok(()));
        assert_eq!(credit.on_credit(Lane::Screen, 59), Err(CreditError::Impossible));
        assert_eq!(credit.under_way(Lane::Screen), 40);
    }

    proptest! {
        #[test]
        fn an_honest_sender_is_never_accused_and_never_stuck(
            steps in prop::collection::vec((0u8..4, 1u64..200_000, 0u8..3), 0..300),
        ) {
            let (mut sender, mut receiver) = (SendCredit::default(), ReceiveCredit::default());
            let mut lying: [Vec<u64>; 4] = Default::default();
            for (lane, len, verb) in steps {
                let lane = Lane::from_code(lane).unwrap();
                match verb {
                    0 => if sender.allows(lane, len) {
                        sender.sent(lane, len);
                        prop_assert_eq!(receiver.check(lane, len), Ok(()));
                        receiver.arrived(lane, len);
                        lying[place(lane)].push(len);
                    },
                    1 => if let Some(len) = lying[place(lane)].pop() {
                        receiver.taken(lane, len);
                    },
                    _ => while let Some((lane, taken)) = receiver.tell() {
                        prop_assert_eq!(sender.on_credit(lane, taken), Ok(()));
                    },
                }
            }
            for lane in Lane::ALL {
                for len in lying[place(lane)].drain(..) {
                    receiver.taken(lane, len);
                }
            }
            while let Some((lane, taken)) = receiver.tell() {
                sender.on_credit(lane, taken).unwrap();
            }
            prop_assert!(Lane::ALL.into_iter().all(|lane| sender.under_way(lane) == 0));
        }
    }
}
