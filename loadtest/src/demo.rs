//! One real support session from end to end, with evidence: what `ops/demo` runs.
//!
//! Servers, tools, desktop and editor are the real programs; the picture of the customer's side is taken by a program
//! that is not ours.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ops::clock::Clock;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    desktop::{Desktop, pause},
    figures::percentile,
    process, stage,
    tool::{Tool, number, text},
    world::World,
};

/// What a run shall do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for pictures, events and figures; made when missing.
    pub evidence: PathBuf,
    /// Size of the customer's desktop, pixels.
    pub size: (u16, u16),
    /// Keys typed for the latency figure.
    pub keys: u32,
    /// How long the screen is left alone for the stillness figure.
    pub still: Duration,
}

/// `summary.json`.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Everything held.
    pub ok: bool,
    /// Client tool started with the number → full picture on the operator's canvas.
    pub entered_to_first_picture_ms: f64,
    /// Key command at the operator tool → changed pixels on its canvas, median.
    pub key_to_pixels_p50_ms: f64,
    /// The same, 95th percentile.
    pub key_to_pixels_p95_ms: f64,
    /// Keys behind these two.
    pub keys: usize,
    /// Tool to tool and back.
    pub round_trip_ms: f64,
    /// Length of the rest, seconds.
    pub still_secs: f64,
    /// Bytes on the screen lane during the rest.
    pub still_screen_bytes: f64,
    /// CPU of the client tool during the rest, percent of one core.
    pub still_client_cpu_percent: f64,
    /// Pixels in which customer's and operator's picture differ.
    pub differing_pixels: usize,
    /// The operator's canvas was checked to be exact.
    pub exact: bool,
    /// Bytes on the screen lane in the whole session.
    pub screen_bytes: f64,
    /// The typed text was found in the file that the editor saved.
    pub typed_text_saved: bool,
    /// The session's row in the support log.
    pub session: Value,
    /// What `audit verify` said.
    pub audit: String,
}

/// Runs one session in `world` and leaves the evidence.
///
/// # Errors
/// The first thing that did not hold, in a sentence.
pub async fn run(world: &World, options: &Options) -> Result<Summary> {
    std::fs::create_dir_all(&options.evidence)?;
    let mut account = Account::new(&options.evidence)?;
    let (width, height) = options.size;
    let desktop = open_desktop(world.folder(), width, height).await?;
    account.line(&format!("desktop {} with an editor and a terminal, {width}x{height}", desktop.display()));

    let mut session = meet(world, &desktop, &mut account).await?;
    let mut summary = Summary {
        entered_to_first_picture_ms: session.first_picture_ms,
        typed_text_saved: work(&mut session, world.folder(), &mut account).await?,
        ..Summary::default()
    };
    measure_keys(&mut session, &desktop, options.keys, &mut summary, &mut account).await?;
    measure_rest(&mut session, &desktop, options.still, &mut summary, &mut account).await?;
    compare(&mut session, &desktop, &options.evidence, &mut summary, &mut account).await?;
    end(session, world, &mut summary, &mut account).await?;
    desktop.stop().await?;

    summary.ok = true;
    let file = options.evidence.join("summary.json");
    std::fs::write(&file, serde_json::to_string_pretty(&summary)?)?;
    Ok(summary)
}

/// A desktop with an editor on the left and a terminal on the right.
///
/// # Errors
/// When a program is missing or does not show its window.
pub async fn open_desktop(folder: &Path, width: u16, height: u16) -> Result<Desktop> {
    let folder = folder.join("desktop");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("memo.txt"), MEMO)?;
    std::fs::write(folder.join("letter.txt"), LETTER)?;
    let mut desktop = Desktop::start(width, height, &folder).await?;
    let path = |name: &str| folder.join(name).display().to_string();
    desktop.open("mousepad", &["--disable-server", &path("memo.txt")])?;
    desktop.place("memo.txt", [40, 40, width / 2 - 80, height - 120]).await?;
    let show = format!("cat '{}'; exec cat", path("letter.txt"));
    let font = "Noto Sans Mono CJK JP";
    desktop.open("xterm", &["-T", "terminal", "-u8", "-fa", font, "-fs", "13", "-e", "sh", "-c", &show])?;
    desktop.place("terminal", [width / 2 + 20, 60, width / 2 - 60, height / 2]).await?;
    desktop.settle().await?;
    Ok(desktop)
}

/// The readable account: one line per step, with the time since the start.
struct Account {
    begun: Instant,
    events: PathBuf,
}

impl Account {
    fn new(evidence: &Path) -> Result<Self> {
        let events = evidence.join("events.jsonl");
        std::fs::write(&events, "")?;
        Ok(Self { begun: Instant::now(), events })
    }

    #[expect(clippy::print_stdout, reason = "the account is what the user of the demo reads")]
    fn line(&mut self, what: &str) {
        println!("{:7.2} s  {what}", self.begun.elapsed().as_secs_f64());
    }
}

/// Both tools in one session.
struct Session {
    operator: Tool,
    client: Tool,
    first_picture_ms: f64,
}

async fn meet(world: &World, desktop: &Desktop, account: &mut Account) -> Result<Session> {
    let login = world.account();
    let mut operator = Tool::operator(login, world.folder())?.recording_to(account.events.clone());
    operator.wait_for("ready", PATIENCE).await.context("the operator cannot log in")?;
    account.line("operator logged in");
    let issued = operator.ask(json!({"do": "issue", "reason": "メールの設定"}), "number", PATIENCE).await?;
    let reception_number = text(&issued, "number")?.to_owned();
    account.line(&format!("reception number {reception_number} issued"));

    let clock = Clock::system();
    let entered_ms = clock.now_ms();
    let mut client = Tool::client(login, &reception_number, "view,control", desktop.display(), world.folder())?
        .recording_to(account.events.clone());
    let company = client.wait_for("company", PATIENCE).await?;
    account.line(&format!("customer sees: {} of {}", text(&company, "operator")?, text(&company, "company")?));
    operator.wait_for("connected", PATIENCE).await?;
    account.line("customer allowed the view");
    let first = operator.wait_for("first_picture", PATIENCE).await?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay far below 2^52")]
    let first_picture_ms = number(&first, "at_ms")? - entered_ms as f64;
    account.line(&format!("first full picture {first_picture_ms:.0} ms after the client tool was started"));

    operator.ask(json!({"do": "ask", "grant": "control", "reason": "設定を直します"}), "granted", PATIENCE).await?;
    account.line("customer allowed control");
    Ok(Session { operator, client, first_picture_ms })
}

/// Types into the editor and saves, then looks into the file.
async fn work(session: &mut Session, folder: &Path, account: &mut Account) -> Result<bool> {
    let file = folder.join("desktop/memo.txt");
    let operator = &mut session.operator;
    operator.ask(json!({"do": "click", "x": 300, "y": 500, "button": "left"}), "sent", PATIENCE).await?;
    operator.ask(json!({"do": "key", "key": "End", "ctrl": true}), "sent", PATIENCE).await?;
    operator.ask(json!({"do": "text", "text": TYPED}), "sent", PATIENCE).await?;
    operator.ask(json!({"do": "key", "key": "Return"}), "sent", PATIENCE).await?;
    for _ in 0..50 {
        // An editor that is still taking the text in would save too little; saving again is harmless.
        operator.ask(json!({"do": "key", "key": "s", "ctrl": true}), "sent", PATIENCE).await?;
        pause(Duration::from_millis(200)).await;
        if std::fs::read_to_string(&file)?.contains(TYPED) {
            account.line("text typed by the operator was saved by the customer's editor");
            return Ok(true);
        }
    }
    ensure!(false, "the editor's file does not hold the typed text: {}", std::fs::read_to_string(&file)?);
    Ok(false)
}

async fn measure_keys(
    session: &mut Session,
    desktop: &Desktop,
    keys: u32,
    summary: &mut Summary,
    account: &mut Account,
) -> Result<()> {
    let operator = &mut session.operator;
    let terminal = json!({"do": "click", "x": 1400, "y": 300, "button": "left"});
    operator.ask(terminal, "sent", PATIENCE).await?;
    desktop.wait_for_focus("terminal").await?;
    operator.give(json!({"do": "watch", "on": true})).await?;
    let mut readings = Vec::new();
    for index in 0..keys {
        let key = if index % 40 == 39 { "Return" } else { KEYS[index as usize % KEYS.len()] };
        let sent = operator.ask(json!({"do": "key", "key": key}), "sent", PATIENCE).await?;
        let sent_us = number(&sent, "at_us")?;
        let changed_us = loop {
            let changed = operator.wait_for("changed", PATIENCE).await.context("a key changed nothing")?;
            let at_us = number(&changed, "at_us")?;
            if sent_us < at_us {
                break at_us;
            }
        };
        readings.push((changed_us - sent_us) / 1000.0);
        // Keys fall at odd moments of the capture's beat, as a person's do; more changes of the same key pass by.
        pause(Duration::from_millis(60 + u64::from(index * 37 % 50))).await;
    }
    operator.give(json!({"do": "watch", "on": false})).await?;
    summary.keys = readings.len();
    summary.key_to_pixels_p50_ms = percentile(&readings, 0.5);
    summary.key_to_pixels_p95_ms = percentile(&readings, 0.95);
    let (p50, p95) = (summary.key_to_pixels_p50_ms, summary.key_to_pixels_p95_ms);
    account.line(&format!("key to pixels: p50 {p50:.1} ms, p95 {p95:.1} ms over {keys} keys"));
    Ok(())
}

async fn measure_rest(
    session: &mut Session,
    desktop: &Desktop,
    still: Duration,
    summary: &mut Summary,
    account: &mut Account,
) -> Result<()> {
    desktop.settle().await?;
    // The last checks of exactness pass by before the rest begins.
    pause(Duration::from_secs(6)).await;
    let before = session.client.ask(json!({"do": "figures"}), "figures", PATIENCE).await?;
    let used_before = process::usage(session.client.id())?;
    pause(still).await;
    let used = process::usage(session.client.id())?;
    let after = session.client.ask(json!({"do": "figures"}), "figures", PATIENCE).await?;
    let seen = session.operator.ask(json!({"do": "figures"}), "figures", PATIENCE).await?;
    summary.still_secs = still.as_secs_f64();
    summary.still_screen_bytes = number(&after, "screen_bytes")? - number(&before, "screen_bytes")?;
    summary.still_client_cpu_percent = 100.0 * (used.cpu_secs - used_before.cpu_secs) / still.as_secs_f64();
    summary.screen_bytes = number(&after, "screen_bytes")?;
    summary.round_trip_ms = seen.get("round_trip_us").and_then(Value::as_f64).unwrap_or(0.0) / 1000.0;
    account.line(&format!(
        "still screen for {:.0} s: {:.0} bytes on the screen lane, {:.2} % of a core in the client tool",
        summary.still_secs, summary.still_screen_bytes, summary.still_client_cpu_percent
    ));
    Ok(())
}

async fn compare(
    session: &mut Session,
    desktop: &Desktop,
    evidence: &Path,
    summary: &mut Summary,
    account: &mut Account,
) -> Result<()> {
    let (customer, operator) = (evidence.join("customer.png"), evidence.join("operator.png"));
    let seen = stage::compare(desktop, &mut session.operator, &customer, &operator).await?;
    summary.exact = seen.exact;
    summary.differing_pixels = seen.differing_pixels;
    account.line(&format!("pictures of both sides differ in {} pixels", summary.differing_pixels));
    seen.check().context("customer.png and operator.png are not equal")
}

async fn end(session: Session, world: &World, summary: &mut Summary, account: &mut Account) -> Result<()> {
    let Session { mut operator, mut client, .. } = session;
    let ended = operator.ask(json!({"do": "end"}), "ended", PATIENCE).await?;
    account.line(&format!("operator ended the session ({})", text(&ended, "reason")?));
    let ended = client.wait_for("ended", PATIENCE).await?;
    account.line(&format!("customer's tool has ended ({})", text(&ended, "reason")?));
    client.finish(PATIENCE).await?;
    operator.give(json!({"do": "quit"})).await?;
    operator.finish(PATIENCE).await?;

    summary.session = timeout(PATIENCE, async {
        loop {
            // The relay's report may still be on its way.
            let row = world.newest_session().await?;
            if row.get("ended_at_ms").is_some_and(Value::is_number) {
                return anyhow::Ok(row);
            }
            pause(Duration::from_millis(200)).await;
        }
    })
    .await
    .context("the support log does not show the end of the session")??;
    let duration_ms = number(&summary.session, "duration_ms")?;
    account.line(&format!("support log holds the session: {:.1} s", duration_ms / 1000.0));
    let verified = world.manager_command(&["audit", "verify"]).await?;
    account.line(verified.trim());
    summary.audit = verified.trim().into();
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
const TYPED: &str = "オペレーターが入力しました: 受付は 9 時から 17 時までです。";
const KEYS: [&str; 8] = ["a", "k", "e", "t", "s", "u", "k", "e"];

const MEMO: &str = "\
お客様メモ

・プリンターの設定を変えたい
・メールが届かない
・画面の文字を大きくしたい

Today's list
1. Call the help desk and read the number.
2. Let the operator see the screen.
3. End the session with the button at the top.

";

const LETTER: &str = "\
お問い合わせありがとうございます。
受付番号は電話でお伝えします。

  番号  品名            数量   金額
  ----  --------------  ----  ------
  0001  キーボード         2   7,600
  0002  マウス             2   3,980
  0003  ディスプレイ       1  24,800

Please type below this line.
";
