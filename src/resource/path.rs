//! Paths of fields: `spec.services[1].images.app`.

use std::fmt;

/// One step down into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A member of a mapping.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// Where in an object a field is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The member `name` below this path.
    #[must_use]
    pub fn key(&self, name: impl Into<String>) -> Self {
        self.with(Step::Key(name.into()))
    }

    /// Element `index` below this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path one step up; none at the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, up) = self.0.split_last()?;
        Some(Self(up.to_vec()))
    }

    /// Whether `other` is this path or below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl FromIterator<Step> for FieldPath {
    fn from_iter<T: IntoIterator<Item = Step>>(steps: T) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(name) if !is_plain(name) => write!(f, "[{name:?}]")?,
                Step::Key(name) if place == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

/// Whether a member's name can stand in a path without quotes.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let path = FieldPath::root()
            .key("spec")
            .key("services")
            .index(1)
            .key("images")
            .key("app");
        assert_eq!(path.to_string(), "spec.services[1].images.app");
        let label = FieldPath::root()
            .key("metadata")
            .key("labels")
            .key("acme.com/team");
        assert_eq!(label.to_string(), "metadata.labels[\"acme.com/team\"]");
    }

    #[test]
    fn a_path_contains_what_is_below_it_only() {
        let images = FieldPath::root().key("spec").key("images");
        assert!(images.contains(&images.key("app")));
        assert!(images.contains(&images));
        assert!(!images.key("app").contains(&images));
        assert!(!images.contains(&FieldPath::root().key("spec").key("imagesX")));
    }
}
