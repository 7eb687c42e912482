//! Tests of the screen and the keys over a table of this test's own, drawn into memory.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use shm_abi::{
    CellState, Endpoint, HandlerState, Limits, Process, Protocol, SessionId, Table, TableView, table_name,
};

use super::deed::Deed;
use super::draw;
use super::keys::{Effect, press};
use super::model::{Model, Order, Over};
use super::palette::Palette;
use super::sample::{History, Sample};
use super::source::Look;

/// A table with sessions of ann, bob and carl, and its folder.
struct Rig {
    table: Table,
    _folder: tempfile::TempDir,
    ids: Vec<SessionId>,
}

const NOW_MS: u64 = 1_000_000;

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().expect("temporary folder");
        let name = table_name(folder.path());
        shm_abi::write_table_name(folder.path(), &name).expect("written");
        let table = Table::create(&name, Limits { handlers: 3, sessions: 200 }, 1, 1_000).expect("made");
        let mut rig = Rig { table, _folder: folder, ids: Vec::new() };
        for handler in [0, 1] {
            rig.table.begin_handler(handler, 1_000).expect("free");
            rig.table.handler(handler).set_process(Process::current());
            rig.table.handler(handler).set_state(HandlerState::Serving);
        }
        rig.add(0, Protocol::Imap, "ann", NOW_MS - 300_000);
        rig.add(0, Protocol::Pop3, "bob", NOW_MS - 200_000);
        rig.add(1, Protocol::Imap, "carl", NOW_MS - 100_000);
        rig
    }

    fn add(&mut self, handler: u32, protocol: Protocol, user: &str, accepted_ms: u64) {
        let peer = Endpoint::Inet("192.0.2.7:4242".parse().expect("an address"));
        let (cell, generation) = self.table.assign(handler, protocol, peer, accepted_ms).expect("room");
        let session = self.table.cell(handler, cell, generation).expect("the cell");
        session.set_user(user, accepted_ms);
        session.set_state(CellState::Parked);
        self.ids.push(SessionId { handler, cell, generation });
    }

    fn cell(&self, number: usize) -> shm_abi::Cell<'_> {
        let id = self.ids[number];
        self.table.cell(id.handler, id.cell, id.generation).expect("the cell")
    }

    fn look(&self, now_ms: u64) -> Look {
        let view = TableView::open_read_only(self.table.name()).expect("opened");
        Look {
            now_ms,
            info: view.info(),
            router_alive: true,
            handlers: view.handlers(),
            sessions: view.sessions(),
        }
    }
}

fn users(model: &Model, sample: &Sample) -> Vec<String> {
    model.rows(sample).iter().map(|session| session.info.user.clone()).collect()
}

fn type_keys(text: &str, model: &mut Model, sample: &Sample) -> Effect {
    let mut last = Effect::None;
    for typed in text.chars() {
        let code = match typed {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            other => KeyCode::Char(other),
        };
        last = press(KeyEvent::new(code, KeyModifiers::NONE), model, sample);
    }
    last
}

fn screen(width: u16, height: u16, sample: &Sample, model: &Model) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
    terminal.draw(|frame| draw::screen(frame, sample, model, &Palette::plain())).expect("drawn");
    terminal.backend().to_string()
}

#[test]
fn sessions_are_sorted_by_what_they_take() {
    let rig = Rig::new();
    let mut history = History::default();
    history.push(rig.look(NOW_MS));
    rig.cell(1).add_cpu(500_000);
    rig.cell(2).add_cpu(100_000);
    rig.cell(0).add_bytes(10, 90_000, NOW_MS);
    rig.cell(2).add_bytes(10, 900, NOW_MS);
    rig.cell(2).begin_command("FETCH", NOW_MS - 5_000);
    rig.cell(2).set_memory(5_000);
    rig.cell(1).set_memory(4_000);
    rig.table.handler(0).count(shm_abi::Counter::Commands, 40);
    let sample = history.push(rig.look(NOW_MS + 2_000));
    let mut model = Model::new(Order::Cpu, "");
    model.follow(&sample);
    assert_eq!(users(&model, &sample), ["bob", "carl", "ann"]);
    assert_eq!(sample.sessions[1].cpu_percent, 25.0);
    assert_eq!(sample.handlers[0].commands, 20.0);
    for (key, order) in [
        ("o", ["ann", "carl", "bob"]),
        ("a", ["ann", "bob", "carl"]),
        ("m", ["carl", "ann", "bob"]),
        ("b", ["carl", "bob", "ann"]),
        ("r", ["ann", "bob", "carl"]),
        ("c", ["bob", "carl", "ann"]),
    ] {
        type_keys(key, &mut model, &sample);
        assert_eq!(users(&model, &sample), order, "{key}");
    }
}

#[test]
fn the_selection_stays_on_its_session_and_a_deed_is_asked_for_first() {
    let rig = Rig::new();
    let mut history = History::default();
    let sample = history.push(rig.look(NOW_MS));
    let mut model = Model::new(Order::Age, "");
    model.follow(&sample);
    type_keys("j", &mut model, &sample);
    assert_eq!(model.selected, Some(rig.ids[1]));
    // The oldest session ends: bob's moves up, and stays selected.
    rig.table.free(0, rig.ids[0].cell, rig.ids[0].generation);
    let sample = history.push(rig.look(NOW_MS + 1_000));
    model.follow(&sample);
    assert_eq!((model.selected, model.position()), (Some(rig.ids[1]), 0));

    assert_eq!(type_keys("K", &mut model, &sample), Effect::None);
    let asked = screen(100, 20, &sample, &model);
    assert!(asked.contains(&format!("Kick session {} of bob? [y/N]", rig.ids[1])), "{asked}");
    assert_eq!(type_keys("n", &mut model, &sample), Effect::None);
    assert_eq!(type_keys("K\n", &mut model, &sample), Effect::None, "Enter is no yes");
    assert_eq!(type_keys("Ky", &mut model, &sample), Effect::Do(Deed::Kick(rig.ids[1])));
    assert_eq!(type_keys("M1\n", &mut model, &sample), Effect::Do(Deed::Migrate(rig.ids[1], 1)));
    for (keys, said) in
        [("M0\n", "there already"), ("M2\n", "no handler 2"), ("M\n", "no handler"), ("M1\x1b", "nothing")]
    {
        assert_eq!(type_keys(keys, &mut model, &sample), Effect::None);
        assert!(model.message.as_ref().is_some_and(|message| message.contains(said)), "{keys:?}");
    }
    assert_eq!(type_keys("q", &mut model, &sample), Effect::Quit);
}

#[test]
fn with_a_dead_router_deeds_are_refused_with_the_reason() {
    let rig = Rig::new();
    let mut look = rig.look(NOW_MS);
    look.router_alive = false;
    let sample = History::default().push(look);
    let mut model = Model::new(Order::Cpu, "");
    model.follow(&sample);
    assert!(screen(160, 20, &sample, &model).contains("is DEAD"));
    for key in ["K", "M"] {
        type_keys(key, &mut model, &sample);
        assert_eq!(model.over, Over::Nothing);
        assert!(model.message.as_ref().is_some_and(|message| message.contains("the router is dead")));
    }
}

#[test]
fn a_handler_that_hangs_stands_first_and_is_marked() {
    let rig = Rig::new();
    for (handler, beat_ms) in [(0, NOW_MS), (1, NOW_MS - 7_000)] {
        rig.table.handler(handler).beat(shm_abi::Heartbeat::Poll, beat_ms);
    }
    let sample = History::default().push(rig.look(NOW_MS));
    let mut model = Model::new(Order::Cpu, "");
    model.follow(&sample);
    let rows = |model: &Model| -> Vec<String> {
        let shown = screen(100, 30, &sample, model);
        let rows = shown.lines().filter(|line| line.contains("serving"));
        rows.map(|line| {
            line.trim_matches(['"', ' ']).split_whitespace().take(4).collect::<Vec<_>>().join(" ")
        })
        .collect()
    };
    assert_eq!(rows(&model), ["1 serving 1 7/-/-", "0 serving 2 0/-/-"]);
    model.stale_seconds = 10;
    assert_eq!(rows(&model), ["0 serving 2 0/-/-", "1 serving 1 7/-/-"]);
}

#[test]
fn a_filter_is_typed_kept_and_taken_back() {
    let rig = Rig::new();
    let sample = History::default().push(rig.look(NOW_MS));
    let mut model = Model::new(Order::Age, "");
    model.follow(&sample);
    type_keys("/IMAP ca", &mut model, &sample);
    assert_eq!(users(&model, &sample), ["carl"]);
    assert!(screen(100, 20, &sample, &model).contains("filter: IMAP ca_"));
    type_keys("\x08\x08\x08", &mut model, &sample);
    assert_eq!(users(&model, &sample), ["ann", "carl"]);
    type_keys("\n", &mut model, &sample);
    assert!(screen(100, 20, &sample, &model).contains("filter: IMAP "));
    type_keys("/nobody\x1b", &mut model, &sample);
    assert_eq!(users(&model, &sample), ["ann", "carl"], "Esc takes back what was typed");
    type_keys("\x1b", &mut model, &sample);
    assert_eq!(users(&model, &sample).len(), 3);
    type_keys(&format!("/{}", "x".repeat(1000)), &mut model, &sample);
    assert_eq!(model.filter.len(), 80);
}

#[test]
fn details_show_all_of_one_session_and_close_when_it_ends() {
    let rig = Rig::new();
    rig.cell(0).set_traced(true);
    let mut history = History::default();
    let sample = history.push(rig.look(NOW_MS));
    let mut model = Model::new(Order::Age, "");
    model.follow(&sample);
    type_keys("\n", &mut model, &sample);
    let shown = screen(100, 30, &sample, &model);
    for fact in [
        "user       ann",
        "protocol   imap",
        "peer       192.0.2.7:4242",
        "connected  5m00s",
        "traced     yes",
    ] {
        assert!(shown.contains(fact), "{fact} is not in {shown}");
    }
    rig.table.free(0, rig.ids[0].cell, rig.ids[0].generation);
    let sample = history.push(rig.look(NOW_MS));
    model.follow(&sample);
    assert_eq!(model.over, Over::Nothing);
    assert!(screen(100, 30, &sample, &model).contains("the session is gone"));
}

#[test]
fn every_size_of_screen_is_drawn() {
    let mut rig = Rig::new();
    (0..100).for_each(|number| rig.add(1, Protocol::Lmtp, &format!("user{number}"), NOW_MS));
    let sample = History::default().push(rig.look(NOW_MS));
    let mut model = Model::new(Order::Age, "");
    model.follow(&sample);
    for over in [
        Over::Nothing,
        Over::Details,
        Over::Help,
        Over::Filter { before: String::new() },
        Over::MigrateTo { session: rig.ids[0], typed: "1".to_owned() },
    ] {
        model.over = over;
        for width in [1, 2, 10, 11, 12, 20, 40, 80, 200] {
            for height in [1, 2, 3, 5, 8, 10, 24, 60] {
                screen(width, height, &sample, &model);
            }
        }
    }
    model.over = Over::Nothing;
    let wide = screen(160, 40, &sample, &model);
    assert!(
        wide.contains("HEARTBEAT") && wide.contains("PEER") && wide.contains("sessions 103 of 600"),
        "{wide}"
    );
    let narrow = screen(30, 5, &sample, &model);
    assert!(narrow.contains("SESSION") && narrow.contains("ann") && !narrow.contains("PEER"), "{narrow}");
    // The selected session is on the screen wherever it stands.
    press(KeyEvent::new(KeyCode::End, KeyModifiers::NONE), &mut model, &sample);
    assert!(screen(80, 24, &sample, &model).contains("user99"));
}
