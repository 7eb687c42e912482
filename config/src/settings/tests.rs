//! Tests of the settings file.

use std::path::{Path, PathBuf};

use super::{Listen, LogLevel, Plaintext, Settings, SettingsError};

fn parse(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse(text, Path::new("/etc/lode/lode.toml"))
}

fn problems(text: &str) -> Vec<String> {
    parse(text).expect("well formed").check()
}

#[test]
fn the_default_text_says_the_defaults_and_every_option() {
    let settings = parse(Settings::default_text()).expect("parses");
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.check(), Vec::<String>::new());
    // Every key that serialisation knows is in the text, so no option is left undocumented.
    for line in settings.to_text().lines() {
        let key = line.split(" = ").next().unwrap_or_default();
        assert!(Settings::default_text().contains(key), "{key} is not in the default text");
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(parse("").expect("parses"), Settings::default());
}

#[test]
fn to_text_parses_back() {
    let text = "[listen]\nimap = [\"127.0.0.1:1143\", \"[::1]:1143\"]\nlmtp = [\"unix:/tmp/l\", \"localhost:24\"]\n\
                [auth]\nplaintext = \"always\"\nremember_seconds = 0\nsubmitters = [\"submit\"]\n\
                administrators = [\"root\"]\nadministrator_url = \"tel:+1\"\n\
                [auth.referrals]\nann = \"imap.example.org:1143\"\n[lmtp]\ndomains = [\"example.org\"]\n\
                delimiter = \"-\"\nfolders = \"create\"\naliases = \"/etc/aliases\"\ncatch_all = \"ann\"\n\
                over_quota = \"reject\"\ntrusted_peers = [\"unix\", \"10.0.0.0/8\"]\n\
                [pop3]\nlogin_delay_seconds = 900\nexpire = 30\n\
                [quota]\noctets = \"2G\"\nmessages = 1000\nmailboxes = 50\n[run]\nuser = \"lode\"\n";
    let settings = parse(text).expect("parses");
    assert_eq!(settings.auth.plaintext, Plaintext::Always);
    assert_eq!(settings.listen.lmtp[0], Listen::Unix(PathBuf::from("/tmp/l")));
    assert_eq!(settings.listen.lmtp[1].to_string(), "127.0.0.1:24");
    assert_eq!(parse(&settings.to_text()).expect("parses back"), settings);
}

#[test]
fn errors_name_file_and_line() {
    let cases = [
        ("[store]\npath = \"/x\"\n\n[limits]\nquee = 1\n", ":5: ", "quee"),
        ("[store\n", ":1: ", ""),
        ("[listen]\nimap = [\n  \"0.0.0.0:143\",\n  \"nowhere\"]\n", ":", "`nowhere` is not an address"),
        ("[auth]\nplaintext = \"never\"\n", ":2: ", "never"),
        ("[handlers]\nmax = -1\n", ":2: ", ""),
        ("[tea]\n", ":1: ", "tea"),
        ("[pop3]\nexpire = -1\n", ":2: ", "number of days"),
        ("[pop3]\nexpire = \"soon\"\n", ":2: ", "never"),
        ("[lmtp]\ntrusted_peers = [\"10.0.0.0/99\"]\n", ":2: ", "is no peer"),
        ("[lmtp]\nfolders = \"all\"\n", ":2: ", "all"),
        ("[limits]\nexempt = [\"home\"]\n", ":2: ", "is no peer"),
        ("[metrics]\nlisten = \"here\"\n", ":2: ", "is no address"),
        ("[log]\nlevel = \"loud\"\n", ":2: ", "loud"),
        ("[quota]\nmessages = -1\n", ":2: ", "below 0"),
        ("[quota]\noctets = \"2 GB\"\n", ":2: ", "is not an amount"),
    ];
    for (text, line, what) in cases {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.starts_with(&format!("/etc/lode/lode.toml{line}")), "{error}");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_a_remedy() {
    let cases = [
        ("[listen]\nimap = []\npop3 = []\nlmtp = []\n", "at least one address"),
        ("[listen]\nimap = [\"unix:/x\"]\n", "only lmtp"),
        ("[listen]\nimaps = [\"0.0.0.0:993\"]\n", "needs a certificate"),
        ("[tls]\ncertificate = \"/c.pem\"\n", "belong together"),
        ("[tls]\ncertificate = \"c.pem\"\nkey = \"/k\"\n", "absolute"),
        ("[listen]\npop3 = [\"0.0.0.0:143\"]\n", "already listened on"),
        ("[store]\npath = \"mail\"\n", "absolute path"),
        ("[store]\npath = \"/run/lode\"\n", "same folder"),
        ("[handlers]\nmax = 65\n", "from 1 to 64"),
        ("[handlers]\nsessions = 0\n", "from 1 to"),
        ("[limits]\nmessage_bytes = 4294967296\n", "message_bytes"),
        ("[limits]\nlogin_seconds = 0\n", "login_seconds"),
        ("[log.targets]\n\"a b\" = \"info\"\n", "no target"),
        ("[limits]\nfailed_logins_seconds = 0\n", "failed_logins_seconds"),
        ("[limits]\nsession_memory = \"1000K\"\n", "session_memory"),
        ("[limits]\nhandler_memory = 1000\n", "handler_memory"),
        ("[lmtp]\ndomains = [\"a b\"]\n", "not a domain"),
        ("[lmtp]\naliases = \"aliases\"\n", "absolute path"),
        ("[lmtp]\ndelimiter = \"@\"\n", "characters like"),
        ("[lmtp]\ndelimiter = \"a\"\n", "characters like"),
        ("[lmtp]\ncatch_all = \"ann, bob\"\n", "one address"),
        ("[pop3]\nlogin_delay_seconds = 700000\n", "from 0 to"),
        ("[pop3]\nexpire = 40000\n", "from 0 to"),
        ("[auth]\nadministrators = [\"A b\"]\n", "administrators"),
        ("[auth]\nadministrator_url = \"call me\"\n", "no URI"),
        ("[run]\nuser = \"a:b\"\n", "user name of this system"),
    ];
    for (text, what) in cases {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].contains(what), "{problems:?}");
    }
    let long = format!("[listen]\nlmtp = [\"unix:/{}\"]\n", "x".repeat(107));
    assert_eq!(problems(&long).len(), 1);
    assert_eq!(
        problems("[listen]\nimap = [\"127.0.0.1:0\"]\npop3 = [\"127.0.0.1:0\"]\n"),
        Vec::<String>::new()
    );
}

#[test]
fn the_path_rule() {
    let argument = Path::new("/a");
    assert_eq!(Settings::path_from(Some(argument), Some("/b".into())), PathBuf::from("/a"));
    assert_eq!(Settings::path_from(None, Some("/b".into())), PathBuf::from("/b"));
    assert_eq!(Settings::path_from(None, Some("".into())), PathBuf::from("/etc/lode/lode.toml"));
    assert_eq!(Settings::path_from(None, None), PathBuf::from("/etc/lode/lode.toml"));
}

#[test]
fn load_checks_too_and_a_missing_file_says_what_to_do() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("lode.toml");
    let missing = Settings::load(&path).expect_err("no file").to_string();
    assert!(missing.contains("lode config default"), "{missing}");
    std::fs::write(&path, "[handlers]\nmax = 0\n").expect("written");
    assert!(matches!(Settings::load(&path), Err(SettingsError::Refused { .. })));
    std::fs::write(&path, Settings::default_text()).expect("written");
    assert_eq!(Settings::load(&path).expect("loads"), Settings::default());
}

#[test]
fn referrals_name_users_and_servers() {
    assert_eq!(
        problems("[auth.referrals]\nann = \"imap.example.org\"\nbob = \"[::1]:143\"\n"),
        Vec::<String>::new()
    );
    for text in
        ["Ann = \"imap.example.org\"", "ann = \"\"", "ann = \"imap://x/\"", "ann = \"a b\"", "\"\" = \"x\""]
    {
        assert_eq!(problems(&format!("[auth.referrals]\n{text}\n")).len(), 1, "{text}");
    }
}

#[test]
fn metrics_can_be_turned_off_and_levels_be_one_text() {
    let settings =
        parse("[metrics]\nlisten = \"\"\n[log.targets]\nimap = \"debug\"\naudit = \"warning\"\n").unwrap();
    assert_eq!(settings.metrics.listen, None);
    assert_eq!(settings.log.levels(), "info,audit=warning,imap=debug");
    assert_eq!(parse(&settings.to_text()).unwrap(), settings);
    for level in [LogLevel::Error, LogLevel::Warning, LogLevel::Info, LogLevel::Debug] {
        assert_eq!(LogLevel::from_name(level.name()), Some(level));
    }
}
