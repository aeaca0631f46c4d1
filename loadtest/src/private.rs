//! What a server says at its private listener: whether it is ready, and what it counts.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::desktop::pause;

/// A server that runs says what it counts within this time, also on a machine that is busy.
const METRIC_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the private listener says `200` to `/readyz`.
pub(crate) async fn wait_ready(name: &str, private: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut last = String::new();
    while Instant::now() < deadline {
        match ask_private(private, "/readyz").await {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => return Ok(()),
            Ok(answer) => last = answer,
            Err(_not_yet) => {}
        }
        pause(Duration::from_millis(50)).await;
    }
    bail!("{name} is not ready after 30 s; it last said: {last}")
}

/// What a server counts, in the text format that Prometheus reads.
///
/// # Errors
/// When it does not answer.
async fn scrape(private: SocketAddr) -> Result<String> {
    ask_private(private, "/metrics").await
}

/// The sum of all values of a metric of the server with this private listener.
///
/// # Errors
/// When it does not answer within [`METRIC_PATIENCE`].
pub(crate) async fn metric(private: SocketAddr, name: &str) -> Result<f64> {
    let text = timeout(METRIC_PATIENCE, scrape(private)).await.context("a server does not say what it counts")??;
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{')).then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok())?
    };
    Ok(text.lines().filter_map(of).sum())
}

/// The values of a metric of the server with this private listener, by one of its labels.
///
/// # Errors
/// When it does not answer within [`METRIC_PATIENCE`].
pub(crate) async fn metric_by(private: SocketAddr, name: &str, label: &str) -> Result<BTreeMap<String, f64>> {
    let text = timeout(METRIC_PATIENCE, scrape(private)).await.context("a server does not say what it counts")??;
    let mut values = BTreeMap::new();
    for line in text.lines() {
        if let Some((value, count)) = labelled(line, name, label) {
            *values.entry(value.to_owned()).or_default() += count;
        }
    }
    Ok(values)
}

/// What a line says of this metric: the value of the label, and the number.
fn labelled<'a>(line: &'a str, name: &str, label: &str) -> Option<(&'a str, f64)> {
    let (labels, number) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
    let value = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix('"'))?;
    Some((value, number.parse().ok()?))
}

/// The whole answer of a private listener, head included.
async fn ask_private(private: SocketAddr, path: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut socket = TcpStream::connect(private).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_metric_is_counted_under_the_label_that_is_asked_for_and_under_no_other() {
        let line = r#"relay_connections_total{result="address_rate",transport="tcp"} 7"#;

        assert_eq!(labelled(line, "relay_connections_total", "result"), Some(("address_rate", 7.0)));
        assert_eq!(labelled(line, "relay_connections_total", "transport"), Some(("tcp", 7.0)));
        for (name, label) in
            [("relay_connections_total", "res"), ("relay_connections", "result"), ("relay_connections_total", "sport")]
        {
            assert_eq!(labelled(line, name, label), None, "{name} {label}");
        }
        assert_eq!(labelled("relay_connections_total 7", "relay_connections_total", "result"), None);
    }
}
