//! Who works at the example's help desk.

use crate::role::Role;

/// Somebody of the example. Every name is invented.
pub(super) struct Person {
    /// The id for the login.
    pub(super) user: &'static str,
    /// The name that customers see.
    pub(super) name: &'static str,
    /// How it is read.
    pub(super) kana: &'static str,
    /// What the account may do.
    pub(super) role: Role,
}

const fn person(user: &'static str, name: &'static str, kana: &'static str, role: Role) -> Person {
    Person { user, name, kana, role }
}

/// Everybody.
pub(super) const ALL: [Person; 20] = [
    person("kobayashi", "小林 由美子", "コバヤシ ユミコ", Role::Supervisor),
    person("matsumoto", "松本 浩二", "マツモト コウジ", Role::Supervisor),
    person("inoue", "井上 真由", "イノウエ マユ", Role::Viewer),
    person("saito.k", "斎藤 監", "サイトウ カン", Role::Auditor),
    person("goto", "後藤 千尋", "ゴトウ チヒロ", Role::Operator),
    person("suzuki", "鈴木 一郎", "スズキ イチロウ", Role::Operator),
    person("takahashi", "高橋 美咲", "タカハシ ミサキ", Role::Operator),
    person("tanaka", "田中 健", "タナカ ケン", Role::Operator),
    person("ito", "伊藤 さくら", "イトウ サクラ", Role::Operator),
    person("watanabe", "渡辺 大輔", "ワタナベ ダイスケ", Role::Operator),
    person("nakamura", "中村 結衣", "ナカムラ ユイ", Role::Operator),
    person("kato", "加藤 翔太", "カトウ ショウタ", Role::Operator),
    person("yoshida", "吉田 久美", "ヨシダ クミ", Role::Operator),
    person("yamamoto", "山本 剛", "ヤマモト ツヨシ", Role::Operator),
    person("hayashi", "林 あかね", "ハヤシ アカネ", Role::Operator),
    person("shimizu", "清水 亮", "シミズ リョウ", Role::Operator),
    person("mori", "森 香織", "モリ カオリ", Role::Operator),
    person("abe", "阿部 拓也", "アベ タクヤ", Role::Operator),
    person("ikeda", "池田 ひとみ", "イケダ ヒトミ", Role::Operator),
    person("hashimoto", "橋本 直樹", "ハシモト ナオキ", Role::Operator),
];
