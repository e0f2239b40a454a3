//! Regular expressions of manifests: they match a whole name, or not at all.

use std::collections::BTreeSet;

use regex_lite::Regex;

use super::environment::ImageRule;

/// Compiles an expression that has to match the whole text.
///
/// # Errors
/// When it is no regular expression.
pub fn whole(pattern: &str) -> Result<Regex, regex_lite::Error> {
    // Compiled alone first, so that `a)(b` is not made into something that compiles.
    Regex::new(pattern)?;
    Regex::new(&format!("^(?:{pattern})$"))
}

/// Names and numbers of an expression's groups, but for the whole match; none where it is no
/// expression.
pub fn groups(pattern: &str) -> Option<BTreeSet<String>> {
    let pattern = Regex::new(pattern).ok()?;
    let numbers = (1..pattern.captures_len()).map(|number| number.to_string());
    let names = pattern.capture_names().flatten().map(str::to_owned);
    Some(numbers.chain(names).collect())
}

/// The groups that a template speaks of, as [`ImageRule::applied`] reads it: `$name`, `${name}`,
/// and `$$` for a dollar.
pub fn used_groups(template: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|it| it.split_once('}'));
        let (name, left) = braced.unwrap_or_else(|| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            after.split_at(end)
        });
        used.insert(name.to_owned());
        rest = left;
    }
    used
}

impl ImageRule {
    /// The names of the Release and the image that a repository is for, if the rule is about it.
    pub fn applied(&self, repository: &str) -> Option<(String, String)> {
        let pattern = whole(&self.repository).ok()?;
        let found = pattern.captures(repository)?;
        let filled = |template: &str| {
            let mut name = String::new();
            found.expand(template, &mut name);
            name
        };
        Some((filled(&self.release), filled(&self.image)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_a_release_and_an_image_by_its_groups() {
        let rule = ImageRule {
            repository: "backend/(?<service>[a-z]+)".to_owned(),
            release: "$service".to_owned(),
            image: "${service}-image".to_owned(),
        };
        let named = Some(("api".to_owned(), "api-image".to_owned()));
        assert_eq!(rule.applied("backend/api"), named);
        assert_eq!(rule.applied("old/backend/api"), None);
        assert_eq!(rule.applied("backend/api2"), None);
    }

    #[test]
    fn the_groups_of_a_template_are_those_that_are_put_in() {
        let used = |template: &str| used_groups(template).into_iter().collect::<Vec<_>>();
        assert_eq!(used("$service-image"), ["service"]);
        assert_eq!(used("${service}_image"), ["service"]);
        assert_eq!(used("$service_image"), ["service_image"]);
        assert_eq!(used("$$service"), [""; 0]);
        assert_eq!(used("a-$1-$2"), ["1", "2"]);
        let groups = groups("(?<team>[a-z]+)/([a-z]+)").unwrap();
        assert_eq!(groups.into_iter().collect::<Vec<_>>(), ["1", "2", "team"]);
    }

    #[test]
    fn an_expression_matches_a_whole_name() {
        assert!(whole("v1|v2").unwrap().is_match("v2"));
        assert!(!whole("v1|v2").unwrap().is_match("v2.1"));
        assert!(whole("a)(b").is_err());
    }
}
