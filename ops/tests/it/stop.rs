//! Signals reach the server through the operating system.

use ops::shutdown::Shutdown;

/// Sends a signal to this very process; every test has a process of its own.
fn signal(name: &str) {
    let done = std::process::Command::new("kill").args(["-s", name, &std::process::id().to_string()]).status();
    assert!(done.unwrap().success());
}

#[tokio::test]
async fn a_signal_drains_and_a_second_one_forces() {
    let shutdown = Shutdown::new();
    shutdown.listen().unwrap();

    signal("TERM");
    shutdown.draining().cancelled().await;
    assert!(!shutdown.forced().is_cancelled());

    signal("INT");
    shutdown.forced().cancelled().await;
}
