//! What the machine limits: descriptors; and what root gives away.

use crate::rig::{Client, PLAIN, Plan, Rig};
use nix::unistd::Uid;
use std::fs;
use std::time::Duration;

#[test]
fn without_descriptors_the_router_rests_and_goes_on() {
    let rig = Rig::new(&Plan {
        handlers: "max = 1\nsessions = 1",
        limits: "queue = 1000\ngrace_seconds = 1",
        descriptors: Some(48),
        ..PLAIN
    });
    let mut first = rig.connect("imap");
    first.line();
    let waiting: Vec<Client> = (0..80).map(|_| rig.connect("imap")).collect();
    rig.log_has("accept-exhausted");
    let before = processor_ticks(rig.router.id());
    std::thread::sleep(Duration::from_secs(1));
    let used = processor_ticks(rig.router.id()) - before;
    assert!(used < 20, "{used} of 100 ticks: it spins");
    first.echo("still served");
    drop(waiting);
    first.say("QUIT");
    let mut last = rig.connect("imap");
    let line = last.line();
    assert!(line.starts_with("handler 0 ") || line.starts_with("* BYE"), "{line}");
}

/// Ticks of processor time a process has had, in user and kernel.
fn processor_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
    fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
}

#[test]
fn root_becomes_the_user_of_the_settings() {
    if !Uid::effective().is_root() {
        println!("skipped: not root");
        return;
    }
    let rig = Rig::new(&Plan { more: "[run]\nuser = \"nobody\"", ..PLAIN });
    let mut client = rig.connect("imap");
    client.line();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    for pid in [rig.router.id() as i32, rig.handler_pid(0).as_raw()] {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert_eq!(uids.split_whitespace().skip(1).collect::<Vec<_>>(), [&nobody.to_string(); 4], "{pid}");
        let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap();
        assert!(!groups.split_whitespace().skip(1).any(|group| group == "0"), "{groups}");
    }
    let mut lmtp = Client::unix(&rig.runtime().join("lmtp"));
    lmtp.line();
}
