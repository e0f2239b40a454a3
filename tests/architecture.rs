//! The order of the folders, and what must not be in them. ARCHITECTURE.md says why.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each folder imports only from itself and those before it.
const ORDER: [&str; 11] = [
    "resource",
    "model",
    "plan",
    "aws",
    "store",
    "reconcile",
    "controller",
    "report",
    "http",
    "sandbox",
    "cli",
];

/// The largest a source file may be, its tests apart.
const LINES: usize = 600;

struct Source {
    path: PathBuf,
    folder: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let inner = path.strip_prefix(&root).expect("below src").to_owned();
            let first = inner.components().next().expect("a component");
            let folder = first.as_os_str().to_string_lossy().into_owned();
            if inner.components().count() > 1 && path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push(Source {
                    path: inner,
                    folder,
                    text,
                });
            }
        }
    }
    assert!(
        found.len() > 50,
        "only {} source files were found",
        found.len()
    );
    found
}

/// A file of tests, or one that only tests use.
fn is_test(path: &Path) -> bool {
    let names: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    names
        .iter()
        .any(|name| matches!(&**name, "tests" | "tests.rs" | "canned.rs" | "local.rs"))
}

/// Lines of code before the file's own tests, comments left out.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    lines
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn rank(folder: &str) -> usize {
    let found = ORDER.iter().position(|known| *known == folder);
    found.unwrap_or_else(|| panic!("src/{folder} has no place in the order of the folders"))
}

#[test]
fn folders_import_only_from_those_before_them() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let own = rank(&source.folder);
        for (number, line) in code(source) {
            for (_, rest) in line
                .match_indices("crate::")
                .map(|(at, _)| line.split_at(at + 7))
            {
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                if ORDER.contains(&name.as_str()) && rank(&name) > own {
                    wrong.push(format!(
                        "{}:{}: imports {name}",
                        source.path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What only certain folders may name.
const ONLY_IN: [(&str, &[&str], &str); 4] = [
    ("aws_sdk_", &["aws"], "AWS is behind one seam: the wire"),
    (
        "Timestamp::now(",
        &["cli", "http"],
        "the clock is passed in",
    ),
    (
        "SystemTime::now(",
        &["cli", "http"],
        "the clock is passed in",
    ),
    ("std::env::", &["cli"], "settings are read once"),
];

#[test]
fn what_has_one_place_is_named_nowhere_else() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        for (number, line) in code(source) {
            for (what, folders, why) in ONLY_IN {
                if line.contains(what) && !folders.contains(&source.folder.as_str()) {
                    let place = format!("{}:{}", source.path.display(), number + 1);
                    wrong.push(format!("{place}: {what} ({why})"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_planner_waits_for_nothing() {
    for source in sources()
        .iter()
        .filter(|source| matches!(&*source.folder, "plan" | "model"))
    {
        for (number, line) in code(source) {
            for word in ["async ", ".await", "tokio::"] {
                let place = format!("{}:{}", source.path.display(), number + 1);
                assert!(!line.contains(word), "{place}: {word}: the plan is pure");
            }
        }
    }
}

#[test]
fn files_stay_readable() {
    for source in sources().iter().filter(|source| !is_test(&source.path)) {
        let lines = source
            .text
            .lines()
            .take_while(|line| !line.starts_with("mod tests {"))
            .count();
        assert!(
            lines <= LINES,
            "{} has {lines} lines: split it",
            source.path.display()
        );
    }
}
