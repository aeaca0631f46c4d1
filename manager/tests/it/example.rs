//! The invented past of a company.

use std::time::Duration;

use manager::{
    app::os_rng,
    audit::verify::{self, Verdict},
    db::Db,
    example::{self, ExampleError, Wish},
    fetch_all, fetch_one,
    login::password::{NewPassword, PasswordHash},
    statistics::sweep::round,
};

use crate::{
    browser::Browser,
    testing::{Manager, PASSWORD, on_both},
};

const DAYS: i64 = 9;

fn hash() -> PasswordHash {
    NewPassword::parse(PASSWORD, 20).unwrap().hash(&mut os_rng()).unwrap()
}

async fn receptions(db: &Db) -> i64 {
    let mut tx = db.read().await.unwrap();
    fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM receptions").unwrap().0
}

/// Numbers that could be entered, and sessions that run.
async fn left_open(db: &Db) -> (i64, i64) {
    let mut tx = db.read().await.unwrap();
    let (usable,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM receptions WHERE open_slot IS NOT NULL").unwrap();
    let (running,) = fetch_one!(&mut tx, (i64,), "SELECT COUNT(*) FROM sessions WHERE ended_at_ms IS NULL").unwrap();
    (usable, running)
}

#[tokio::test]
async fn an_example_is_a_past_of_which_nothing_is_left_open_and_whose_chain_holds() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        manager.company("example").await;
        let code = "example".parse().unwrap();
        let wish = Wish { company: &code, days: DAYS, seed: 1, password_hash: &hash() };

        let made = example::fill(&manager.app, &wish).await.unwrap();

        assert_eq!(i64::try_from(made.receptions).unwrap(), receptions(&db).await);
        assert!(150 < made.receptions, "{made:?}");
        assert_eq!(left_open(&db).await, (0, 0));
        let mut tx = db.read().await.unwrap();
        let ends: Vec<(String,)> =
            fetch_all!(&mut tx, (String,), "SELECT DISTINCT end_reason FROM sessions ORDER BY end_reason").unwrap();
        assert!(ends.contains(&("operator_ended".to_owned(),)) && 2 < ends.len(), "{ends:?}");
        let (latest,) = fetch_one!(&mut tx, (i64,), "SELECT MAX(at_ms) FROM audit").unwrap();
        assert!(latest <= manager.app.now_ms(), "something of the past is still to come");
        drop(tx);
        assert!(matches!(verify::verify(&db).await.unwrap(), Verdict::Holds { .. }));
        Browser::new(&manager).log_in("example", "goto", PASSWORD).await.goes_to("/");
    })
    .await;
}

#[tokio::test]
async fn statistics_hold_an_example_that_came_while_a_manager_was_running() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        manager.company("example").await;
        round(&manager.app).await.unwrap();
        let code = "example".parse().unwrap();
        let wish = Wish { company: &code, days: DAYS, seed: 1, password_hash: &hash() };

        let made = example::fill(&manager.app, &wish).await.unwrap();
        manager.advance(Duration::from_mins(1));
        round(&manager.app).await.unwrap();

        let mut tx = db.read().await.unwrap();
        let (counted,) = fetch_one!(&mut tx, (i64,), "SELECT CAST(SUM(receptions) AS BIGINT) FROM statistics").unwrap();
        assert_eq!(counted, i64::try_from(made.receptions).unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_company_that_has_had_a_reception_takes_no_example() {
    on_both(|db| async move {
        let manager = Manager::new(db.clone());
        let code = "example".parse().unwrap();
        let wish = Wish { company: &code, days: 1, seed: 1, password_hash: &hash() };
        assert!(matches!(example::fill(&manager.app, &wish).await, Err(ExampleError::NoCompany)));
        manager.company("example").await;
        example::fill(&manager.app, &wish).await.unwrap();
        let before = receptions(&db).await;

        assert!(matches!(example::fill(&manager.app, &wish).await, Err(ExampleError::NotEmpty)));
        assert_eq!(receptions(&db).await, before);
    })
    .await;
}
