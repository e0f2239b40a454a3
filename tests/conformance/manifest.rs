//! The examples' manifests, as they are or changed for a case.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::python;
use crate::servers::example;

/// A manifest as data, to be changed and written.
pub fn read(example_name: &str, file: &str) -> Value {
    let path = example(example_name).join(file);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    serde_saphyr::from_str(&text)
        .unwrap_or_else(|error| panic!("{} cannot be parsed: {error}", path.display()))
}

/// Writes a manifest (as JSON, which is YAML too) to a new file.
pub fn write(name: &str, manifest: &Value) -> PathBuf {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let folder = python::scratch().join("conformance-manifests");
    fs::create_dir_all(&folder).expect("the folder of manifests can be made");
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{name}-{}-{number}.yaml", std::process::id()));
    let text = serde_json::to_string_pretty(manifest).expect("a Value is always JSON");
    fs::write(&path, text).expect("the manifest can be written");
    path
}

/// Lets an Environment allow more than it does.
pub fn allow(environment: &mut Value, more: &Value) {
    let allowed = environment["spec"]["allow"]
        .as_object_mut()
        .expect("it allows something");
    let more = more.as_object().cloned().unwrap_or_default();
    allowed.extend(more);
}

/// The example's manifest file as it is.
pub fn file(example_name: &str, file: &str) -> PathBuf {
    Path::new(&example(example_name)).join(file)
}
