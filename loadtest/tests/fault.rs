//! Sessions under load outlive what happens to their relays: the short form of the fault rows.
//!
//! Behaviour is judged here and no times: every invariant of `loadtest::fault::invariants` holds after each row.
//! `uketsuke-loadtest fault --all` judges the times.

use loadtest::fault::{Call, invariants::Invariant, rows::Row, run_row};

async fn assert_survived(row: Row) {
    link::tls::install_provider();
    let outcome = run_row(Call { row, repeat: row.quick(), seed: 7, is_quick: true, cells: Vec::new() }).await;

    assert!(outcome.has_passed(), "{}", outcome.details());
    if let Some(why) = &outcome.skipped {
        // Only what the machine does not allow is left out, and the scorecard says so.
        assert!(row.is_housed(), "{why}");
        return;
    }
    assert!(0 < outcome.faults && 0 < outcome.said, "{}", outcome.details());
    let looked_at: Vec<_> = outcome.invariants.iter().map(|finding| finding.invariant).collect();
    assert!(Invariant::ALL.iter().all(|invariant| looked_at.contains(invariant)), "{looked_at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_relays_that_are_killed() {
    assert_survived(Row::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_over_quic_outlive_relays_that_are_killed() {
    assert_survived(Row::KillQuic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_begin_and_go_on_where_udp_is_swallowed_or_lost_or_cut_short() {
    assert_survived(Row::Blocked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_relays_that_are_cut_off_from_both_tools_from_one_and_in_one_direction() {
    assert_survived(Row::Partition).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_relays_whose_packets_the_kernel_drops() {
    assert_survived(Row::PartitionHoused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_packets_that_the_kernel_loses_under_tcp_and_under_quic() {
    assert_survived(Row::Lossy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_replaced_one_after_another_under_their_sessions() {
    assert_survived(Row::Drain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stands_still_and_goes_on_splits_no_session() {
    assert_survived(Row::Freeze).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_managers_dies_and_everything_that_is_asked_is_answered() {
    assert_survived(Row::Redundant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_at_one_manager_is_out_of_sessions_stream_and_login_at_the_other() {
    assert_survived(Row::Stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_at_one_manager_ends_every_session_and_stream_and_refuses_everybody_at_both_until_it_is_lifted() {
    assert_survived(Row::Halt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_are_upgraded_one_after_another_with_a_change_of_the_schema_and_nobody_notices() {
    assert_survived(Row::Upgrade).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_the_only_manager_and_stand_in_its_log_once_with_their_end() {
    assert_survived(Row::Outage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_killed_goes_on_with_its_session_when_it_is_started_again_without_a_manager() {
    link::tls::install_provider();
    let row = Row::Again;
    let outcome = run_row(Call { row, repeat: row.quick(), seed: 7, is_quick: true, cells: Vec::new() }).await;

    assert!(outcome.has_passed(), "{}", outcome.details());
    assert_eq!(outcome.faults, row.quick(), "{}", outcome.details());
    assert!(outcome.invariants.iter().any(|finding| finding.invariant == Invariant::Delivery));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_sessions_of_a_killed_relay_go_on() {
    assert_survived(Row::Rehome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_bad_weather() {
    assert_survived(Row::Weather).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_over_quic_outlive_bad_weather() {
    assert_survived(Row::WeatherQuic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_loses_nothing_and_the_relay_keeps_little_for_it() {
    assert_survived(Row::Slow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_out_of_their_time_are_not_taken() {
    assert_survived(Row::Clocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_begin_and_go_on_while_strangers_come_in_numbers() {
    assert_survived(Row::Flood).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_strangers_are_closed() {
    assert_survived(Row::Slowloris).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bad_relay_and_a_bad_manager_try_is_not_accepted() {
    link::tls::install_provider();
    let outcome = run_row(Call { row: Row::Evil, repeat: 1, seed: 7, is_quick: true, cells: Vec::new() }).await;

    assert!(outcome.has_passed(), "{}", outcome.details());
    assert!(20_000 <= outcome.bad_inputs && outcome.bad_accepted == 0, "{}", outcome.details());
}
