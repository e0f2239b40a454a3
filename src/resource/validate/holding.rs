//! What holds a release back: `suspendUntil`, `windows`, `requires`.

use super::{names, required, timeout};
use crate::resource::meta::Release;
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::{AtLeast, Requirement, Window, Windows};
use crate::resource::windows as written;

pub(super) fn holding(release: &Release, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let spec = &release.spec;
    if spec.suspend_until.is_some() && spec.suspend != Some(true) {
        let error = FieldError::new(
            path.key("suspendUntil"),
            "is for a release that is suspended, and this one is not",
        );
        errors.push(error.help("write `suspend: true` as well, or leave it out"));
    }
    windows(spec.windows.as_ref(), &path.key("windows"), errors);
    let list = path.key("requires");
    for (index, requirement) in spec.requires.iter().enumerate() {
        let earlier = &spec.requires[..index];
        one_requirement(release, requirement, earlier, &list.index(index), errors);
    }
}

pub(super) fn windows(windows: Option<&Windows>, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(windows) = windows else { return };
    for (list, name) in [(&windows.allow, "allow"), (&windows.deny, "deny")] {
        for (index, window) in list.iter().enumerate() {
            one_window(window, &path.key(name).index(index), errors);
        }
    }
}

fn one_window(window: &Window, path: &FieldPath, errors: &mut Vec<FieldError>) {
    if let Err(message) = written::openings(&window.cron) {
        let error = FieldError::new(path.key("cron"), message);
        errors.push(error.help("write for example `0 9 * * MON-FRI`"));
    }
    timeout(Some(&window.duration), path.key("duration"), errors);
    if let Err(message) = written::zone(window.time_zone.as_deref()) {
        let error = FieldError::new(path.key("timeZone"), message);
        errors.push(
            error.help("write an IANA name such as `Europe/Berlin`, or leave it out for UTC"),
        );
    }
}

fn one_requirement(
    release: &Release,
    requirement: &Requirement,
    earlier: &[Requirement],
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let here = path.key("release");
    let before = errors.len();
    for part in requirement.release.splitn(2, '/') {
        names::dns_label(part, here.clone(), errors);
    }
    if requirement.at_least == Some(AtLeast::Generation(0)) {
        let error = FieldError::new(path.key("atLeast"), "generations begin with 1");
        errors.push(error.help("write a generation, or `Ready`"));
    }
    if errors.len() > before {
        return;
    }
    let key = required(requirement, release);
    if key == release.release_key() {
        let error = FieldError::new(here, "a release cannot wait for itself");
        errors.push(error.help("name another one, or take it out"));
    } else if earlier.iter().any(|other| required(other, release) == key) {
        let error = FieldError::new(here, format!("`{key}` is given twice"));
        errors.push(error.help("take one out"));
    }
}
