//! Whom people ask when a page does not help: the words of the company whose account logged in with this browser last.

use axum::http::HeaderMap;

use crate::{
    app::App,
    bearer::BearerHash,
    company::Policy,
    db::{DbResult, Tx},
    fetch_optional,
    site::cookie,
};

/// The contact of the company that this browser belongs to; nothing for a browser that nobody knows, so that it does not
/// tell whether a company exists, and nothing when the database does not answer.
pub async fn of_browser(app: &App, headers: &HeaderMap) -> String {
    let Some(device) = cookie::find(headers, cookie::DEVICE) else { return String::new() };
    let read = async {
        let mut tx = app.db.read().await?;
        of_device(&mut tx, &BearerHash::of(device)).await
    };
    let read: DbResult<Option<String>> = read.await;
    read.ok().flatten().unwrap_or_default()
}

async fn of_device(tx: &mut Tx, device: &BearerHash) -> DbResult<Option<String>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT c.policy
        FROM known_devices d
        JOIN operators o ON o.operator_id = d.operator_id
        JOIN companies c ON c.company_id = o.company_id
        WHERE d.device_hash = $1
        AND c.realm = 'company'
        AND c.state <> 'erased'
        ORDER BY d.seen_at_ms DESC
        LIMIT 1",
        device.as_str()
    )?;
    Ok(row.map(|(policy,)| Policy::stored(&policy).reception.contact))
}
