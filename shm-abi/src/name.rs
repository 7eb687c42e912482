//! The table's name, and the file in the runtime folder that says it.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The name of the table of the router whose runtime folder is `runtime_dir`: the same for every spelling of the
/// folder's path, different for different folders.
pub fn table_name(runtime_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = fs::canonicalize(runtime_dir).unwrap_or_else(|_| runtime_dir.to_path_buf());
    let hash = path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("/lode-{hash:016x}")
}

/// Where handlers whose router is gone find the next one: a SOCK_SEQPACKET socket.
pub fn rejoin_path(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("rejoin")
}

fn name_file(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("table")
}

/// Writes the table's name into the file `table` of the runtime folder, whole or not at all.
pub fn write_table_name(runtime_dir: &Path, name: &str) -> io::Result<()> {
    let new = runtime_dir.join("table.new");
    fs::write(&new, format!("{name}\n"))?;
    fs::rename(new, name_file(runtime_dir))
}

/// Reads the table's name from the runtime folder.
pub fn read_table_name(runtime_dir: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(name_file(runtime_dir))?.trim_end().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_folder() {
        let here = table_name(Path::new("."));
        assert_eq!(here, table_name(Path::new("./.")));
        assert_ne!(here, table_name(Path::new("/")));
        assert!(here.starts_with("/lode-") && here.len() == 22);
    }
}
