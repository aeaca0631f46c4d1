//! The example's rows: each step as the verb of its state machine, its row, and its audit event.

use proto::{
    api::{UnixMillis, session::ConsentAnswer},
    close::CloseReason,
    grant::GrantKind,
    id::{CompanyId, OperatorId, ReceptionId, SessionId},
    limits,
    number::Locator,
};
use serde_json::{Value, json};

use super::{
    case::{Act, Case, LIFE_MS},
    people,
};
use crate::{
    app::{self, App},
    audit::{self, Actor, AuditEvent},
    bearer::BearerToken,
    company::ShownName,
    db::{DbError, DbResult, Tx},
    execute, fetch_one,
    fold::fold_all,
    login::{attempt::login_event, password::PasswordHash},
    operator::{self, UserId, store::NewOperator},
    reception::{
        self,
        state::{Reception, Stage},
        store::Stored,
    },
    role::Role,
    session::{
        self,
        state::{Ended, Session},
        store::{NewSession, ProofKeyHashes},
    },
    throttle::millis,
};

/// Makes the accounts; gives those who support customers.
pub(super) async fn people(
    tx: &mut Tx,
    company_id: CompanyId,
    password_hash: &PasswordHash,
    at_ms: UnixMillis,
) -> DbResult<Vec<OperatorId>> {
    let mut staff = Vec::new();
    for person in &people::ALL {
        let new = NewOperator {
            company_id,
            user_id: person.user.parse::<UserId>().map_err(|_ours| ours("user_id", person.user))?,
            name: person.name.parse::<ShownName>().map_err(|_ours| ours("name", person.name))?,
            password_hash: password_hash.clone(),
            role: person.role,
        };
        let operator_id = operator::store::create(tx, &new, at_ms).await?;
        let mail = format!("{}@example.co.jp", person.user);
        execute!(
            tx,
            "UPDATE operators
            SET kana = $2, email = $3, search = $4
            WHERE operator_id = $1",
            operator_id.to_string(),
            person.kana,
            &mail,
            fold_all([person.user, person.name, person.kana, mail.as_str()])
        )?;
        if matches!(person.role, Role::Operator | Role::Supervisor) {
            staff.push(operator_id);
        }
    }
    Ok(staff)
}

/// A value of the example that is none, which the tests of this module rule out.
fn ours(column: &'static str, value: &str) -> DbError {
    DbError::InconsistentRow { table: "operators", column, id: value.to_owned() }
}

/// What a case has come to.
pub(super) struct File {
    reception: Reception,
    session: Option<Session>,
}

impl File {
    /// A case of which nothing has happened yet.
    pub(super) fn open(company_id: CompanyId, case: &Case) -> Self {
        let reception = Reception {
            id: ReceptionId::from_bytes(app::draw_id()),
            company_id,
            operator_id: case.operator,
            proof_key: hex::encode([app::draw_id(), app::draw_id()].concat()),
            reason: case.reason.to_owned(),
            issued_at_ms: 0,
            life_ms: LIFE_MS,
            expires_at_ms: 0,
            unproved_count: 0,
            stage: Stage::Issued,
        };
        Self { reception, session: None }
    }

    /// Does one step at its time.
    ///
    /// # Errors
    /// [`DbError`]; a step that the state does not allow is our own mistake and names the row.
    pub(super) async fn play(&mut self, app: &App, tx: &mut Tx, act: Act, at_ms: UnixMillis) -> DbResult<()> {
        match act {
            Act::LogIn => self.log_in(tx, at_ms).await,
            Act::Issue => self.issue(app, tx, at_ms).await,
            Act::Enter => self.enter(tx, at_ms).await,
            Act::Prove => self.prove(tx, at_ms).await,
            Act::View(granted) => self.consent(tx, GrantKind::View, granted, at_ms).await,
            Act::Control(granted) => self.consent(tx, GrantKind::Control, granted, at_ms).await,
            Act::Device(facts) => {
                let session = self.session()?;
                session::store::keep_device(tx, session.id, &json!(facts).to_string()).await?;
                let told = json!({ "facts": facts.len() });
                self.tell(tx, "session.device_sent", Actor::Customer(session.id), told, at_ms).await
            }
            Act::End(reason) => self.end(tx, reason, at_ms).await,
            Act::Cancel => {
                self.reception = self.reception.clone().cancel(at_ms).map_err(|_wrong_state| self.wrong())?;
                self.save(tx, "reception.cancelled", Actor::Operator(self.reception.operator_id), at_ms).await
            }
            Act::Expire => {
                self.reception = self.reception.clone().expire(at_ms).map_err(|_wrong_state| self.wrong())?;
                self.save(tx, "reception.expired", Actor::Manager, at_ms).await
            }
        }
    }

    async fn log_in(&self, tx: &mut Tx, at_ms: UnixMillis) -> DbResult<()> {
        let Reception { company_id, operator_id, .. } = self.reception;
        execute!(
            tx,
            "UPDATE operators
            SET last_login_at_ms = $2
            WHERE operator_id = $1",
            operator_id.to_string(),
            at_ms
        )?;
        audit::append(tx, login_event("login.succeeded", Some((company_id, operator_id)), at_ms)).await?;
        Ok(())
    }

    async fn issue(&mut self, app: &App, tx: &mut Tx, at_ms: UnixMillis) -> DbResult<()> {
        let mut rng = app::os_rng();
        self.reception.issued_at_ms = at_ms;
        self.reception.expires_at_ms = at_ms.saturating_add(LIFE_MS);
        // Nobody can enter it: the number by which it would be found is random, not that of any digits.
        let nowhere = hex::encode([app::draw_id(), app::draw_id()].concat());
        let sealed = app.locators.seal(Locator::random(&mut rng), self.reception.id).unwrap_or_default();
        let stored = Stored { reception: self.reception.clone(), locator_sealed: sealed };
        if !reception::store::insert(
            tx,
            &stored,
            &nowhere,
            &hex::encode(app::draw_id()),
            limits::RECEPTIONS_OPEN_MAX.into(),
        )
        .await?
        {
            return Err(self.wrong());
        }
        let told = json!({ "expires_at_ms": self.reception.expires_at_ms });
        self.tell(tx, "reception.issued", Actor::Operator(self.reception.operator_id), told, at_ms).await
    }

    async fn enter(&mut self, tx: &mut Tx, at_ms: UnixMillis) -> DbResult<()> {
        let Reception { company_id, operator_id, unproved_count, .. } = self.reception;
        let session = Session {
            id: SessionId::from_bytes(app::draw_id()),
            reception_id: self.reception.id,
            company_id,
            operator_id,
            entered_at_ms: at_ms,
            hard_end_at_ms: at_ms.saturating_add(millis(limits::SESSION_LIFE_MAX)),
            last_seen_at_ms: at_ms,
            view_granted_at_ms: None,
            stage: session::state::Stage::Joining,
        };
        let (operator_name,) = fetch_one!(
            tx,
            (String,),
            "SELECT name
            FROM operators
            WHERE operator_id = $1",
            operator_id.to_string()
        )?;
        let new = NewSession {
            session: &session,
            operator_name: &operator_name,
            reason: &self.reception.reason,
            token: &BearerToken::random(&mut app::os_rng()).hash(),
            keys: &ProofKeyHashes { customer: String::new(), operator: String::new() },
            relay_ids: &[],
        };
        session::store::insert(tx, new).await?;
        self.reception = self.reception.clone().enter(session.id, at_ms).map_err(|_wrong_state| self.wrong())?;
        reception::store::save(tx, &self.reception).await?;
        self.session = Some(session);
        let told = json!({ "unproved_count": unproved_count });
        self.tell(tx, "reception.entered", Actor::Stranger, told, at_ms).await?;
        self.tell(tx, "session.began", Actor::Manager, json!({}), at_ms).await
    }

    async fn prove(&mut self, tx: &mut Tx, at_ms: UnixMillis) -> DbResult<()> {
        let session = self.session()?.prove(at_ms).map_err(|_wrong_state| self.wrong())?;
        session::store::save(tx, &session).await?;
        self.reception = self.reception.clone().prove(session.id, at_ms).map_err(|_wrong_state| self.wrong())?;
        let operator = Actor::Operator(session.operator_id);
        self.session = Some(session);
        self.save(tx, "reception.proved", operator, at_ms).await?;
        self.tell(tx, "session.proved", operator, json!({}), at_ms).await
    }

    async fn consent(&mut self, tx: &mut Tx, kind: GrantKind, granted: bool, at_ms: UnixMillis) -> DbResult<()> {
        let (answer, name) =
            if granted { (ConsentAnswer::Granted, "granted") } else { (ConsentAnswer::Refused, "refused") };
        let before = self.session()?;
        let session = before.clone().consent(kind, answer, at_ms).map_err(|_wrong_state| self.wrong())?;
        session::store::save(tx, &session).await?;
        session::store::log_consent(tx, session.id, kind.as_str(), name, at_ms).await?;
        let connects = before.stage.connected_at_ms().is_none() && session.stage.connected_at_ms().is_some();
        let customer = Actor::Customer(session.id);
        self.session = Some(session);
        let told = json!({ "kind": kind.as_str(), "answer": name });
        self.tell(tx, "session.consented", customer, told, at_ms).await?;
        if connects { self.tell(tx, "session.connected", customer, json!({}), at_ms).await } else { Ok(()) }
    }

    async fn end(&mut self, tx: &mut Tx, reason: CloseReason, at_ms: UnixMillis) -> DbResult<()> {
        let session = self.session()?.end(reason, at_ms).map_err(|_wrong_state| self.wrong())?;
        session::store::save(tx, &session).await?;
        let (id, ended) = (session.id, session.stage.ended());
        let is_unproved = session.stage.proved_at_ms().is_none();
        let actor = if reason == CloseReason::OperatorEnded {
            Actor::Operator(session.operator_id)
        } else if matches!(reason, CloseReason::CustomerEnded | CloseReason::ConsentRefused) {
            Actor::Customer(id)
        } else {
            Actor::Manager
        };
        self.session = Some(session);
        if is_unproved {
            self.reception = self.reception.clone().leave(id, at_ms).map_err(|_wrong_state| self.wrong())?;
            let is_open = self.reception.stage.is_open();
            let event = if is_open { "reception.reopened" } else { "reception.burned" };
            self.save(tx, event, Actor::Manager, at_ms).await?;
        }
        let told = json!({
            "reason": reason.as_str(),
            "connected_at_ms": ended.and_then(|ended| ended.connected_at_ms),
            "ended_at_ms": at_ms,
            "duration_ms": ended.and_then(Ended::duration_ms),
        });
        self.tell(tx, "session.ended", actor, told, at_ms).await
    }

    fn session(&self) -> DbResult<Session> {
        self.session.clone().ok_or_else(|| self.wrong())
    }

    /// Writes the reception, and what happened to it.
    async fn save(&self, tx: &mut Tx, event: &'static str, actor: Actor, at_ms: UnixMillis) -> DbResult<()> {
        reception::store::save(tx, &self.reception).await?;
        let state = reception::state::name(self.reception.stage.state());
        let told = json!({ "state": state, "unproved_count": self.reception.unproved_count });
        self.tell(tx, event, actor, told, at_ms).await
    }

    async fn tell(
        &self,
        tx: &mut Tx,
        event: &'static str,
        actor: Actor,
        detail: Value,
        at_ms: UnixMillis,
    ) -> DbResult<()> {
        let event = AuditEvent {
            at_ms,
            company: Some(self.reception.company_id),
            actor,
            event,
            reception: Some(self.reception.id),
            session: self.session.as_ref().map(|session| session.id),
            detail,
        };
        audit::append(tx, event).await?;
        Ok(())
    }

    fn wrong(&self) -> DbError {
        DbError::InconsistentRow { table: "receptions", column: "state", id: self.reception.id.to_string() }
    }
}
