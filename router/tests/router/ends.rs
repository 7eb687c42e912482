//! Stops, reloads, kills and starts anew.

use crate::rig::{Client, PLAIN, Plan, Rig, eventually};
use nix::sys::signal::Signal;
use shm_abi::{AskError, ControlAnswer, ControlRequest, ask_router};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn a_terminated_router_says_goodbye_and_cleans_up() {
    let mut rig = Rig::new(&PLAIN);
    let name = rig.view().name().to_string();
    let mut client = rig.connect("imap");
    client.line();
    rig.signal(Signal::SIGTERM);
    assert_eq!(client.line(), "* BYE");
    assert_eq!(rig.exit_code(), Some(0), "{}", rig.log());
    rig.log_has("router-stopped");
    for left in ["run/lmtp", "run/control", "run/router.pid"] {
        assert!(!rig.folder.join(left).exists(), "{left}");
    }
    assert!(!Path::new("/dev/shm").join(name.trim_start_matches('/')).exists());
    assert!(matches!(ask_router(&rig.runtime(), ControlRequest::Status), Err(AskError::NotRunning)));
}

#[test]
fn handlers_that_do_not_end_are_killed_after_the_grace() {
    let mut rig = Rig::new(&Plan { mode: "stubborn", limits: "grace_seconds = 1", ..PLAIN });
    rig.connect("imap").line();
    let before = Instant::now();
    rig.signal(Signal::SIGINT);
    assert_eq!(rig.exit_code(), Some(0));
    let took = before.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(6), "{took:?}");
    rig.log_has("handler-killed");
}

#[test]
fn a_wrong_settings_file_changes_nothing_and_a_right_one_is_passed_on() {
    let rig = Rig::new(&PLAIN);
    rig.handler_pid(0);
    let file = rig.folder.join("lode.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{good}\n[nonsense]\n")).unwrap();
    rig.signal(Signal::SIGHUP);
    rig.log_has("error settings-kept");
    assert!(!rig.folder.join("reloaded").exists());
    fs::write(&file, good.replace("grace_seconds = 2", "grace_seconds = 7")).unwrap();
    rig.signal(Signal::SIGHUP);
    rig.log_has("info settings-read");
    let told = || {
        fs::read_to_string(rig.folder.join("reloaded")).is_ok_and(|text| text.contains("grace_seconds = 7"))
    };
    eventually("the handler is told", told, || rig.log());
    rig.connect("imap").line();
}

#[test]
fn handlers_of_a_killed_router_that_do_not_come_to_the_next_are_killed() {
    let mut rig = Rig::new(&Plan { mode: "orphan", ..PLAIN });
    let orphan = rig.handler_pid(0);
    let old_boot = rig.view().info().boot_generation;
    rig.router.kill().unwrap();
    rig.router.wait().unwrap();
    assert!(shm_abi::process_start_ticks(orphan.as_raw() as u32).is_some(), "it does not notice");
    rig.set_mode("");
    rig.restart();
    rig.log_has("table-taken-over");
    rig.log_has("handler-expected handler=0");
    assert_eq!(rig.view().info().boot_generation, old_boot + 1);
    let mut client = Client::unix(&rig.runtime().join("lmtp"));
    assert!(client.line().starts_with("handler 0 generation 2 "), "{}", rig.log());
    rig.log_has("handler-did-not-rejoin handler=0");
    assert!(shm_abi::process_start_ticks(orphan.as_raw() as u32).is_none(), "two boots on one store");
}

#[test]
fn a_killed_router_whose_handlers_are_dead_too_is_followed_by_another() {
    let mut rig = Rig::new(&PLAIN);
    let old_boot = rig.view().info().boot_generation;
    let handler = rig.handler_pid(0);
    rig.router.kill().unwrap();
    rig.router.wait().unwrap();
    let gone = || shm_abi::process_start_ticks(handler.as_raw() as u32).is_none();
    eventually("the handler ends", gone, || rig.log());
    rig.restart();
    assert!(rig.view().info().boot_generation > old_boot + 1, "the table is made anew");
    assert!(Client::unix(&rig.runtime().join("lmtp")).line().starts_with("handler 0 generation 1 "));
}

#[test]
fn a_table_of_another_version_is_named_and_replaced() {
    let mut rig = Rig::new(&PLAIN);
    let handler = rig.handler_pid(0);
    rig.router.kill().unwrap();
    rig.router.wait().unwrap();
    let gone = || shm_abi::process_start_ticks(handler.as_raw() as u32).is_none();
    eventually("the handler ends", gone, || rig.log());
    // The version is the word behind the magic.
    let name = shm_abi::read_table_name(&rig.runtime()).unwrap();
    let path = Path::new("/dev/shm").join(name.trim_start_matches('/'));
    let mut table = fs::read(&path).unwrap();
    table[8] += 40;
    fs::write(&path, &table).unwrap();
    rig.restart();
    rig.log_has("table-of-other-program");
    assert!(rig.log().contains("version 41, this program has version 1"), "{}", rig.log());
    rig.connect("imap").line();
}

#[test]
fn a_handler_whose_heart_stops_is_replaced() {
    let rig = Rig::new(&Plan { mode: "still", limits: "hang_seconds = 1", ..PLAIN });
    let hung = rig.handler_pid(0);
    rig.set_mode("");
    rig.log_has("handler-hung handler=0");
    rig.log_has("handler-ended handler=0");
    assert!(shm_abi::process_start_ticks(hung.as_raw() as u32).is_none());
    let mut client = rig.connect("imap");
    assert!(client.line().starts_with("handler "), "{}", rig.log());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(rig.log_count("handler-hung"), 1, "one that beats is left alone");
    client.echo("still here");
}

#[test]
fn there_is_one_router_in_a_runtime_folder() {
    let mut rig = Rig::new(&PLAIN);
    let pid = rig.router.id();
    let output = std::process::Command::new(rig.folder.join("bin/router"))
        .arg("--config")
        .arg(rig.folder.join("lode.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("already (process {pid})")), "{said}");
    rig.connect("imap").line();
    assert!(rig.router.try_wait().unwrap().is_none());
}

#[test]
fn a_handler_that_dies_at_once_is_not_started_for_ever() {
    let rig = Rig::new(&Plan { mode: "die", handlers: "max = 4\nsessions = 10", ..PLAIN });
    let mut client = rig.connect("imap");
    std::thread::sleep(Duration::from_secs(2));
    let deaths = rig.log_count("handler-ended");
    assert!((2..=8).contains(&deaths), "{deaths} deaths\n{}", rig.log());
    rig.set_mode("");
    assert!(client.line().starts_with("handler "), "the client that waited is served");
}

#[test]
fn tools_are_answered() {
    let mut rig = Rig::new(&PLAIN);
    rig.handler_pid(0);
    let answer = ask_router(&rig.runtime(), ControlRequest::Status).unwrap().record;
    let ControlAnswer::Status(status) = answer else { panic!("{answer:?}") };
    assert_eq!(status.listening.len(), 3);
    assert_eq!(status.listening[0], format!("imap {}", rig.address("imap")));
    assert!(!status.stopping);
    let attached = ask_router(&rig.runtime(), ControlRequest::Attach).unwrap();
    assert_eq!(attached.record, ControlAnswer::Attached { table: rig.view().name().to_string() });
    assert_eq!(attached.descriptors.len(), 3, "one more row than serve at a time");
    nix::unistd::write(attached.descriptors[0].as_fd(), &1u64.to_ne_bytes()).unwrap();
    assert_eq!(ask_router(&rig.runtime(), ControlRequest::Reload).unwrap().record, ControlAnswer::Done);
    fs::write(rig.folder.join("lode.toml"), "[").unwrap();
    let answer = ask_router(&rig.runtime(), ControlRequest::Reload).unwrap().record;
    assert!(matches!(answer, ControlAnswer::Failed(_)));
    rig.signal(Signal::SIGSTOP);
    assert!(matches!(ask_router(&rig.runtime(), ControlRequest::Status), Err(AskError::Silent)));
    assert_eq!(rig.view().handlers().len(), 1, "the table is read all the same");
    rig.signal(Signal::SIGCONT);
    assert_eq!(ask_router(&rig.runtime(), ControlRequest::Stop).unwrap().record, ControlAnswer::Done);
    assert_eq!(rig.exit_code(), Some(0));
}
