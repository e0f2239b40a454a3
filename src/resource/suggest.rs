//! The name that was probably meant.

/// The nearest of `known` to what was written, when it is near enough to be worth saying.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| {
            *distance <= (name.chars().count().min(lower.chars().count()) / 3).max(1)
        })
        .map(|(_, name)| name)
}

/// `did you mean x?`, or the names there are when none is near.
pub fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(name) = nearest(written, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let mut names: Vec<String> = Vec::new();
    for name in known.into_iter().map(|name| format!("`{name}`")) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [] => None,
        [only] => Some(format!("known here: {only}")),
        _ if names.len() <= 12 => Some(format!("known here: {}", names.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(
            nearest("servces", ["services", "schedules"]),
            Some("services")
        );
        assert_eq!(nearest("Tag", ["tag", "digest"]), Some("tag"));
        assert_eq!(nearest("colour", ["tag", "digest"]), None);
        assert_eq!(nearest("x", ["y"]), Some("y"));
    }
}
