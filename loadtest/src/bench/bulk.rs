//! CPU seconds of a server for one gigabyte that it forwards: large frames, one direction, as fast as it goes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use link::{framed::write_frame, line::Line};
use proto::frame::{Frame, FrameType, Lane};
use tokio::{io::AsyncWriteExt as _, task::JoinSet, time::timeout};

use crate::{
    load::{
        pace::now_ns,
        payload::{Kind, Payload, put},
        road::{End, OpenRoad, Road},
    },
    meter::Meter,
};

/// Payload of one frame, bytes.
pub const FRAME_BYTES: usize = 16 * 1024;
/// Frames written at once.
const BURST: usize = 4;
/// A server that forwards nothing for this long is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one round gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bulk {
    /// CPU seconds of the server for 10⁹ bytes of payload.
    pub cpu_secs_per_gb: f64,
    /// 10⁹ bytes of payload a second.
    pub gb_per_sec: f64,
}

/// Forwards `gigabytes` (10⁹ bytes of payload) over `streams` sessions at once.
///
/// # Errors
/// When a session breaks, or a byte does not come.
pub async fn forward(road: &Road, meter: &Meter, gigabytes: f64, streams: u32) -> Result<Bulk> {
    let open = road.open()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a hundred gigabytes")]
    let frames = ((gigabytes * 1e9) as usize / FRAME_BYTES / usize::try_from(streams)?).div_ceil(BURST) * BURST;
    let mut pairs = Vec::new();
    for session in 0..streams {
        pairs.push(opened(&open, session).await?);
    }
    meter.rest().await?;
    let (before, began) = (meter.cpu_secs()?, now_ns());
    let mut work = JoinSet::new();
    for (session, (customer, operator)) in (0..).zip(pairs) {
        work.spawn(pour(session, customer, operator, frames));
    }
    let mut kept = Vec::new();
    while let Some(done) = work.join_next().await {
        kept.push(done??);
    }
    let (used, took) = (meter.cpu_secs()? - before, Duration::from_nanos(now_ns() - began).as_secs_f64());
    for (mut customer, mut operator) in kept {
        // This is the planned end: what does not hear of it any more is gone already.
        drop(customer.writer.shutdown().await);
        drop(operator.writer.shutdown().await);
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes of one round")]
    let gigabytes = (frames * FRAME_BYTES) as f64 / 1e9 * f64::from(streams);
    Ok(Bulk { cpu_secs_per_gb: used / gigabytes, gb_per_sec: gigabytes / took })
}

async fn opened(open: &OpenRoad, session: u32) -> Result<(End, End)> {
    let (mut customer, mut operator) = open.pair(session).await?;
    // One frame each way, so that nothing of the beginning is left for what is measured.
    write_frame(&mut customer.writer, Frame::sealed(Lane::Input, 0, vec![0; 64].into())?).await?;
    write_frame(&mut operator.writer, Frame::sealed(Lane::Input, 0, vec![0; 64].into())?).await?;
    sealed(&mut customer).await?;
    sealed(&mut operator).await?;
    Ok((customer, operator))
}

/// The length of the next sealed frame's payload.
async fn sealed(end: &mut End) -> Result<usize> {
    loop {
        let frame = timeout(PATIENCE, end.reader.next()).await.context("nothing is forwarded any more")??;
        let frame = frame.context("the session was closed")?;
        if frame.header.kind == FrameType::Sealed {
            return Ok(usize::from(frame.header.len));
        }
    }
}

async fn pour(session: u32, customer: End, mut operator: End, frames: usize) -> Result<(End, End)> {
    let End { reader, mut writer, exporter, transport, .. } = customer;
    let sending = tokio::spawn(async move {
        let mut burst = Vec::new();
        let payload = Payload { due_ns: 0, sequence: 0, session, kind: Kind::Piece, counts: [0; 4] };
        (0..BURST).for_each(|_| put(&mut burst, Lane::Screen, FRAME_BYTES, &payload));
        for _ in 0..frames / BURST {
            writer.write_all(&burst).await?;
        }
        writer.flush().await?;
        anyhow::Ok(writer)
    });
    for _ in 0..frames {
        let len = sealed(&mut operator).await?;
        ensure!(len == FRAME_BYTES, "a frame of {len} bytes came instead of {FRAME_BYTES}");
    }
    let writer = sending.await??;
    let again = End { reader, writer, exporter, transport, early: Vec::new(), on_loss: None, line: Line::UNKNOWN };
    Ok((again, operator))
}
