//! Names as people type them: `rails`, `production/rails`, `rails/db-migrate`.

use super::error::CliError;

/// A release as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseName {
    /// The namespace, if it was said.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl ReleaseName {
    /// Reads `NAME` or `NAMESPACE/NAME`; `namespace` is what `-n` says.
    ///
    /// # Errors
    /// When it is neither, or both name a namespace and do not agree.
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, CliError> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [name] if !name.is_empty() => Ok(Self {
                namespace: namespace.map(str::to_owned),
                name: (*name).to_owned(),
            }),
            [said, name] if !said.is_empty() && !name.is_empty() => {
                agree(said, namespace)?;
                Ok(Self {
                    namespace: Some((*said).to_owned()),
                    name: (*name).to_owned(),
                })
            }
            _ => Err(
                CliError::new(format!("`{text}` is not the name of a release"))
                    .help("write NAME, or NAMESPACE/NAME"),
            ),
        }
    }
}

impl std::fmt::Display for ReleaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

fn agree(said: &str, namespace: Option<&str>) -> Result<(), CliError> {
    match namespace {
        Some(namespace) if namespace != said => Err(CliError::new(format!(
            "the namespace is `{said}` in the name and `{namespace}` in --namespace"
        ))
        .help("say it once")),
        _ => Ok(()),
    }
}

/// Reads `NAME/MIGRATION` or `NAMESPACE/NAME/MIGRATION`.
///
/// # Errors
/// When it is neither.
pub fn migration(text: &str, namespace: Option<&str>) -> Result<(ReleaseName, String), CliError> {
    part(text, namespace).ok_or_else(|| {
        CliError::new(format!("`{text}` does not name a migration of a release"))
            .help("write NAME/MIGRATION, for example rails/db-migrate")
    })?
}

/// Reads `NAME/SERVICE` or `NAMESPACE/NAME/SERVICE`.
///
/// # Errors
/// When it is neither.
pub fn service(text: &str, namespace: Option<&str>) -> Result<(ReleaseName, String), CliError> {
    part(text, namespace).ok_or_else(|| {
        CliError::new(format!("`{text}` does not name a service of a release"))
            .help("write NAME/SERVICE, for example rails/app")
    })?
}

/// A release and the name behind the last slash; none where there is none.
fn part(text: &str, namespace: Option<&str>) -> Option<Result<(ReleaseName, String), CliError>> {
    let (release, part) = text.rsplit_once('/').filter(|(_, part)| !part.is_empty())?;
    let release = ReleaseName::parse(release, namespace);
    Some(release.map(|release| (release, part.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_namespace() {
        let parsed = ReleaseName::parse("rails", Some("production")).unwrap();
        assert_eq!(parsed.to_string(), "production/rails");
        assert_eq!(
            ReleaseName::parse("production/rails", None).unwrap(),
            parsed
        );
        assert_eq!(ReleaseName::parse("rails", None).unwrap().namespace, None);
        for wrong in ["", "/rails", "a/", "a/b/c"] {
            assert!(ReleaseName::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(ReleaseName::parse("staging/rails", Some("production")).is_err());
    }

    #[test]
    fn a_migration_is_the_last_part() {
        let (release, name) = migration("production/rails/db", None).unwrap();
        assert_eq!(
            (release.to_string().as_str(), name.as_str()),
            ("production/rails", "db")
        );
        let (release, name) = migration("rails/db", Some("production")).unwrap();
        assert_eq!(
            (release.to_string().as_str(), name.as_str()),
            ("production/rails", "db")
        );
        assert!(migration("db", None).is_err());
        assert!(migration("rails/", None).is_err());
    }
}
