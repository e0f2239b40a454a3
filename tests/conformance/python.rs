//! The tests' own virtual environment, and the scripts that run in it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The folder of the Python scripts.
pub const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/python");

const REQUIREMENTS: &str = include_str!("python/requirements.txt");
const CONSTRAINTS: &str = include_str!("python/constraints.txt");

/// A folder below `target/` that outlives the tests.
pub fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A program of the virtual environment, which is made first if it is not there.
pub fn program(name: &str) -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(virtual_environment).join("bin").join(name)
}

/// Runs one of our scripts with the input given and answers what it printed; panics with what it
/// said when it fails.
pub fn script(name: &str, environment: &[(String, String)], args: &[&str], input: &str) -> String {
    let mut command = Command::new(program("python"));
    command
        .arg("-B")
        .arg(Path::new(SCRIPTS).join(name))
        .args(args);
    output_of(command, environment, input)
}

/// Runs a command of the virtual environment and answers what it printed; panics with what it
/// said when it fails.
pub fn output_of(mut command: Command, environment: &[(String, String)], input: &str) -> String {
    let mut child = command
        // The developer's own AWS settings must not win over the server's.
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    // A script that reads no input may have closed its end already.
    let _ = child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("a started program ends");
    checked(&format!("{command:?}"), output)
}

fn checked(what: &str, output: Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Makes the virtual environment, or takes the one that is there when it holds the very same
/// packages. The lock keeps two test processes from making it at the same time.
fn virtual_environment() -> PathBuf {
    let folder = scratch().join("conformance-venv");
    fs::create_dir_all(scratch()).expect("the scratch folder can be made");
    let lock = File::create(scratch().join("conformance-venv.lock"))
        .expect("the lock file can be written");
    lock.lock()
        .expect("the lock is given once another test process is done");

    let (python, version) = python();
    let wanted = format!("{version}\n{REQUIREMENTS}\n{CONSTRAINTS}");
    let made_of = folder.join("made-of.txt");
    if fs::read_to_string(&made_of).is_ok_and(|there| there == wanted) {
        return folder;
    }

    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an older virtual environment can be removed");
    }
    step(
        Command::new(python).args(["-m", "venv"]).arg(&folder),
        "Python can make no virtual environment. On Debian and Ubuntu: apt-get install python3-venv",
    );
    step(
        Command::new(folder.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--requirement",
                "requirements.txt",
                "--constraint",
                "constraints.txt",
            ])
            .current_dir(SCRIPTS),
        "pip could not install the servers to test against. It needs to reach PyPI, or the index \
         that PIP_INDEX_URL names",
    );
    fs::write(&made_of, wanted).expect("the virtual environment can be written to");
    folder
}

/// The machine's Python and its version.
fn python() -> (&'static str, String) {
    let ask = "import sys; print(sys.version); sys.exit(sys.version_info < (3, 10))";
    let mut found = Vec::new();
    for name in ["python3", "python"] {
        let Ok(output) = Command::new(name).args(["-c", ask]).output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            return (name, version);
        }
        found.push(format!("{name} is {version}"));
    }
    panic!(
        "the conformance tests need Python 3.10 or later, to install and run the servers that \
         evenkeel is tested against. On Debian and Ubuntu: apt-get install python3 python3-venv. \
         {}",
        found.join("; ")
    );
}

fn step(command: &mut Command, when_it_fails: &str) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("{when_it_fails}. ({command:?} cannot be started: {error})")
        });
    assert!(
        output.status.success(),
        "{when_it_fails}. ({command:?} ended with {}:\n{}{})",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
