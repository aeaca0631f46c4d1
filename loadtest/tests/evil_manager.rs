//! A manager gone bad, with a relay at its command, gets one visible guess at the secret and no session.
//!
//! How this was seen to fail: `a_right_guess_succeeds` is the same attack with the right digits, and it succeeds; with
//! the comparison of the confirmation made to do nothing in `Handshake::on`, both other tests failed because the tools
//! had a session that nobody had proved.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::{sync::Arc, time::Duration};

use link::{
    meet::{MeetError, Meeting, meet},
    race::Dialer,
    transport::{Choice, Transport},
};
use loadtest::evil::{Deed, EvilRelay};
use proto::{
    api::reception::{Pairing, RelayAddress},
    close::CloseReason,
    id::{RelayId, SessionId},
    role::Role,
    ticket::ProofKey,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

#[tokio::test]
async fn a_manager_in_the_middle_that_does_not_know_the_digits_is_caught_by_both_tools() {
    let relay = EvilRelay::start(impersonating(b"0000")).await.unwrap();

    let (operator, customer) = meet_both(&relay, [TOLD, TOLD]).await;

    assert_eq!(operator.unwrap_err().reason(), CloseReason::WrongSecret);
    assert_eq!(customer.unwrap_err().reason(), CloseReason::WrongSecret);
    assert!(!relay.fooled_somebody());
    relay.stop().await;
}

#[tokio::test]
async fn a_right_guess_succeeds() {
    let relay = EvilRelay::start(impersonating(SECRET)).await.unwrap();

    let (operator, customer) = meet_both(&relay, [TOLD, TOLD]).await;

    assert!(operator.is_ok() && customer.is_ok());
    assert!(relay.fooled_somebody());
    relay.stop().await;
}

#[tokio::test]
async fn tools_that_were_told_different_names_agree_on_no_key() {
    let relay = EvilRelay::start(Deed::Forward).await.unwrap();

    let (operator, customer) = meet_both(&relay, [TOLD, "operator Tanaka of company Other"]).await;

    assert_eq!(operator.unwrap_err().reason(), CloseReason::WrongSecret);
    assert_eq!(customer.unwrap_err().reason(), CloseReason::WrongSecret);
    relay.stop().await;
}

fn impersonating(guess: &[u8]) -> Deed {
    Deed::Impersonate { guess: guess.to_vec(), session_id: SESSION, introductions: [TOLD.to_owned(), TOLD.to_owned()] }
}

type Met = Result<link::sealed::Sealed, MeetError>;

/// Lets both tools meet at the relay; `told` is what the manager told customer and operator.
async fn meet_both(relay: &EvilRelay, told: [&str; 2]) -> (Met, Met) {
    link::tls::install_provider();
    let customer = meet(meeting(relay, Role::Customer, told[0]));
    let operator = meet(meeting(relay, Role::Operator, told[1]));
    let both = async {
        // The evil relay plays the operator to whoever comes first.
        let customer = tokio::spawn(customer);
        relay.wait_for_sides(1).await;
        let operator = tokio::spawn(operator);
        (operator.await.unwrap(), customer.await.unwrap())
    };
    timeout(Duration::from_secs(30), both).await.expect("the tools hang")
}

fn meeting(relay: &EvilRelay, role: Role, told: &str) -> Meeting {
    Meeting {
        role,
        pairing: Pairing {
            session_id: SESSION,
            introduction: told.to_owned(),
            ticket: "any".to_owned(),
            relays: vec![RelayAddress {
                relay_id: RelayId::from_bytes([1; 16]),
                address: relay.address.clone(),
                spki: relay.spki.clone(),
            }],
        },
        proof_key: Arc::new(ProofKey::random(&mut rand_core::OsRng)),
        secret: Zeroizing::new(SECRET.to_vec()),
        renew: None,
        dialer: Dialer::new(Choice::Only(Transport::Tcp)),
    }
}

const SECRET: &[u8] = b"3381";
const TOLD: &str = "operator Sato of company Opto";
const SESSION: SessionId = SessionId::from_bytes([7; 16]);
