//! The pages of system administrators, and the wall between them and companies.

mod accounts;
mod age;
mod availability;
mod contracts;
pub(crate) mod halt;
mod maintenance;
mod out;
mod partners;
mod planted;
pub(crate) mod requests;
mod terms;
pub(crate) mod wall;

use manager::{
    admin::{AdminRole, store::NewAdmin},
    app::os_rng,
    fetch_one,
    login::{password::NewPassword, totp::Factor},
};
use proto::id::OperatorId;

use crate::{
    browser::{Browser, Seen},
    testing::{Manager, PASSWORD},
};

/// Makes an administrator with [`PASSWORD`], which need not be changed.
pub(crate) async fn account(manager: &Manager, user: &str, role: AdminRole) -> OperatorId {
    let password_hash = NewPassword::parse(PASSWORD, 128).unwrap().hash(&mut os_rng()).unwrap();
    let (user_id, name) = (user.parse().unwrap(), format!("{user}さん").parse().unwrap());
    let new = NewAdmin { user_id: &user_id, name: &name, role, password_hash: &password_hash, password_initial: false };
    let mut tx = manager.app.db.begin().await.unwrap();
    let operator_id =
        manager::admin::store::create_at_command_line(&mut tx, &new, "最初の管理者", manager.app.now_ms())
            .await
            .unwrap();
    tx.commit().await.unwrap();
    operator_id
}

/// Types ID and password at the door of system administrators.
pub(crate) async fn knock(browser: &Browser<'_>, user: &str, password: &str) -> Seen {
    browser.get("/system/login").await;
    browser.post("/system/login", &[("user", user), ("password", password)]).await
}

/// The code that the authenticator of an administrator shows now.
pub(crate) async fn code(manager: &Manager, operator_id: OperatorId) -> String {
    let mut tx = manager.app.db.read().await.unwrap();
    let (sealed,) = fetch_one!(
        &mut tx,
        (String,),
        "SELECT COALESCE(o.totp_sealed, (SELECT MAX(l.totp_sealed) FROM site_logins l WHERE l.operator_id = o.operator_id))
        FROM operators o
        WHERE o.operator_id = $1",
        operator_id.to_string()
    )
    .unwrap();
    Factor::open(&sealed, &manager.app.columns, operator_id).unwrap().code_at(manager.app.now_ms()).unwrap()
}

/// The first login of an administrator, with setting up the second factor.
pub(crate) async fn first_login<'a>(manager: &'a Manager, user: &str, operator_id: OperatorId) -> Browser<'a> {
    let browser = Browser::new(manager);
    knock(&browser, user, PASSWORD).await.goes_to("/system/login/factor");
    browser.get("/system/login/factor").await.says("<svg class=\"qr\"");
    let code = code(manager, operator_id).await;
    browser.post("/system/login/factor", &[("code", &code)]).await.says("回復コード");
    browser.get("/system").await.says("今の状況");
    browser
}

/// A new administrator who is logged in.
pub(crate) async fn logged_in<'a>(manager: &'a Manager, user: &str, role: AdminRole) -> Browser<'a> {
    let operator_id = account(manager, user, role).await;
    first_login(manager, user, operator_id).await
}
