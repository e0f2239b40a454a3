//! The files that a command is given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// How the standard input is called in messages.
const STDIN: &str = "<stdin>";

/// A text and where it is from.
#[derive(Debug)]
pub struct Source {
    /// The file as it was named, or `<stdin>`.
    pub file: String,
    /// What is in it.
    pub text: String,
    /// Whether it was found in a folder, and not named itself.
    pub was_found: bool,
}

/// The texts that a path names. A file that was read already is not read again.
pub fn read(path: &Path, seen: &mut BTreeSet<PathBuf>, problems: &mut Vec<Problem>) -> Vec<Source> {
    if path.as_os_str() == "-" {
        return match std::io::read_to_string(std::io::stdin()) {
            Ok(text) => vec![Source {
                file: STDIN.to_owned(),
                text,
                was_found: false,
            }],
            Err(error) => {
                problems.push(Problem::of_file(STDIN, format!("cannot be read: {error}")));
                Vec::new()
            }
        };
    }
    let mut files = Vec::new();
    let was_found = path.is_dir();
    if was_found {
        let mut visited = BTreeSet::new();
        files_below(path, &mut files, &mut visited, problems);
        if files.is_empty() {
            let mut problem = Problem::of_file(shown(path), "holds no manifest");
            problem.help = Some("manifests end in .yaml, .yml or .json".to_owned());
            problems.push(problem);
        }
    } else {
        files.push(path.to_path_buf());
    }
    let mut texts = Vec::new();
    for file in files {
        let identity = file.canonicalize().unwrap_or_else(|_| file.clone());
        if !seen.insert(identity) {
            continue;
        }
        match read_file(&file) {
            Ok(text) => texts.push(Source {
                file: shown(&file),
                text,
                was_found,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    texts
}

fn read_file(file: &Path) -> Result<String, Problem> {
    match std::fs::read(file) {
        Ok(bytes) => {
            String::from_utf8(bytes).map_err(|_| Problem::of_file(shown(file), "is not UTF-8 text"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Problem::of_file(
            shown(file),
            "there is no such file or directory",
        )),
        Err(error) => Err(Problem::of_file(
            shown(file),
            format!("cannot be read: {error}"),
        )),
    }
}

fn files_below(
    directory: &Path,
    files: &mut Vec<PathBuf>,
    visited: &mut BTreeSet<PathBuf>,
    problems: &mut Vec<Problem>,
) {
    // A link back up must not lead around for ever.
    let identity = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_path_buf());
    if !visited.insert(identity) {
        return;
    }
    let mut entries: Vec<PathBuf> = match std::fs::read_dir(directory) {
        Ok(entries) => entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect(),
        Err(error) => {
            problems.push(Problem::of_file(
                shown(directory),
                format!("cannot be read: {error}"),
            ));
            return;
        }
    };
    entries.sort();
    for entry in entries {
        let hidden = entry
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if entry.is_dir() {
            files_below(&entry, files, visited, problems);
        } else if is_manifest(&entry) {
            files.push(entry);
        }
    }
}

fn is_manifest(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
