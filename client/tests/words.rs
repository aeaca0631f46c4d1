//! Both languages say the same things.

#[test]
fn japanese_and_english_have_the_same_sentences_and_placeholders() {
    let found = desk::text::disparities(include_str!("../text/ja.toml"), include_str!("../text/en.toml")).unwrap();
    assert!(found.is_empty(), "{found:#?}");
}

/// Every error that the flow can show has its sentence.
#[test]
fn every_trouble_has_a_sentence() {
    use client::enter::EnterError;
    use link::proxy::ProxyError;

    let text = client::ui::catalogue(desk::lang::Lang::Ja).unwrap();
    for error in [
        EnterError::NumberUnusable,
        EnterError::NoBookmark,
        EnterError::ManagerUnreachable,
        EnterError::Busy,
        EnterError::ServiceHalted,
        EnterError::NotUnderstood,
        EnterError::WrongSecret,
        EnterError::RelayUnreachable,
        EnterError::OperatorGone,
        EnterError::Proxy(ProxyError::Unreachable),
        EnterError::Proxy(ProxyError::SignIn),
        EnterError::Proxy(ProxyError::Refused),
        EnterError::Proxy(ProxyError::NotUnderstood),
    ] {
        let id = format!("trouble.{}", error.code());
        assert_ne!(text.say(&id, &[]), id);
    }
}
