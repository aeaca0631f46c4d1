//! One case of the example: what happens in it, and when.

use proto::{api::UnixMillis, close::CloseReason, device::DeviceFact, device::DeviceFactKind, id::OperatorId};
use rand_chacha::ChaCha8Rng;

use super::{below, pick};

/// Milliseconds of a second.
const SECOND: i64 = 1000;
/// The desk is open from nine o'clock.
const OPENS: i64 = 9 * 60 * 60 * SECOND;
/// And for nine hours.
const OPEN_FOR: i64 = 9 * 60 * 60 * SECOND;
/// A number of the example lives as long as one does by default.
pub(super) const LIFE_MS: i64 = 10 * 60 * SECOND;

/// What customers call about.
const REASONS: [&str; 16] = [
    "プリンターが印刷できない",
    "メールが届かない",
    "メールの設定",
    "ソフトの更新",
    "画面が表示されない",
    "パスワードの再設定",
    "会計ソフトの使い方",
    "Wi-Fiにつながらない",
    "文字を大きくしたい",
    "ファイルが見つからない",
    "請求書の出力",
    "起動が遅い",
    "音が出ない",
    "バックアップの確認",
    "共有フォルダーに入れない",
    "VPN setup",
];
/// What their machines run.
const SYSTEMS: [(&str, &str); 5] = [
    ("Windows 11 Pro 24H2", "10.0.26100"),
    ("Windows 11 Home 24H2", "10.0.26100"),
    ("Windows 10 Pro 22H2", "10.0.19045"),
    ("macOS 15.6", "24.6.0"),
    ("Debian GNU/Linux 13", "6.12.48"),
];
/// And what they are made of.
const PROCESSORS: [(&str, &str, &str); 4] = [
    ("Intel Core i5-1335U", "12", "16384"),
    ("Intel Core i3-10110U", "4", "8192"),
    ("AMD Ryzen 5 7530U", "12", "16384"),
    ("Intel Core i7-12700", "20", "32768"),
];

/// One step of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    /// The operator logged in; not every case begins with it.
    LogIn,
    /// The number is issued.
    Issue,
    /// The customer types it.
    Enter,
    /// Both tools have the same four digits.
    Prove,
    /// The customer allows the view, or refuses it.
    View(bool),
    /// The customer allows control, or refuses it.
    Control(bool),
    /// The customer sends facts about the device.
    Device(Vec<DeviceFact>),
    /// The session ends; unproved, the number may be used again.
    End(CloseReason),
    /// The operator takes the number back.
    Cancel,
    /// Nobody typed the number in time.
    Expire,
}

/// One case, from its number to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// Whose.
    pub(super) operator: OperatorId,
    /// What it is about.
    pub(super) reason: &'static str,
    /// What happens, in order.
    pub(super) acts: Vec<(UnixMillis, Act)>,
}

impl Case {
    /// When it is over.
    pub(super) fn ends_ms(&self) -> UnixMillis {
        self.acts.last().map_or(0, |(at_ms, _)| *at_ms)
    }
}

/// Draws a case of a day that begins at `midnight_ms`.
pub(super) fn draw(rng: &mut ChaCha8Rng, midnight_ms: UnixMillis, operator: OperatorId) -> Case {
    let mut at_ms = midnight_ms.saturating_add(OPENS).saturating_add(call_at(rng));
    let reason = pick(rng, &REASONS).copied().unwrap_or_default();
    let mut acts = Vec::new();
    if below(rng, 4) == 0 {
        acts.push((at_ms.saturating_sub(between(rng, 20 * SECOND, 900 * SECOND)), Act::LogIn));
    }
    acts.push((at_ms, Act::Issue));
    match below(rng, 100) {
        0..4 => acts.push((at_ms.saturating_add(LIFE_MS), Act::Expire)),
        4..7 => acts.push((at_ms.saturating_add(between(rng, 30 * SECOND, 240 * SECOND)), Act::Cancel)),
        7..10 => {
            // The last digits are mistyped once, in a few cases thrice: the number is no good any more.
            let tries = if below(rng, 5) == 0 { 3 } else { 1 };
            for _ in 0..tries {
                at_ms = mistyped(rng, &mut acts, at_ms);
            }
            if tries == 1 {
                meet(rng, &mut acts, at_ms);
            }
        }
        _ => meet(rng, &mut acts, at_ms),
    }
    Case { operator, reason, acts }
}

/// When somebody calls, counted from the opening: most do before noon and after two.
fn call_at(rng: &mut ChaCha8Rng) -> i64 {
    let (one, other) = (below(rng, OPEN_FOR), below(rng, OPEN_FOR));
    let is_lunch = |at: i64| (3 * OPEN_FOR / 9..4 * OPEN_FOR / 9).contains(&at);
    if is_lunch(one) { other } else { one }
}

fn mistyped(rng: &mut ChaCha8Rng, acts: &mut Vec<(UnixMillis, Act)>, at_ms: UnixMillis) -> UnixMillis {
    let entered = at_ms.saturating_add(between(rng, 25 * SECOND, 80 * SECOND));
    let left = entered.saturating_add(between(rng, 2 * SECOND, 6 * SECOND));
    acts.extend([(entered, Act::Enter), (left, Act::End(CloseReason::WrongSecret))]);
    left
}

/// From the entry to the end.
fn meet(rng: &mut ChaCha8Rng, acts: &mut Vec<(UnixMillis, Act)>, issued_ms: UnixMillis) {
    let mut at_ms = issued_ms.saturating_add(between(rng, 20 * SECOND, 150 * SECOND));
    acts.push((at_ms, Act::Enter));
    at_ms = at_ms.saturating_add(between(rng, SECOND, 3 * SECOND));
    acts.push((at_ms, Act::Prove));
    at_ms = at_ms.saturating_add(between(rng, 4 * SECOND, 40 * SECOND));
    let sees = below(rng, 40) != 0;
    acts.push((at_ms, Act::View(sees)));
    if !sees {
        acts.push((at_ms.saturating_add(SECOND), Act::End(CloseReason::ConsentRefused)));
        return;
    }
    if below(rng, 3) != 0 {
        let asked_ms = at_ms.saturating_add(between(rng, 3 * SECOND, 20 * SECOND));
        acts.push((asked_ms, Act::Device(device(rng))));
    }
    if below(rng, 5) != 0 {
        let asked_ms = at_ms.saturating_add(between(rng, 20 * SECOND, 60 * SECOND));
        acts.push((asked_ms, Act::Control(below(rng, 25) != 0)));
    }
    // Short ones are the rule, long ones the exception: the product of two draws.
    let (one, other) = (between(rng, 8, 60), between(rng, 8, 60));
    let minutes_2 = one.saturating_mul(other).saturating_mul(SECOND);
    at_ms = at_ms.saturating_add(minutes_2.max(75 * SECOND));
    let reason = match below(rng, 100) {
        0..26 => CloseReason::CustomerEnded,
        26..28 => CloseReason::PeerLost,
        28..29 => CloseReason::TransportLost,
        _ => CloseReason::OperatorEnded,
    };
    acts.push((at_ms, Act::End(reason)));
}

fn device(rng: &mut ChaCha8Rng) -> Vec<DeviceFact> {
    let (system, kernel) = pick(rng, &SYSTEMS).copied().unwrap_or_default();
    let (cpu, threads, memory) = pick(rng, &PROCESSORS).copied().unwrap_or_default();
    let fact = |kind, value: &str| DeviceFact { kind, value: value.to_owned() };
    vec![
        fact(DeviceFactKind::HostName, &format!("PC-{:04}", between(rng, 100, 1400))),
        fact(DeviceFactKind::OsName, system),
        fact(DeviceFactKind::KernelVersion, kernel),
        fact(DeviceFactKind::Cpu, cpu),
        fact(DeviceFactKind::CpuThreads, threads),
        fact(DeviceFactKind::MemoryMib, memory),
        fact(DeviceFactKind::DiskFreeMib, &between(rng, 4_000, 420_000).to_string()),
        fact(
            DeviceFactKind::Monitors,
            if below(rng, 4) == 0 { "1920x1080+0+0 1920x1080+1920+0" } else { "1920x1080+0+0" },
        ),
        fact(DeviceFactKind::Language, "ja"),
    ]
}

/// A number from `least` up to, and without, `end`.
fn between(rng: &mut ChaCha8Rng, least: i64, end: i64) -> i64 {
    least.saturating_add(below(rng, end.saturating_sub(least)))
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn steps_follow_each_other_and_every_case_comes_to_an_end() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..2_000 {
            let case = draw(&mut rng, 1_700_000_000_000, OperatorId::from_bytes([1; 16]));
            assert!(case.acts.is_sorted_by_key(|(at_ms, _)| *at_ms), "{:?}", case.acts);
            let issued = case.acts.iter().find(|(_, act)| *act == Act::Issue).unwrap().0;
            for (at_ms, act) in &case.acts {
                assert!(*act != Act::Enter || *at_ms < issued + LIFE_MS, "entered when its time was over");
            }
            assert!(matches!(case.acts.last().unwrap().1, Act::End(_) | Act::Cancel | Act::Expire));
        }
    }
}
