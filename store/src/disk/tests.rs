//! The real disk, through its seam.

use super::*;

#[test]
fn a_file_is_made_read_and_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::real();
    let path = folder.path().join("a");
    assert!(disk.open(&path).is_err() && disk.open_writable(&path).is_err() && !disk.exists(&path));
    let file = disk.create_new(&path).expect("made");
    assert!(disk.create_new(&path).is_err(), "it is there");
    file.write_parts_at(&[b"one", b"", b"two"], 2).expect("written");
    assert_eq!(disk.read(&path).expect("read"), b"\0\0onetwo");
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 3).expect("read");
    assert_eq!(&bytes, b"netw");
    let error = file.read_exact_at(&mut bytes, 5).expect_err("the file ends");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    file.allocate(0, 5000, true).expect("space");
    assert_eq!(file.len().expect("known"), 8);
    file.allocate(0, 5000, false).expect("space");
    assert_eq!(file.len().expect("known"), 5000);
    file.punch(2, 3).expect("a hole");
    disk.replace_file(&path, b"new").expect("replaced");
    assert_eq!(disk.read(&path).expect("read"), b"new");
    file.read_exact_at(&mut bytes, 4).expect("the old file is still open");
    assert_eq!(&bytes, b"\0two");
    assert_eq!(disk.create_or_empty(&path).expect("emptied").len().expect("known"), 0);
}

#[test]
fn folders_are_made_and_listed_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::real();
    disk.make_folder(&folder.path().join("b/c")).expect("made");
    disk.create_dir_all(&folder.path().join("b/d")).expect("made");
    disk.create_dir_all(&folder.path().join("b/d")).expect("there");
    disk.create_new(&folder.path().join("b/a")).expect("made");
    let entry = |name: &str, is_dir| DirEntry { name: name.to_string(), is_dir };
    let names = disk.read_dir(&folder.path().join("b")).expect("read");
    assert_eq!(names, [entry("a", false), entry("c", true), entry("d", true)]);
    disk.remove_dir_all(&folder.path().join("b")).expect("removed");
    assert!(!disk.exists(&folder.path().join("b")));
    assert!(disk.make_folder(&folder.path().join("x/y")).is_ok());
    assert!(disk.create_new(&folder.path().join("x/y/z")).is_ok());
    assert!(disk.create_dir_all(&folder.path().join("x/y/z/w")).is_err(), "a file is in the way");
}
