//! The tree of organisations, and what somebody sees who has a part of it.

use axum::http::StatusCode;
use manager::{
    audit::verify::{Verdict, verify},
    execute, fetch_one,
    organisation::DEPTH_MAX,
    role::Role,
};

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

/// The id of an organisation by its name.
async fn id_of(manager: &Manager, name: &str) -> String {
    let mut tx = manager.app.db.read().await.unwrap();
    let row = fetch_one!(&mut tx, (String,), "SELECT organisation_id FROM organisations WHERE name = $1", name);
    row.unwrap().0
}

/// Adds an organisation under another one, or at the root.
async fn add(manager: &Manager, browser: &Browser<'_>, name: &str, parent: &str) -> String {
    let parent = if parent.is_empty() { String::new() } else { id_of(manager, parent).await };
    browser.get("/organisations").await;
    browser.post("/organisations", &[("name", name), ("parent", &parent)]).await.goes_to("/organisations");
    id_of(manager, name).await
}

async fn administrator(manager: &Manager) -> Browser<'_> {
    let company_id = manager.company("acme").await;
    manager.account(company_id, "admin", Role::CompanyAdmin).await;
    manager.account(company_id, "local", Role::OrganisationAdmin).await;
    manager.operator(company_id, "east1").await;
    manager.operator(company_id, "west1").await;
    let browser = Browser::new(manager);
    browser.log_in("acme", "admin", PASSWORD).await.goes_to("/");
    browser
}

/// Puts an account into an organisation by its page.
async fn place(manager: &Manager, browser: &Browser<'_>, user: &str, organisation_id: &str) {
    let mut tx = manager.app.db.read().await.unwrap();
    let (operator_id, name, role, version) = fetch_one!(
        &mut tx,
        (String, String, String, i64),
        "SELECT operator_id, name, role, version FROM operators WHERE user_id = $1",
        user
    )
    .unwrap();
    drop(tx);
    let page = format!("/operators/{operator_id}");
    browser.get(&page).await;
    let version = version.to_string();
    let fields = [("name", name.as_str()), ("role", &role), ("organisation", organisation_id), ("version", &version)];
    browser.post(&page, &fields).await.goes_to(&page);
}

#[tokio::test]
async fn whoever_has_a_part_of_the_tree_sees_and_changes_that_part_only() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        let east = add(&manager, &admin, "東日本", "").await;
        let west = add(&manager, &admin, "西日本", "").await;
        let tokyo = add(&manager, &admin, "東京", "東日本").await;
        place(&manager, &admin, "local", &east).await;
        place(&manager, &admin, "east1", &tokyo).await;
        place(&manager, &admin, "west1", &west).await;

        let local = Browser::new(&manager);
        local.log_in("acme", "local", PASSWORD).await.goes_to("/");
        let tree = local.get("/organisations").await.text;
        assert!(tree.contains("東京") && !tree.contains("西日本"), "{tree}");
        let list = local.get("/operators").await.text;
        assert!(list.contains("east1") && !list.contains("west1"));
        let filtered = admin.get(&format!("/operators?organisation={east}")).await.text;
        assert!(filtered.contains("east1") && filtered.contains("local") && !filtered.contains("west1"));

        let csrf = local.csrf.borrow().clone();
        assert!(!csrf.is_empty());
        for path in [format!("/organisations/{west}"), format!("/organisations/{}", "0".repeat(32))] {
            assert_eq!(local.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
            local.get("/organisations").await;
            for verb in ["", "/merge", "/delete"] {
                let fields = [("name", "x"), ("into", east.as_str())];
                let answer = local.post(&format!("{path}{verb}"), &fields).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}{verb}");
            }
        }
        // Neither under another part, nor to the root, nor out of sight.
        for parent in ["", west.as_str()] {
            local.get("/organisations").await;
            let answer = local.post("/organisations", &[("name", "外"), ("parent", parent)]).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{parent}");
        }
        local.get(&format!("/organisations/{east}")).await;
        assert_eq!(local.post(&format!("/organisations/{east}/delete"), &[]).await.status, StatusCode::FORBIDDEN);
        local.get("/organisations").await;
        local.post("/organisations", &[("name", "千葉"), ("parent", &east)]).await.goes_to("/organisations");
    })
    .await;
}

#[tokio::test]
async fn a_part_of_the_tree_moves_with_everything_below_it_and_never_below_itself() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        let east = add(&manager, &admin, "東日本", "").await;
        let tokyo = add(&manager, &admin, "東京", "東日本").await;
        let shinjuku = add(&manager, &admin, "新宿", "東京").await;
        let west = add(&manager, &admin, "西日本", "").await;
        place(&manager, &admin, "east1", &shinjuku).await;

        let page = format!("/organisations/{tokyo}");
        admin.get(&page).await;
        for (parent, wrong) in [(&shinjuku, "下の組織"), (&tokyo, "下の組織")] {
            let answer = admin.post(&page, &[("name", "東京"), ("parent", parent), ("version", "0")]).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(answer.text.contains(wrong), "{}", answer.text);
        }
        admin.get(&page).await;
        admin.post(&page, &[("name", "東京都"), ("parent", &west), ("version", "0")]).await.goes_to(&page);

        let below = admin.get(&format!("/operators?organisation={west}")).await.text;
        assert!(below.contains("east1"), "{below}");
        let emptied = admin.get(&format!("/operators?organisation={east}")).await.text;
        assert!(!emptied.contains("east1"));
        // The second of two people is told.
        admin.get(&page).await;
        let late = admin.post(&page, &[("name", "都"), ("parent", &west), ("version", "0")]).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        assert!(admin.get("/organisations").await.text.contains("東京都"));
        assert!(matches!(verify(&db).await.unwrap(), Verdict::Holds { .. }));
    })
    .await;
}

#[tokio::test]
async fn an_organisation_goes_when_it_is_empty_or_is_merged_with_its_people() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        let east = add(&manager, &admin, "東日本", "").await;
        let tokyo = add(&manager, &admin, "東京", "東日本").await;
        let west = add(&manager, &admin, "西日本", "").await;
        place(&manager, &admin, "east1", &east).await;

        admin.get("/organisations").await;
        let used = admin.post(&format!("/organisations/{east}/delete"), &[]).await;
        assert_eq!(used.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(used.text.contains("先に移すか"), "{}", used.text);
        used.says("所属する人: 1人");
        used.says(&format!("<a href=\"/organisations/{tokyo}\">東京</a>"));
        assert!(used.text.contains("<a href=\"/operators/") && used.text.contains("山田 太郎</a>"), "{}", used.text);
        admin.get(&format!("/organisations/{east}")).await;
        admin.post(&format!("/organisations/{east}/merge"), &[("into", &tokyo)]).await;
        assert!(admin.get("/organisations").await.text.contains("東日本"), "not into what is below it");
        admin.get(&format!("/organisations/{east}")).await;
        let merged = admin.post(&format!("/organisations/{east}/merge"), &[("into", &west)]).await;
        merged.goes_to(&format!("/organisations/{west}"));

        let tree = admin.get("/organisations").await.text;
        assert!(!tree.contains("東日本") && tree.contains("東京"));
        assert!(admin.get(&format!("/operators?organisation={west}")).await.text.contains("east1"));
        admin.get("/organisations").await;
        admin.post(&format!("/organisations/{tokyo}/delete"), &[]).await.goes_to("/organisations");
    })
    .await;
}

#[tokio::test]
async fn names_are_short_plain_and_used_once_and_the_tree_is_not_deeper_than_it_may_be() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        add(&manager, &admin, "0", "").await;
        for (name, note) in [("", ""), ("0", ""), ("a\u{7}b", ""), (&"長".repeat(31), ""), ("x", &"長".repeat(101))] {
            admin.get("/organisations").await;
            let answer = admin.post("/organisations", &[("name", name), ("note", note)]).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        }
        let mut above = "0".to_owned();
        for level in 1..DEPTH_MAX {
            let name = level.to_string();
            add(&manager, &admin, &name, &above).await;
            above = name;
        }
        let parent = id_of(&manager, &above).await;
        admin.get("/organisations").await;
        let deep = admin.post("/organisations", &[("name", "too deep"), ("parent", &parent)]).await;
        assert_eq!(deep.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(deep.text.contains("段まで"));
    })
    .await;
}

#[tokio::test]
async fn one_name_may_stand_under_several_and_not_twice_under_one() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        let east = add(&manager, &admin, "東日本", "").await;
        let west = add(&manager, &admin, "西日本", "").await;
        let sales = add(&manager, &admin, "営業", "東日本").await;
        let under = |parent: &str| [("name", "営業".to_owned()), ("parent", parent.to_owned())];
        let make = async |parent: &str| {
            admin.get("/organisations").await;
            let fields = under(parent);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            admin.post("/organisations", &fields).await
        };
        make(&west).await.goes_to("/organisations");
        make("").await.goes_to("/organisations");
        for parent in [east.as_str(), west.as_str(), ""] {
            let taken = make(parent).await;
            assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY, "{parent}");
            taken.says("同じ場所に、この名前の組織がすでにあります");
        }
        // Neither by a move nor by a merge.
        let page = format!("/organisations/{sales}");
        admin.get(&page).await;
        let moved = admin.post(&page, &[("name", "営業"), ("parent", west.as_str()), ("version", "0")]).await;
        assert_eq!(moved.status, StatusCode::UNPROCESSABLE_ENTITY);
        moved.says("同じ場所に、この名前の組織がすでにあります");
        let merged = admin.post(&format!("/organisations/{east}/merge"), &[("into", west.as_str())]).await;
        assert_eq!(merged.status, StatusCode::UNPROCESSABLE_ENTITY);
        merged.says("どちらの組織の下にも「営業」があります");
        // A new name and a new place at once.
        admin.get(&page).await;
        admin.post(&page, &[("name", "営業部"), ("parent", west.as_str()), ("version", "0")]).await.goes_to(&page);
        admin.post(&format!("/organisations/{east}/merge"), &[("into", west.as_str())]).await;
        let tree = admin.get("/organisations").await;
        tree.lacks("東日本");
        tree.says("営業部");
    })
    .await;
}

#[tokio::test]
async fn only_whoever_may_change_organisations_sees_their_pages_and_other_companies_have_others() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        let east = add(&manager, &admin, "東日本", "").await;
        let mut tx = db.begin().await.unwrap();
        execute!(&mut tx, "UPDATE operators SET role = 'viewer' WHERE user_id = 'west1'").unwrap();
        tx.commit().await.unwrap();
        let other = manager.company("other").await;
        manager.account(other, "admin", Role::CompanyAdmin).await;

        for (company, user, status) in [
            ("acme", "east1", StatusCode::FORBIDDEN),
            ("acme", "west1", StatusCode::FORBIDDEN),
            ("other", "admin", StatusCode::NOT_FOUND),
        ] {
            let browser = Browser::new(&manager);
            browser.log_in(company, user, PASSWORD).await.goes_to("/");
            assert_eq!(browser.get(&format!("/organisations/{east}")).await.status, status, "{company} {user}");
            assert!(!browser.get("/organisations").await.text.contains("東日本"));
        }
    })
    .await;
}

#[tokio::test]
async fn groups_are_put_on_accounts_filter_the_list_and_go_without_them() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let admin = administrator(&manager).await;
        admin.get("/groups").await;
        admin.post("/groups", &[("name", "夜間")]).await.goes_to("/groups");
        let taken = admin.post("/groups", &[("name", "夜間")]).await;
        assert_eq!(taken.status, StatusCode::UNPROCESSABLE_ENTITY);
        let mut tx = db.read().await.unwrap();
        let (group,) = fetch_one!(&mut tx, (String,), "SELECT group_id FROM account_groups").unwrap();
        let (operator_id, name) =
            fetch_one!(&mut tx, (String, String), "SELECT operator_id, name FROM operators WHERE user_id = 'east1'")
                .unwrap();
        drop(tx);
        let page = format!("/operators/{operator_id}");
        admin.get(&page).await;
        let fields = [("name", name.as_str()), ("role", "operator"), ("groups", &group), ("version", "0")];
        admin.post(&page, &fields).await.goes_to(&page);

        let list = admin.get(&format!("/operators?group={group}")).await.text;
        assert!(list.contains("east1") && !list.contains("west1"), "{list}");
        assert!(admin.get(&page).await.text.contains("checked"));
        admin.get("/groups").await;
        admin.post(&format!("/groups/{group}"), &[("name", "深夜"), ("version", "0")]).await.goes_to("/groups");
        let late = admin.post(&format!("/groups/{group}"), &[("name", "朝"), ("version", "0")]).await;
        assert_eq!(late.status, StatusCode::CONFLICT);
        let other = manager.company("other").await;
        manager.account(other, "admin", Role::CompanyAdmin).await;
        let stranger = Browser::new(&manager);
        stranger.log_in("other", "admin", PASSWORD).await.goes_to("/");
        stranger.get("/groups").await;
        assert_eq!(stranger.post(&format!("/groups/{group}/delete"), &[]).await.status, StatusCode::NOT_FOUND);
        admin.get("/groups").await;
        admin.post(&format!("/groups/{group}/delete"), &[]).await.goes_to("/groups");
        assert!(admin.get("/operators").await.text.contains("east1"));
    })
    .await;
}
