//! `cargo xtask deb`: a Debian package of what was built, with dpkg-deb.
//!
//! `cargo deb` makes such packages, too; what it would have us do is restart the daemon at an upgrade, and it is itself long in the building. Lode's
//! maintainer scripts (`deploy/debian/`) have the running daemon go on with the new programs, so they are written by hand, and the rest is a list of
//! files.

use crate::{command, test, workspace};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where each file of the workspace goes in the package.
const FILES: [(&str, &str); 15] = [
    ("deploy/systemd/lode.service", "lib/systemd/system/lode.service"),
    ("deploy/systemd/lode-imap.socket", "lib/systemd/system/lode-imap.socket"),
    ("deploy/systemd/lode-imaps.socket", "lib/systemd/system/lode-imaps.socket"),
    ("deploy/systemd/lode-pop3s.socket", "lib/systemd/system/lode-pop3s.socket"),
    ("deploy/systemd/lode-pop3.socket", "lib/systemd/system/lode-pop3.socket"),
    ("deploy/systemd/lode-lmtp.socket", "lib/systemd/system/lode-lmtp.socket"),
    ("deploy/systemd/sysusers.conf", "usr/lib/sysusers.d/lode.conf"),
    ("deploy/systemd/tmpfiles.conf", "usr/lib/tmpfiles.d/lode.conf"),
    ("README.md", "usr/share/doc/lode/README.md"),
    ("ARCHITECTURE.md", "usr/share/doc/lode/ARCHITECTURE.md"),
    ("deploy/README.md", "usr/share/doc/lode/INSTALL.md"),
    ("deploy/RUNBOOK.md", "usr/share/doc/lode/RUNBOOK.md"),
    ("deploy/postfix-main.cf", "usr/share/doc/lode/examples/postfix-main.cf"),
    ("deploy/exim-lode.conf", "usr/share/doc/lode/examples/exim-lode.conf"),
    ("deploy/grafana-dashboard.json", "usr/share/doc/lode/examples/grafana-dashboard.json"),
];

/// The scripts that dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Where completions go, by shell.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/lode"),
    ("zsh", "usr/share/zsh/vendor-completions/_lode"),
    ("fish", "usr/share/fish/vendor_completions.d/lode.fish"),
];

/// What was asked for.
struct Arguments {
    /// Programs that are built already.
    programs: Option<PathBuf>,
    /// Where the package goes.
    out: PathBuf,
    version: String,
    /// For a try: larger, and quick to make.
    is_fast: bool,
}

/// Builds the programs unless `--programs DIR` names them, and puts the package into `--out DIR`, or the target folder.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Arguments { programs, out, version, is_fast } = parse(arguments)?;
    let programs = match programs {
        Some(folder) => folder,
        None => {
            test::build_programs()?;
            test::programs()
        }
    };
    let root = out.join("lode-package");
    let fault = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    if root.exists() {
        fs::remove_dir_all(&root).map_err(fault(&root))?;
    }
    fs::create_dir_all(&root).map_err(fault(&root))?;
    let lode = programs.join("lode");
    install(&lode, &root.join("usr/bin/lode"), 0o755)?;
    for daemon in ["router", "handler", "tls"] {
        install(&programs.join(daemon), &root.join("usr/libexec/lode").join(daemon), 0o755)?;
    }
    // Names of functions stay, for the reports of crashes; what line they are on is 60 MB.
    for program in
        ["usr/bin/lode", "usr/libexec/lode/router", "usr/libexec/lode/handler", "usr/libexec/lode/tls"]
    {
        output(Path::new("strip"), &["--strip-debug", &root.join(program).display().to_string()])?;
    }
    for (from, to) in FILES {
        install(&workspace::root().join(from), &root.join(to), 0o644)?;
    }
    for (shell, to) in COMPLETIONS {
        write(&root.join(to), &output(&lode, &["completions", shell])?, 0o644)?;
    }
    write(&root.join("etc/lode/lode.toml"), &output(&lode, &["config", "default"])?, 0o640)?;
    let pages = root.join("usr/share/man/man1");
    output(&lode, &["manual", &pages.display().to_string()])?;
    for page in fs::read_dir(&pages).map_err(fault(&pages))?.flatten() {
        output(Path::new("gzip"), &["-9n", &page.path().display().to_string()])?;
    }
    let architecture = text(&output(Path::new("dpkg"), &["--print-architecture"])?);
    let control = fs::read_to_string(workspace::root().join("deploy/debian/control.in"))
        .map_err(fault(Path::new("deploy/debian/control.in")))?
        .replace("@VERSION@", &version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@INSTALLED_KIB@", &(octets_below(&root) / 1024).to_string())
        .replace("@LIBC@", &libc_version()?);
    write(&root.join("DEBIAN/control"), control.as_bytes(), 0o644)?;
    write(&root.join("DEBIAN/conffiles"), b"/etc/lode/lode.toml\n", 0o644)?;
    for script in SCRIPTS {
        install(
            &workspace::root().join("deploy/debian").join(script),
            &root.join("DEBIAN").join(script),
            0o755,
        )?;
    }
    open_folders(&root)?;
    let package = out.join(format!("lode_{version}_{architecture}.deb"));
    let (from, to) = (root.display().to_string(), package.display().to_string());
    let compression = if is_fast { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] };
    let [kind, level] = compression;
    command::run("dpkg-deb", &["--root-owner-group", kind, level, "--build", &from, &to], &[])?;
    fs::remove_dir_all(&root).map_err(fault(&root))?;
    println!("{to}");
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        programs: None,
        out: workspace::target().join("debian"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        is_fast: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--programs" => parsed.programs = Some(value()?.into()),
            "--out" => parsed.out = value()?.into(),
            "--version" => parsed.version = value()?.clone(),
            _ => {
                return Err(format!(
                    "there is no argument {word}: --programs DIR --out DIR --version VERSION"
                ));
            }
        }
    }
    Ok(parsed)
}

/// The package is for systems whose C library is not older than the one it was linked with.
fn libc_version() -> Result<String, String> {
    let version = text(&output(Path::new("dpkg-query"), &["-W", "-f", "${Version}", "libc6"])?);
    Ok(version.split('-').next().unwrap_or_default().to_owned())
}

fn output(program: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let line = format!("{} {}", program.display(), arguments.join(" "));
    let done = Command::new(program).args(arguments).output().map_err(|error| format!("{line}: {error}"))?;
    if !done.status.success() {
        return Err(format!("`{line}` ended with {}: {}", done.status, text(&done.stderr)));
    }
    Ok(done.stdout)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).trim().to_owned()
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    let octets = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    write(to, &octets, mode)
}

fn write(to: &Path, octets: &[u8], mode: u32) -> Result<(), String> {
    let done = (|| {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        fs::write(to, octets)?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode))
    })();
    done.map_err(|error| format!("{}: {error}", to.display()))
}

/// Gives every folder the mode that packages have, whatever the umask here.
fn open_folders(folder: &Path) -> Result<(), String> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    Ok(())
}

fn octets_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => octets_below(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}
