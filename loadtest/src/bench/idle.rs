//! Memory of a server for one idle session: two TLS connections that have said something and hold still now.

use anyhow::{Context as _, Result};
use link::framed::write_frame;
use proto::frame::{Frame, FrameType, Lane};
use tokio::{io::AsyncWriteExt as _, task::JoinSet};

use crate::{
    load::road::{End, OpenRoad, Road},
    meter::Meter,
};

/// Sessions that are opened at once.
const OPENING_MAX: u32 = 16;
/// Sessions before the first reading, so that what a server makes once is not counted.
const FIRST: u32 = 32;

/// KiB of the server for each of `sessions`: growth of its memory (PSS) after it has come to rest.
///
/// # Errors
/// When a session cannot be opened.
pub async fn kib_per_session(road: &Road, meter: &Meter, sessions: u32) -> Result<f64> {
    let open = std::sync::Arc::new(road.open()?);
    let mut held = hold(&open, 0..FIRST).await?;
    meter.rest().await?;
    let before = meter.memory_kib()?;
    held.extend(hold(&open, FIRST..FIRST + sessions).await?);
    meter.rest().await?;
    let after = meter.memory_kib()?;
    for (mut customer, mut operator) in held {
        // The planned end.
        drop(customer.writer.shutdown().await);
        drop(operator.writer.shutdown().await);
    }
    meter.rest().await?;
    #[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
    let grown = after.saturating_sub(before) as f64;
    Ok(grown / f64::from(sessions))
}

async fn hold(open: &std::sync::Arc<OpenRoad>, numbers: std::ops::Range<u32>) -> Result<Vec<(End, End)>> {
    let mut held = Vec::new();
    let mut opening = JoinSet::new();
    for number in numbers {
        if OPENING_MAX <= u32::try_from(opening.len())?
            && let Some(ends) = opening.join_next().await
        {
            held.push(ends??);
        }
        let open = std::sync::Arc::clone(open);
        opening.spawn(async move { used(&open, number).await });
    }
    while let Some(ends) = opening.join_next().await {
        held.push(ends??);
    }
    Ok(held)
}

/// A session over which a frame has gone each way.
async fn used(open: &OpenRoad, number: u32) -> Result<(End, End)> {
    let (mut customer, mut operator) = open.pair(number).await?;
    for lane in [Lane::Input, Lane::Screen] {
        let len = if lane == Lane::Screen { 2000 } else { 64 };
        let (from, to) =
            if lane == Lane::Screen { (&mut customer, &mut operator) } else { (&mut operator, &mut customer) };
        write_frame(&mut from.writer, Frame::sealed(lane, 0, vec![0xA5; len].into())?).await?;
        while to.reader.next().await?.context("a session was closed")?.header.kind != FrameType::Sealed {}
    }
    Ok((customer, operator))
}
