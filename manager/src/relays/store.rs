//! Rows of relays and of how far their reports are stored.

use proto::{
    api::{UnixMillis, reception::RelayAddress, relay::HeartbeatRequest},
    id::{CompanyId, RelayId},
};
use serde_json::json;

use super::region::Region;
use crate::{
    app,
    audit::{self, Actor, AuditEvent},
    bearer::{BearerHash, BearerToken},
    db::{Db, DbError, DbResult, Tx},
    execute, fetch_all, fetch_one, fetch_optional,
};

#[derive(sqlx::FromRow)]
struct AddressRow {
    relay_id: String,
    address: String,
    spki: String,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    relay_id: String,
    address: String,
    spki: String,
    draining: bool,
    heard_at_ms: i64,
}

/// A relay as it last said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRelay {
    /// Where it is.
    pub address: RelayAddress,
    /// Takes no new sessions and sends away those it has.
    pub draining: bool,
    /// When it was last heard; 0 when never.
    pub heard_at_ms: UnixMillis,
}

/// Makes a relay known, under a name that is free, else [`DbError::Duplicate`]. The token is shown once.
///
/// # Errors
/// [`DbError`].
pub async fn enroll(db: &Db, name: &str, now_ms: UnixMillis) -> DbResult<(RelayId, BearerToken)> {
    let relay_id = RelayId::from_bytes(app::draw_id());
    let token = BearerToken::random(&mut app::os_rng());
    let mut tx = db.begin().await?;
    execute!(
        &mut tx,
        "INSERT INTO relays
        (relay_id, name, token_hash, address, spki, program_version, draining, free_sessions, heard_at_ms,
            created_at_ms)
        VALUES ($1, $2, $3, '', '', '', FALSE, 0, 0, $4)",
        relay_id.to_string(),
        name,
        token.hash().as_str(),
        now_ms
    )?;
    let event = AuditEvent {
        at_ms: now_ms,
        company: None,
        actor: Actor::CommandLine,
        event: "relay.enrolled",
        reception: None,
        session: None,
        detail: json!({ "relay_id": relay_id, "name": name }),
    };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok((relay_id, token))
}

/// Gives a relay another token, which is shown once; the one before is void at once. `None` when there is no such relay.
///
/// # Errors
/// [`DbError`].
pub async fn renew(db: &Db, name: &str, now_ms: UnixMillis) -> DbResult<Option<BearerToken>> {
    let token = BearerToken::random(&mut app::os_rng());
    let known = replace(db, name, &token, "relay.renewed", now_ms).await?;
    Ok(known.then_some(token))
}

/// Takes a relay its token, so that it gets no session any more and nobody speaks for it; whether there is one of this
/// name. Sessions that are at it go on there until they end, or at the next relay when it is stopped.
///
/// # Errors
/// [`DbError`].
pub async fn revoke(db: &Db, name: &str, now_ms: UnixMillis) -> DbResult<bool> {
    // Nobody ever sees this one.
    let token = BearerToken::random(&mut app::os_rng());
    replace(db, name, &token, "relay.revoked", now_ms).await
}

async fn replace(db: &Db, name: &str, token: &BearerToken, event: &'static str, now_ms: UnixMillis) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let replaced = fetch_optional!(
        &mut tx,
        (String,),
        "UPDATE relays
        SET token_hash = $2, heard_at_ms = 0
        WHERE name = $1
        RETURNING relay_id",
        name,
        token.hash().as_str()
    )?;
    let Some((relay_id,)) = replaced else { return Ok(false) };
    let event = AuditEvent {
        at_ms: now_ms,
        company: None,
        actor: Actor::CommandLine,
        event,
        reception: None,
        session: None,
        detail: json!({ "relay_id": relay_id, "name": name }),
    };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok(true)
}

/// Says where a relay is; whether there is one of this name.
///
/// # Errors
/// [`DbError`].
pub async fn place(db: &Db, name: &str, region: Region, now_ms: UnixMillis) -> DbResult<bool> {
    let mut tx = db.begin().await?;
    let placed = fetch_optional!(
        &mut tx,
        (String,),
        "UPDATE relays
        SET region = $2
        WHERE name = $1
        RETURNING relay_id",
        name,
        region.as_str()
    )?;
    let Some((relay_id,)) = placed else { return Ok(false) };
    let event = AuditEvent {
        at_ms: now_ms,
        company: None,
        actor: Actor::CommandLine,
        event: "relay.placed",
        reception: None,
        session: None,
        detail: json!({ "relay_id": relay_id, "name": name, "region": region.as_str() }),
    };
    audit::append(&mut tx, event).await?;
    tx.commit().await?;
    Ok(true)
}

/// Where the sessions of a company must stay, as relays have it; empty for anywhere. A text that is no region matches no
/// relay.
///
/// # Errors
/// [`DbError`].
pub async fn region_of(tx: &mut Tx, company_id: CompanyId) -> DbResult<String> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT region
        FROM companies
        WHERE company_id = $1",
        company_id.to_string()
    )?;
    Ok(row.map(|(region,)| region).unwrap_or_default())
}

/// Where a relay is, `None` when nobody has said so.
///
/// # Errors
/// [`DbError`].
pub async fn region_at(tx: &mut Tx, relay_id: RelayId) -> DbResult<Option<Region>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT region
        FROM relays
        WHERE relay_id = $1",
        relay_id.to_string()
    )?;
    Ok(row.and_then(|(region,)| region.parse().ok()))
}

/// The relay whose token has this hash.
///
/// # Errors
/// [`DbError`].
pub async fn find(tx: &mut Tx, token: &BearerHash) -> DbResult<Option<RelayId>> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT relay_id
        FROM relays
        WHERE token_hash = $1",
        token.as_str()
    )?;
    row.map(|(id,)| parse_id(&id)).transpose()
}

/// Notes what a relay says of itself.
///
/// # Errors
/// [`DbError`].
pub async fn heard(tx: &mut Tx, relay_id: RelayId, said: &HeartbeatRequest, now_ms: UnixMillis) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE relays
        SET address = $2, spki = $3, program_version = $4, draining = $5, free_sessions = $6, heard_at_ms = $7
        WHERE relay_id = $1",
        relay_id.to_string(),
        &said.address,
        &said.spki,
        &said.version,
        said.draining,
        i64::from(said.free_sessions),
        now_ms
    )?;
    Ok(())
}

/// Relays for a new session: in `region`, heard since `heard_since_ms`, not draining, not full; most room first.
///
/// # Errors
/// [`DbError`].
pub async fn choose(tx: &mut Tx, region: &str, heard_since_ms: UnixMillis, limit: i64) -> DbResult<Vec<RelayAddress>> {
    let rows = fetch_all!(
        tx,
        AddressRow,
        "SELECT relay_id, address, spki
        FROM relays
        WHERE heard_at_ms >= $1
        AND draining = FALSE
        AND free_sessions > 0
        AND ($3 = '' OR region = $3)
        ORDER BY free_sessions DESC, relay_id
        LIMIT $2",
        heard_since_ms,
        limit,
        region
    )?;
    rows.into_iter()
        .map(|row| Ok(RelayAddress { relay_id: parse_id(&row.relay_id)?, address: row.address, spki: row.spki }))
        .collect()
}

/// What is known of these relays, a JSON array of ids, as far as they are in `region`; in no order.
///
/// # Errors
/// [`DbError`].
pub async fn known(tx: &mut Tx, region: &str, relay_ids: &str) -> DbResult<Vec<KnownRelay>> {
    let rows = fetch_all!(
        tx,
        KnownRow,
        "SELECT relay_id, address, spki, draining, heard_at_ms
        FROM relays
        WHERE relay_id IN (SELECT value FROM json_each($1))
        AND ($2 = '' OR region = $2)",
        relay_ids,
        region
    )?;
    rows.into_iter()
        .map(|row| {
            let address = RelayAddress { relay_id: parse_id(&row.relay_id)?, address: row.address, spki: row.spki };
            Ok(KnownRelay { address, draining: row.draining, heard_at_ms: row.heard_at_ms })
        })
        .collect()
}

/// How many relays were heard since `heard_since_ms`.
///
/// # Errors
/// [`DbError`].
pub async fn count_alive(tx: &mut Tx, heard_since_ms: UnixMillis) -> DbResult<i64> {
    let (alive,) = fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*)
        FROM relays
        WHERE heard_at_ms >= $1",
        heard_since_ms
    )?;
    Ok(alive)
}

/// Up to which event the reports of a relay's run are stored; the row stays locked until the transaction ends.
///
/// # Errors
/// [`DbError`].
pub async fn lock_reports(tx: &mut Tx, relay_id: RelayId, boot: &str, now_ms: UnixMillis) -> DbResult<i64> {
    let (stored_seq,) = fetch_one!(
        tx,
        (i64,),
        "INSERT INTO relay_reports (relay_id, boot, stored_seq, reported_at_ms)
        VALUES ($1, $2, 0, $3)
        ON CONFLICT (relay_id, boot) DO UPDATE
        SET reported_at_ms = $3
        RETURNING stored_seq",
        relay_id.to_string(),
        boot,
        now_ms
    )?;
    Ok(stored_seq)
}

/// Notes up to which event they are stored now.
///
/// # Errors
/// [`DbError`].
pub async fn stored(tx: &mut Tx, relay_id: RelayId, boot: &str, seq: i64) -> DbResult<()> {
    execute!(
        tx,
        "UPDATE relay_reports
        SET stored_seq = $3
        WHERE relay_id = $1
        AND boot = $2",
        relay_id.to_string(),
        boot,
        seq
    )?;
    Ok(())
}

/// Forgets runs that reported nothing since `before_ms`; how many.
///
/// # Errors
/// [`DbError`].
pub async fn forget(tx: &mut Tx, before_ms: UnixMillis) -> DbResult<u64> {
    execute!(
        tx,
        "DELETE FROM relay_reports
        WHERE reported_at_ms < $1",
        before_ms
    )
}

fn parse_id(text: &str) -> DbResult<RelayId> {
    text.parse().map_err(|_not_an_id| DbError::InconsistentRow {
        table: "relays",
        column: "relay_id",
        id: text.to_owned(),
    })
}
