//! Postfix, with a configuration and a queue of its own, delivers to Lode through LMTP.

use nix::unistd::geteuid;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::mail;
use tests::server::{Options, Server, free};
use tests::tool;

struct Postfix {
    config: std::path::PathBuf,
    program: std::path::PathBuf,
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = Command::new(&self.program).arg("-c").arg(&self.config).arg("stop").output();
    }
}

#[test]
fn delivers_through_lmtp() {
    let Some(postfix) = tool::program("postfix", "postfix") else { return };
    if !geteuid().is_root() {
        println!("skipped: Postfix starts as root only");
        return;
    }
    let server = Server::with(Options::default().set("lmtp", "trusted_peers", "[\"127.0.0.1\"]"));
    server.imap("ann").ok("CREATE Lists");
    // Its own processes drop root, so the folder must be open to them.
    let folder = tempfile::Builder::new().prefix("lode-postfix-").tempdir().expect("a folder");
    open_to_all(folder.path());
    let (config, queue, data) =
        (folder.path().join("etc"), folder.path().join("queue"), folder.path().join("data"));
    for each in [&config, &queue, &data] {
        fs::create_dir_all(each).expect("a folder");
        open_to_all(each);
    }
    let smtp = free().port();
    fs::write(config.join("main.cf"), main_cf(&queue, &data, server.addresses().lmtp.port()))
        .expect("written");
    fs::write(config.join("master.cf"), master_cf(smtp)).expect("written");
    tool::succeed(Command::new("chown").arg("postfix").arg(&data));
    let begin =
        tool::run(Command::new(&postfix).arg("-c").arg(&config).arg("start"), b"", Duration::from_secs(60));
    let running = Postfix { config: config.clone(), program: postfix };
    assert!(begin.success, "{}\n{}", begin.text(), begin.err);

    let Some(python) = tool::program("python3", "python3") else { return };
    let program = "import smtplib,sys\nwith smtplib.SMTP('127.0.0.1', int(sys.argv[1])) as smtp:\n    \
                   assert smtp.sendmail('a@example.org', sys.argv[2:], sys.stdin.buffer.read()) == {}\n";
    let users = [server.user("ann"), server.user("bob"), format!("{}+lists", server.user("ann"))];
    let users = users.map(|user| format!("{user}@mail.example"));
    let mut send = Command::new(python);
    send.arg("-c").arg(program).arg(smtp.to_string()).args(&users);
    let said = tool::run(&mut send, &mail::small("through-postfix"), Duration::from_secs(60));
    assert!(said.success, "{}", said.err);

    let deadline = Instant::now() + Duration::from_secs(60);
    for user in ["ann", "bob"] {
        let mut imap = server.imap(user);
        while imap.ok("SELECT INBOX").exists() != Some(1) {
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{user} has no mail{}\n{log}", server.tail());
            std::thread::sleep(Duration::from_millis(100));
        }
        let fetched = imap.ok("FETCH 1 BODY.PEEK[]").fetches();
        let body = fetched[0].item("BODY[]").and_then(|value| value.octets()).expect("a body");
        assert_eq!(mail::id(body).as_deref(), Some("through-postfix"));
    }
    if server.is_lode() {
        // The folder has a copy of its own, and the log says whom Postfix has the message from.
        assert_eq!(server.imap("ann").ok("SELECT Lists").exists(), Some(1));
        let log = fs::read_to_string(server.folder().join("log")).expect("a log");
        let clients: Vec<&str> = log.split_whitespace().filter(|word| word.starts_with("client=")).collect();
        assert!(
            !clients.is_empty() && clients.iter().all(|client| client.contains("[127.0.0.1]")),
            "{clients:?}"
        );
    }
    drop(running);
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("permissions");
}

fn main_cf(queue: &Path, data: &Path, lmtp: u16) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\nmail_owner = postfix\nsetgid_group = postdrop\n\
         myhostname = relay.example\nmydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = loopback-only\ninet_protocols = ipv4\n\
         alias_maps =\nalias_database =\nlocal_recipient_maps =\nvirtual_mailbox_domains = mail.example\nvirtual_transport = lmtp:inet:127.0.0.1:{lmtp}\n\
         recipient_delimiter = +\nlmtp_send_xforward_command = yes\nsmtputf8_enable = no\nmaillog_file = {log}\nmaillog_file_prefixes = {prefix}\n",
        queue = queue.display(),
        data = data.display(),
        log = queue.with_file_name("log").display(),
        prefix = queue.parent().unwrap_or(queue).display(),
    )
}

fn master_cf(smtp: u16) -> String {
    let services = [
        &format!("127.0.0.1:{smtp} inet n - n - - smtpd"),
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "verify unix - - n - 1 verify",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "showq unix n - n - - showq",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "lmtp unix - - n - - lmtp",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "postlog unix-dgram n - n - 1 postlogd",
    ];
    services.iter().map(|service| format!("{service}\n")).collect()
}
