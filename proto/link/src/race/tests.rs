//! Races without a network, in paused time.

use tokio::time::sleep;

use super::*;

/// Succeeds or fails after a while; says its name.
fn attempt(after: u64, name: &'static str, takes: u64, works: bool) -> Attempt<&'static str> {
    let run = async move {
        sleep(Duration::from_millis(takes)).await;
        if works { Ok(name) } else { Err(DialError::Failed(io::Error::other(name))) }
    };
    Attempt { after: Duration::from_millis(after), run: Box::pin(run) }
}

async fn raced(attempts: Vec<Attempt<&'static str>>) -> (Result<&'static str, String>, u64) {
    let begun = Instant::now();
    let won = race(attempts).await.map_err(|error| error.to_string());
    (won, u64::try_from(begun.elapsed().as_millis()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_is_first_wins_and_a_fast_first_one_is_alone() {
    let alone = raced(vec![attempt(0, "quic", 200, true), attempt(250, "tcp", 10, true)]).await;
    let overtaken = raced(vec![attempt(0, "quic", 900, true), attempt(250, "tcp", 100, true)]).await;
    let late = raced(vec![attempt(0, "quic", 300, true), attempt(250, "tcp", 100, true)]).await;

    assert_eq!((alone, overtaken, late), ((Ok("quic"), 200), (Ok("tcp"), 350), (Ok("quic"), 300)));
}

#[tokio::test(start_paused = true)]
async fn what_fails_at_once_lets_the_next_one_start_at_once() {
    let raced = raced(vec![attempt(0, "quic", 3, false), attempt(250, "tcp", 100, true)]).await;

    assert_eq!(raced, (Ok("tcp"), 103));
}

#[tokio::test(start_paused = true)]
async fn udp_that_is_swallowed_costs_the_head_start() {
    let raced = raced(vec![attempt(0, "quic", 5_000, false), attempt(250, "tcp", 80, true)]).await;

    assert_eq!(raced, (Ok("tcp"), 330));
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_reason_is_told_after_the_last() {
    let (won, took) = raced(vec![attempt(0, "quic", 400, false), attempt(250, "tcp", 100, false)]).await;

    assert_eq!((won.unwrap_err().contains("quic"), took), (true, 400));
    assert!(matches!(race::<()>(Vec::new()).await, Err(DialError::Address)));
}

#[test]
fn both_kinds_of_addresses_are_tried_in_turn_and_not_too_many() {
    let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let found =
        of(&["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.1:1", "192.0.2.1:1", "192.0.2.2:1"]);

    let ordered = alternate(found.into_iter());

    assert_eq!(ordered, of(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1"]));
    assert_eq!(alternate(of(&["192.0.2.1:1"]).into_iter()).len(), 1);
}

#[test]
fn a_choice_is_obeyed_and_the_first_one_has_a_head_start() {
    let one = ["192.0.2.1:1".parse().unwrap()];
    let planned = |choice, first| {
        plan(choice, first, &one).into_iter().map(|(after, transport, _)| (after, transport)).collect::<Vec<_>>()
    };
    let (now, later) = (Duration::ZERO, HEAD_START);

    assert_eq!(planned(Choice::Auto, Transport::Quic), [(now, Transport::Quic), (later, Transport::Tcp)]);
    assert_eq!(planned(Choice::Auto, Transport::Tcp), [(now, Transport::Tcp), (later, Transport::Quic)]);
    for only in [Transport::Tcp, Transport::Quic] {
        assert_eq!(planned(Choice::Only(only), Transport::Quic), [(now, only)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_won_at_a_relay_is_remembered_and_forgotten() {
    let relay = |address: &str| RelayAddress {
        relay_id: proto::id::RelayId::from_bytes([1; 16]),
        address: address.to_owned(),
        spki: String::new(),
    };
    let (dialer, blocked, open) = (Dialer::new(Choice::Auto), relay("blocked:443"), relay("open:443"));

    dialer.note(&blocked, Transport::Quic, Transport::Tcp);
    assert_eq!((dialer.first(&blocked), dialer.first(&open)), (Transport::Tcp, Transport::Quic));
    dialer.note(&blocked, Transport::Tcp, Transport::Quic);
    assert_eq!(dialer.first(&blocked), Transport::Quic, "it works now");

    dialer.watch(&open).tell(SHORT_LIFE + Duration::from_secs(1));
    assert_eq!(dialer.first(&open), Transport::Quic, "a long life is no sign");
    dialer.watch(&open).tell(Duration::from_secs(2));
    assert_eq!(dialer.first(&open), Transport::Tcp);
    tokio::time::advance(MISTRUST).await;
    assert_eq!(dialer.first(&open), Transport::Quic);
}

#[tokio::test(start_paused = true)]
async fn no_more_relays_are_remembered_than_tickets_name() {
    let mut memory = Memory::default();
    let now = Instant::now();

    for number in 0..10_000u64 {
        memory.mistrust(&format!("relay{number}:443"), now + Duration::from_secs(1 + number));
    }

    assert_eq!(memory.tcp_first_until.len(), RELAYS_MAX);
    assert_eq!(memory.first("relay9999:443", now), Transport::Tcp);
}
