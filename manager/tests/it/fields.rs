//! What a role must not write stays as it is, whatever is put beside the fields of its forms.

use std::collections::BTreeMap;

use manager::{admin::AdminRole, db::Db, execute, fetch_all, role::Role};

use crate::{
    browser::Browser,
    forms::{self, Field, Form},
    live, manage,
    session::Desk,
    system,
    testing::{PASSWORD, on_both},
};

/// Fields of other forms, columns of the tables, and names that other products take from their forms.
const MORE: [(&str, &str); 26] = [
    ("seats", "99999"),
    ("region", "us"),
    ("state", "ended"),
    ("begins", "2020-01-01"),
    ("ends", "2099-12-31"),
    ("contract_ends_at_ms", "4102444800000"),
    ("partner", "east"),
    ("partner_id", "east"),
    ("realm", "system"),
    ("company", "other"),
    ("company_id", "00000000000000000000000000000000"),
    ("operator_id", "00000000000000000000000000000000"),
    ("id", "00000000000000000000000000000000"),
    ("role", "company_admin"),
    ("role_id", "all"),
    ("base", "company_admin"),
    ("reach", "company"),
    ("permission", "role.edit"),
    ("permissions", "role.edit settings.edit"),
    ("system_role", "operations"),
    ("is_admin", "true"),
    ("admin", "1"),
    ("password", "Planted-Horse-42"),
    ("password_hash", "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA"),
    ("totp_sealed", "x"),
    ("stopped", "false"),
];

/// What only the service decides of a company.
async fn contracts(db: &Db) -> Vec<String> {
    let mut tx = db.read().await.unwrap();
    let rows = fetch_all!(
        &mut tx,
        (String,),
        "SELECT code || ' ' || realm || ' ' || state || ' ' || COALESCE(CAST(seats AS TEXT), '-') || ' ' || region
            || ' ' || COALESCE(partner_id, '-') || ' ' || COALESCE(CAST(contract_begins_at_ms AS TEXT), '-')
            || ' ' || COALESCE(CAST(contract_ends_at_ms AS TEXT), '-') || ' ' || name || ' ' || note
        FROM companies
        ORDER BY code"
    );
    rows.unwrap().into_iter().map(|(row,)| row).collect()
}

/// What every account may, what opens it, and which organisation it belongs to, by its id.
async fn accounts(db: &Db) -> BTreeMap<String, (String, String, String)> {
    let mut tx = db.read().await.unwrap();
    let rows = fetch_all!(
        &mut tx,
        (String, String, String, String),
        "SELECT operator_id, company_id || ' ' || role || ' ' || COALESCE(role_id, '-'),
            COALESCE(partner_id, '-') || ' ' || password_hash || ' ' || COALESCE(totp_sealed, '-'),
            COALESCE(organisation_id, '-')
        FROM operators"
    );
    rows.unwrap().into_iter().map(|(id, may, opens, place)| (id, (may, opens, place))).collect()
}

/// Sends every form in which something is typed, with fields that it does not have; how many.
async fn send_more(browser: &Browser<'_>, first: &str) -> usize {
    let mut sent = 0;
    for form in forms::forms(&forms::walk(browser, first).await) {
        let doors = ["/logout", "/login", "password", "factor", "recovery"];
        if !form.is_post
            || doors.iter().any(|door| form.action.contains(door))
            || !form.fields.iter().any(Field::is_text)
        {
            continue;
        }
        sent += 1;
        let seen = form.send_with(browser, |field| field.plausible(sent), &MORE).await;
        assert!(!seen.status.is_server_error(), "{} {} {}", form.action, seen.status, seen.text);
        // What asks once more whether it shall be saved.
        for again in Form::all(&form.action, &seen.text) {
            if again.fields.iter().any(|field| field.name == "seen") {
                again.send_with(browser, |field| field.value.clone(), &MORE).await;
            }
        }
    }
    sent
}

#[tokio::test]
async fn what_a_role_must_not_write_stays_as_it_is_whatever_is_posted_beside_its_fields() {
    on_both(|db| async move {
        let desk = Desk::open(db.clone()).await;
        let manager = &desk.manager;
        let company_id = live::company(&desk).await;
        let things = manage::things(&desk).await;
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "INSERT INTO partners VALUES ('east', '東の販売店', '', 0, 0)").unwrap();
        execute!(&mut tx, "INSERT INTO partners VALUES ('west', '西の販売店', '', 0, 0)").unwrap();
        execute!(&mut tx, "UPDATE companies SET partner_id = 'west', seats = 50 WHERE code = 'acme'").unwrap();
        tx.commit().await.unwrap();
        for role in Role::ALL {
            let id = manager.account(company_id, role.as_str(), role).await;
            let mut tx = db.begin().await.unwrap();
            let organisation = &things["organisation_id"];
            execute!(
                &mut tx,
                "UPDATE operators SET organisation_id = $2 WHERE operator_id = $1",
                id.to_string(),
                organisation
            )
            .unwrap();
            tx.commit().await.unwrap();
        }
        let partner_id = system::account(manager, "partner", AdminRole::Partner).await;
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET partner_id = 'west' WHERE operator_id = $1", partner_id.to_string())
            .unwrap();
        tx.commit().await.unwrap();
        let partner = system::first_login(manager, "partner", partner_id).await;
        let audit = system::logged_in(manager, "audit", AdminRole::Audit).await;
        let data = system::logged_in(manager, "data", AdminRole::Data).await;
        let mut browsers: Vec<(&str, Browser<'_>, &str)> = Vec::new();
        for role in Role::ALL {
            let browser = Browser::new(manager);
            browser.log_in("acme", role.as_str(), PASSWORD).await.goes_to("/");
            browsers.push((role.as_str(), browser, "/"));
        }
        for (who, browser) in [("partner", partner), ("audit", audit), ("data", data)] {
            browsers.push((who, browser, "/system"));
        }

        let mut sent = 0;
        for (who, browser, first) in &browsers {
            let (companies, before) = (contracts(&db).await, accounts(&db).await);
            sent += send_more(browser, first).await;
            assert_eq!(contracts(&db).await, companies, "{who} changed a contract");
            for (id, (may, opens, place)) in accounts(&db).await {
                if let Some(old) = before.get(&id) {
                    assert_eq!((&may, &opens), (&old.0, &old.1), "{who} changed an account");
                    // A form of the company's administrator chooses it.
                    assert!(*who == "company_admin" || place == old.2, "{who} moved an account to {place}");
                } else {
                    assert!(may.starts_with(&company_id.to_string()), "{who} made an account elsewhere: {may}");
                    assert!(*who == "company_admin" || !may.contains("admin"), "{who} made an administrator: {may}");
                    assert!(!opens.contains("m=64") && opens.ends_with(" -"), "{who} chose what opens it: {opens}");
                }
            }
        }
        assert!(20 < sent, "{sent}");
        assert!(!manager.login("acme", "yamada", "Planted-Horse-42").await.status.is_success());
    })
    .await;
}
