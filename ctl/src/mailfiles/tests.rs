//! Tests of readers and writers together, on made files and on the corpus. The counts of the corpus were verified with Python's `mailbox`
//! module, the offsets files of MimeKit, and by eye where these disagree.

use std::fs;
use std::io::Write;

use super::folders::{Found, find};
use super::mbox::Mbox;
use super::recognise::{Format, recognise};
use super::write::{MailWriter, Outgoing};
use super::write_maildir::MaildirWriter;
use super::write_mbox::MboxWriter;
use super::write_mh::MhWriter;
use super::*;

/// The folder of the mail corpus, or `None` with a note when it is not there.
fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("LODE_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no mail corpus at {} (set LODE_CORPUS)", folder.display());
    None
}

fn octets(item: &MailItem) -> Vec<u8> {
    let mut octets = Vec::new();
    item.open().expect("opened").read_to_end(&mut octets).expect("read");
    octets
}

fn mbox(text: &[u8]) -> Vec<MailItem> {
    let mut file = tempfile::tempfile().expect("temporary file");
    file.write_all(text).expect("written");
    let mbox = Mbox::open(Arc::new(file), Path::new("test.mbox")).expect("read").expect("an mbox");
    mbox.map(|item| item.expect("read")).collect()
}

fn texts(items: &[MailItem]) -> Vec<String> {
    items.iter().map(|item| String::from_utf8_lossy(&octets(item)).into_owned()).collect()
}

fn look(path: &Path) -> (Format, Found) {
    let format = recognise(path).expect("recognised");
    (format, find(path, format).expect("found"))
}

/// Name and number of messages of each mailbox below `path`.
fn counts(path: &Path) -> Vec<(String, usize)> {
    let (_, found) = look(path);
    found
        .folders
        .iter()
        .map(|folder| {
            let items = folder.items().expect("opened");
            let mut sum = 0;
            let count = items.messages.map(|item| sum += item.expect("read").input_octets).count();
            assert!(sum <= items.octets, "{}", folder.path.display());
            (folder.names.join("/"), count)
        })
        .collect()
}

fn count(path: &Path) -> usize {
    counts(path).iter().map(|(_, count)| count).sum()
}

const FROM: &str = "From a@example.org Fri Feb 22 23:06:12 2008\n";

#[test]
fn mbox_with_and_without_blank_lines() {
    let text = format!(
        "{FROM}Subject: 1\n\nbody\n\n{FROM}Subject: 2\n\n{FROM}Subject: 3\n\nno end\n{FROM}Subject: 4\n\nopen"
    );
    assert_eq!(
        texts(&mbox(text.as_bytes())),
        [
            "Subject: 1\r\n\r\nbody\r\n",
            "Subject: 2\r\n\r\n",
            "Subject: 3\r\n\r\nno end\r\n",
            "Subject: 4\r\n\r\nopen"
        ]
    );
    let dos = text.replace('\n', "\r\n");
    assert_eq!(texts(&mbox(dos.as_bytes())), texts(&mbox(text.as_bytes())));
    assert_eq!(mbox(b"").len() + mbox(b"\n\n").len(), 0);
}

#[test]
fn mbox_quoting_and_traps() {
    let text = format!(
        "{FROM}Subject: 1\n\n>From x\n>>From y\n\nFrom Russia with love\n\nFrom a@example.org\nSubject: no\n\n\
         From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: a@example.org\n"
    );
    let items = mbox(text.as_bytes());
    assert_eq!(items.len(), 1);
    let text = &texts(&items)[0];
    assert!(
        text.starts_with("Subject: 1\r\n\r\nFrom x\r\n>From y\r\n\r\nFrom Russia with love\r\n"),
        "{text}"
    );
    // In a file of patches, their lines are what divides it.
    let patch = "From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001\nFrom: a@example.org\n\nx\n\n";
    assert_eq!(mbox(patch.repeat(3).as_bytes()).len(), 3);
}

#[test]
fn content_length_counts_only_where_it_is_right() {
    let body = "a\n\nFrom b@example.org Fri Feb 22 23:06:12 2008\nSubject: in the body\n\n>From c\n";
    for (length, behind, expected) in [
        (body.len(), "\n", 2),
        (body.len(), "", 2),
        (body.len() - 1, "\n", 2),
        (body.len() + 3, "\n", 3),
        (2, "\n", 3),
        (1_000_000, "\n", 3),
    ] {
        let text = format!("{FROM}Content-Length: {length}\n\n{body}{behind}{FROM}Subject: 2\n\nx\n");
        let items = mbox(text.as_bytes());
        assert_eq!(items.len(), expected, "length {length}");
        if expected == 2 {
            assert!(texts(&items)[0].ends_with("in the body\r\n\r\n>From c\r\n"));
        }
    }
    let text = format!("{FROM}Content-Length: {}\n\n{body}", body.len());
    assert_eq!(mbox(text.as_bytes()).len(), 1);
    assert_eq!(mbox(format!("{FROM}Content-Length: 18446744073709551615\n\nx\n").as_bytes()).len(), 1);
}

#[test]
fn mbox_flags_dates_and_places() {
    let text = format!(
        "{FROM}Status: RO\nX-Keywords: work\n\nx\n\nFrom b@c Fri Feb 22 23:06:12 2008 +0200\nStatus: O\n\ny\n"
    );
    let items = mbox(text.as_bytes());
    assert!(items[0].flags.has(SystemFlags::SEEN) && !items[1].flags.has(SystemFlags::SEEN));
    assert_eq!(items[0].flags.keywords, ["work"]);
    assert_eq!(items[1].date, Some(ZonedTime { seconds: 1_203_714_372, zone_minutes: 120 }));
    assert_eq!(items[0].place, "test.mbox, octet 0");
    assert_eq!(texts(&items)[0], "Status: RO\r\nX-Keywords: work\r\n\r\nx\r\n");
    assert_eq!(items.iter().map(|item| item.input_octets).sum::<u64>(), text.len() as u64);
    // Only the Date: field says when.
    let items = mbox(b"From -\nDate: Fri, 22 Feb 2008 23:06:12 +0000\n\nx\n");
    assert_eq!(items[0].date.map(|date| date.seconds), Some(1_203_721_572));
}

/// Messages with what makes writing and reading hard.
fn difficult() -> Vec<(Outgoing, Vec<u8>)> {
    let contents: [&[u8]; 7] = [
        b"Subject: plain\r\n\r\nbody\r\n",
        b"Subject: quoted\r\n\r\nFrom here\r\n>From there\r\n\r\nFrom a@example.org Fri Feb 22 23:06:12 2008\r\nX: y\r\n",
        b"Subject: open\r\n\r\nno end",
        b"Status: RO\r\nX-Lode-Export: 2\r\nContent-Length: 1\r\n\r\nx\r\n\r\n",
        b"Subject: odd octets\r\n\r\n\0\xff\r alone\r\r\nx\r\n\r\n\r\n",
        b"Subject: header only\r\n\r\n",
        b"",
    ];
    contents
        .into_iter()
        .enumerate()
        .map(|(number, content)| {
            let mut flags = MailFlags { system: SystemFlags((number * 5 % 32) as u8), keywords: Vec::new() };
            if number % 2 == 0 {
                flags.add_keyword("$Forwarded");
                flags.add_keyword("work");
            }
            let date =
                ZonedTime { seconds: 1_203_714_372 + number as i64, zone_minutes: number as i16 * 60 - 120 };
            let open_end = !content.ends_with(b"\n");
            (Outgoing { flags, date, uid: number as u32 + 1, open_end }, content.to_vec())
        })
        .collect()
}

fn round_trip(path: &Path, mut writer: Box<dyn MailWriter>, expected: Format, zones: bool) {
    let difficult = difficult();
    for (mail, content) in &difficult {
        writer.append(mail, &mut content.as_slice()).expect("appended");
    }
    assert_eq!(writer.finish().expect("finished"), Vec::<String>::new());
    let (format, found) = look(path);
    assert_eq!(format, expected);
    assert_eq!(found.folders.len(), 1);
    assert!(found.left_out.is_empty());
    let items: Vec<MailItem> =
        found.folders[0].items().expect("opened").messages.map(|item| item.expect("read")).collect();
    assert_eq!(items.len(), difficult.len());
    for (item, (mail, content)) in items.iter().zip(&difficult) {
        assert_eq!(octets(item).escape_ascii().to_string(), content.escape_ascii().to_string());
        assert_eq!(item.flags.system, mail.flags.system, "{}", item.place);
        let sorted = |flags: &MailFlags| {
            let mut keywords = flags.keywords.clone();
            keywords.sort();
            keywords
        };
        assert_eq!(sorted(&item.flags), sorted(&mail.flags), "{}", item.place);
        let date = item.date.expect("a date");
        assert_eq!(date.seconds, mail.date.seconds);
        assert_eq!(date.zone_minutes, if zones { mail.date.zone_minutes } else { 0 });
    }
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("out.mbox");
    round_trip(&path, Box::new(MboxWriter::create(&path).expect("made")), Format::Mbox, true);
    let path = folder.path().join("maildir");
    round_trip(&path, Box::new(MaildirWriter::create(&path).expect("made")), Format::Maildir, false);
    let path = folder.path().join("mh");
    round_trip(&path, Box::new(MhWriter::create(&path).expect("made")), Format::Mh, false);
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Text made of pieces that mean something to a reader of mbox files.
    fn text(&mut self, pieces: &[&str]) -> String {
        (0..self.below(30)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

#[test]
fn whatever_is_in_a_file_messages_lie_one_behind_another() {
    let pieces = [
        FROM,
        "From -\n",
        "From \n",
        "From now on\n",
        "\n",
        "\r\n",
        "Subject: x\n",
        "Content-Length: 20\n",
        "Content-Length: 3\n",
        "X-Lode-Export: 2; end=open\n",
        "X-Lode-Export: 0\n",
        "Status: RO\n",
        ">From x\n",
        ">>",
        "text\n",
        "open",
        "\r",
        " folded\n",
    ];
    for seed in 0..3_000 {
        let mut numbers = Numbers(seed);
        let mut text = numbers.text(&pieces);
        text.insert_str(0, ["From -\n", FROM, "From \n"][numbers.below(3)]);
        let items = mbox(text.as_bytes());
        assert_eq!(items.iter().map(|item| item.input_octets).sum::<u64>(), text.len() as u64, "{text:?}");
        for item in &items {
            let body = octets(item);
            assert!(body.len() <= 2 * item.input_octets as usize, "{text:?}");
            assert!(memchr::memchr_iter(b'\n', &body).all(|at| at > 0 && body[at - 1] == b'\r'), "{text:?}");
        }
    }
}

#[test]
fn whatever_a_message_says_an_mbox_gives_it_back() {
    let pieces = [
        "From a@example.org Fri Feb 22 23:06:12 2008\r\n",
        "From -\r\n",
        ">From x\r\n",
        ">>>From ",
        "\r\n",
        "Subject: x\r\n",
        "Content-Length: 20\r\n",
        "X-Lode-Export: 1\r\n",
        "Status: RO\r\n",
        "text\r\n",
        "open",
        "\r",
        "\r\r\n",
        " folded\r\n",
        "From",
    ];
    let folder = tempfile::tempdir().expect("temporary folder");
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        let contents: Vec<String> = (0..numbers.below(5)).map(|_| numbers.text(&pieces)).collect();
        let path = folder.path().join(format!("{seed}.mbox"));
        let mut writer = Box::new(MboxWriter::create(&path).expect("made"));
        for content in &contents {
            let (mut mail, _) = difficult().swap_remove(0);
            mail.open_end = !content.ends_with('\n');
            writer.append(&mail, &mut content.as_bytes()).expect("appended");
        }
        writer.finish().expect("finished");
        assert_eq!(texts(&mbox(&fs::read(&path).expect("read"))), contents, "seed {seed}");
    }
}

#[test]
fn compressed_files_are_read() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("old.mbox.gz");
    let file = fs::File::create(&path).expect("made");
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(format!("{FROM}Subject: 1\n\nx\n\n").repeat(3).as_bytes()).expect("written");
    packed.finish().expect("written");
    assert_eq!(recognise(&path).expect("recognised"), Format::Mbox);
    assert_eq!(counts(folder.path()), [("old".to_owned(), 3)]);
    // Cut off: an error, not fewer messages.
    let octets = fs::read(&path).expect("read");
    fs::write(&path, &octets[..octets.len() - 9]).expect("written");
    assert!(look(&path).1.folders[0].items().is_err());
}

#[test]
fn folders_within_folders() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root = folder.path();
    let message = "Subject: x\n\nx\n";
    for path in ["a/b", "box.sbd", "dir/cur", "dir/.Sub.Entw&APw-rfe/cur", "dir/.hidden", "mh/inner"] {
        fs::create_dir_all(root.join(path)).expect("made");
    }
    for path in [
        "1x.eml",
        "a/b/10.eml",
        "a/b/2.eml",
        "dir/cur/x:2,S",
        "dir/.Sub.Entw&APw-rfe/cur/y",
        "mh/3",
        "mh/inner/1",
    ] {
        fs::write(root.join(path), message).expect("written");
    }
    fs::write(root.join("notes.json"), "{}").expect("written");
    fs::write(root.join("box.sbd/Old"), format!("{FROM}{message}\n")).expect("written");
    let (format, found) = look(root);
    assert_eq!(format, Format::Folder);
    assert_eq!(found.left_out, [root.join("notes.json")]);
    let names = |pairs: &[(&str, usize)]| -> Vec<(String, usize)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(
        counts(root),
        names(&[
            ("", 1),
            ("a/b", 2),
            ("box/Old", 1),
            ("dir", 1),
            ("dir/Sub/Entwürfe", 1),
            ("mh", 1),
            ("mh/inner", 1),
        ])
    );
    let places: Vec<_> =
        found.folders[1].items().expect("opened").messages.map(|item| item.expect("read").place).collect();
    assert!(places[0].ends_with("2.eml") && places[1].ends_with("10.eml"), "{places:?}");
}

#[test]
fn corpus_counts() {
    let Some(corpus) = corpus() else { return };
    let messages = corpus.join("messages");
    for (path, expected) in [
        ("jstedfast-mimekit/mbox/content-length.mbox.txt", 29),
        ("jstedfast-mimekit/mbox/issue1189.mbox.txt", 4),
        ("jstedfast-mimekit/mbox/simple.mbox.txt", 3),
        ("jstedfast-mimekit/mbox/unmunged.mbox.txt", 2),
        ("jstedfast-gmime/mbox/input/substring.mbox", 3),
        ("apache-james-mime4j/test-1/mbox.rlug", 5),
        ("dovecot-imaptest/default.mbox", 6),
        ("dovecot-imaptest/search-date.mbox", 16),
        ("dovecot-imaptest/broken/search-intdate.mbox", 16),
        ("dovecot-imaptest/sort-subject.mbox", 15),
        ("djcb-mu/testdir", 19),
        ("djcb-mu/testdir2", 14),
        ("djcb-mu/testdir4", 14),
        ("djcb-mu/cjk", 4),
        ("thunderbird-android-demo/nested", 5),
    ] {
        assert_eq!(count(&messages.join(path)), expected, "{path}");
    }
    let lists = corpus.join("lists");
    for (path, expected) in [
        ("apache-ponymail-corpus/no_date.mbox", 1),
        ("apache-ponymail-corpus/empty_body.mbox", 1),
        ("apache-ponymail-corpus/httpd-users-200606-part.mbox", 12),
        ("apache-ponymail-corpus/maven_duplicates_2017_listsao_1.mbox", 10),
        ("apache-ponymail-corpus/maven-dev-2017-11-listsao.mbox.zst", 320),
        ("apache-ponymail-corpus/maven-dev-2017-11-mailarchivesao.mbox.zst", 317),
    ] {
        assert_eq!(count(&lists.join(path)), expected, "{path}");
    }
}

#[test]
fn corpus_lists_are_complete() {
    let Some(corpus) = corpus() else { return };
    assert_eq!(count(&corpus.join("lists")), 12_780);
}
