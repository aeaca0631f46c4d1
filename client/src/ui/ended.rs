//! The last page: why it ended and what to do.

use desk::{
    look::{GAP, GAP_LARGE, widget},
    text::Catalogue,
};
use egui::{Ui, accesskit};
use proto::close::CloseReason;

use super::Did;
use crate::app::Event;

pub(super) fn draw(ui: &mut Ui, reason: CloseReason, text: &Catalogue, did: &mut Vec<Did>) {
    ui.add_space(GAP_LARGE * 2.0);
    let heading = widget::heading(ui, &text.say("ended.heading", &[]));
    ui.ctx().accesskit_node_builder(heading.id, |node| node.set_live(accesskit::Live::Assertive));
    ui.add_space(GAP);
    widget::card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(text.say(&format!("ended.{}", sentence(reason)), &[]));
        ui.add_space(GAP);
        widget::explain(ui, &text.say("ended.nobody_sees", &[]));
    });
    ui.add_space(GAP_LARGE);
    ui.horizontal_wrapped(|ui| {
        if widget::primary(ui, &text.say("ended.close", &[])).clicked() {
            did.push(Did::Close);
        }
        if widget::quiet(ui, &text.say("ended.again", &[])).clicked() {
            did.push(Did::App(Event::Again));
        }
    });
}

/// Twenty-eight reasons are eight sentences for a customer.
const fn sentence(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::OperatorEnded | CloseReason::Cancelled => "operator_ended",
        CloseReason::CustomerEnded => "customer_ended",
        CloseReason::ConsentRefused => "consent_refused",
        CloseReason::ConsentTimeout => "consent_timeout",
        CloseReason::PeerTimeout
        | CloseReason::PeerLost
        | CloseReason::WriteStalled
        | CloseReason::Silent
        | CloseReason::RelayStopped
        | CloseReason::TransportLost
        | CloseReason::Draining
        | CloseReason::Overloaded
        | CloseReason::HelloTimeout
        | CloseReason::ProveTimeout
        | CloseReason::Displaced
        | CloseReason::Unknown => "connection_lost",
        CloseReason::HardEnd | CloseReason::TicketExpired => "time_over",
        CloseReason::Revoked => "stopped",
        CloseReason::WrongSecret
        | CloseReason::SealBroken
        | CloseReason::Malformed
        | CloseReason::WrongVersion
        | CloseReason::TicketUnknown
        | CloseReason::TicketElsewhere
        | CloseReason::ProofWrong
        | CloseReason::Crowded => "broken",
        CloseReason::Abnormal => "abnormal",
    }
}

#[cfg(test)]
mod tests {
    use desk::lang::Lang;

    use super::*;

    #[test]
    fn every_end_has_a_sentence_in_both_languages() {
        for lang in Lang::ALL {
            let text = super::super::catalogue(lang).unwrap();
            for reason in CloseReason::ALL {
                let id = format!("ended.{}", sentence(*reason));
                assert_ne!(text.say(&id, &[]), id, "{reason:?}");
            }
        }
    }
}
