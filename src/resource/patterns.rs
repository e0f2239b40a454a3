//! Regular expressions of manifests: they match a whole name, or not at all.

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
    fn an_expression_matches_a_whole_name() {
        assert!(whole("v1|v2").unwrap().is_match("v2"));
        assert!(!whole("v1|v2").unwrap().is_match("v2.1"));
        assert!(whole("a)(b").is_err());
    }
}
