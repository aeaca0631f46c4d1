//! Puts messages together from the frames of their lane, bounded by lane and credit. Pure.

use proto::{
    close::CloseReason,
    frame::{FLAG_MORE, Lane},
};

use crate::credit::ReceiveCredit;

/// Messages whose last frame has not come yet, one for each lane.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    partial: [Vec<u8>; 4],
}

impl Assembly {
    /// Takes the plain bytes of a frame; gives the message when it is whole.
    ///
    /// # Errors
    /// [`CloseReason::Malformed`] when the message is longer than its lane or its credit allows.
    pub(super) fn push(
        &mut self,
        lane: Lane,
        flags: u8,
        plain: Vec<u8>,
        credit: &ReceiveCredit,
    ) -> Result<Option<Vec<u8>>, CloseReason> {
        let partial = &mut self.partial[usize::from(lane.code())];
        let len = partial.len().saturating_add(plain.len());
        let is_allowed = len <= lane.message_len_max() && {
            // What the link says about itself is short and needs no credit.
            len <= UNCOUNTED_LEN_MAX || credit.check(lane, u64::try_from(len).unwrap_or(u64::MAX)).is_ok()
        };
        if !is_allowed {
            return Err(CloseReason::Malformed);
        }
        let more = flags & FLAG_MORE != 0;
        if partial.is_empty() && !more {
            return Ok(Some(plain));
        }
        partial.extend_from_slice(&plain);
        Ok(if more { None } else { Some(std::mem::take(partial)) })
    }
}

/// `Received`, `Credit`, `Echo`, `Echoed` and `End` in their longest form: variant 1 + four numbers of 10, and some room.
const UNCOUNTED_LEN_MAX: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_whole_while_other_lanes_pass_between_its_frames() {
        let (mut assembly, credit) = (Assembly::default(), ReceiveCredit::default());

        assert_eq!(assembly.push(Lane::Screen, FLAG_MORE, vec![1, 2], &credit), Ok(None));
        assert_eq!(assembly.push(Lane::Input, 0, vec![9], &credit), Ok(Some(vec![9])));
        assert_eq!(assembly.push(Lane::Screen, 0, vec![3], &credit), Ok(Some(vec![1, 2, 3])));
    }

    #[test]
    fn a_message_longer_than_its_lane_allows_is_refused_before_it_is_kept() {
        let (mut assembly, credit) = (Assembly::default(), ReceiveCredit::default());
        let max = Lane::Input.message_len_max();

        assert_eq!(assembly.push(Lane::Input, FLAG_MORE, vec![0; max], &credit), Ok(None));
        assert_eq!(assembly.push(Lane::Input, 0, vec![0], &credit), Err(CloseReason::Malformed));
    }

    #[test]
    fn bytes_without_credit_are_refused() {
        let (mut assembly, mut credit) = (Assembly::default(), ReceiveCredit::default());
        credit.arrived(Lane::Input, Lane::Input.credit());

        assert_eq!(assembly.push(Lane::Input, 0, vec![0; 100], &credit), Err(CloseReason::Malformed));
    }
}
