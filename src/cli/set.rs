//! `set image`: changes image tags only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::apply::{self, AppliedObject};
use super::connect::Connection;
use super::error::{CliError, Exit};
use super::settings::Settings;
use super::target::ReleaseName;
use crate::resource::image_ref;
use crate::resource::meta::{Release, ReleaseKey};
use crate::store::{EditOptions, NewTag};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel set image rails app=9d3c2f1
  evenkeel set image chuoi --from imagedefinitions.json")]
pub struct SetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Change the tags or digests of a release's images
    Image(ImageArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Changes the tags or digests of declared images and nothing else; applying an unchanged manifest
later does not undo it. The file is CodePipeline's: a list of {\"name\", \"imageUri\"}, where the
name is the image's name in the release, and the URI must be of the repository declared for it.

Examples:
  evenkeel set image rails app=9d3c2f1 nginx=9d3c2f1
  evenkeel set image rails app=9d3c2f1 --source $(git rev-parse HEAD)
  evenkeel set image rails app=sha256:$DIGEST
  evenkeel set image chuoi --from imagedefinitions.json")]
struct ImageArgs {
    /// NAME, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    name: String,
    /// Image name and its new tag or digest
    #[arg(
        value_name = "IMAGE=TAG",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    images: Vec<String>,
    /// CodePipeline's imagedefinitions.json
    #[arg(
        long,
        env = "EVENKEEL_SET_IMAGE_FROM",
        hide_env_values = true,
        value_name = "PATH"
    )]
    from: Option<PathBuf>,
    /// The source revision that the images are built from, to be shown in the history
    #[arg(long, env = "EVENKEEL_SET_IMAGE_SOURCE", hide_env_values = true, value_name = "REVISION",
          value_parser = NonEmptyStringValueParser::new())]
    source: Option<String>,
    /// Also to what was rejected or gone back from, which is tried again
    #[arg(long, env = "EVENKEEL_SET_IMAGE_FORCE", hide_env_values = true,
          value_parser = BoolishValueParser::new())]
    force: bool,
}

/// One entry of imagedefinitions.json.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageDefinition {
    name: String,
    image_uri: String,
}

pub async fn run(args: &SetArgs, settings: &Settings) -> Result<Exit, CliError> {
    let What::Image(args) = &args.what;
    let name = ReleaseName::parse(&args.name, settings.namespace.as_deref())?;
    let given = match &args.from {
        Some(path) => Given::Uris(read(path)?),
        None => Given::Tags(pairs(&args.images)?),
    };
    let connection = Connection::open(settings).await?;
    let release = connection.find(&name).await?;
    let tags = given.tags(&release)?;
    let options = EditOptions {
        applier: connection.applier().await?,
        source: args.source.clone(),
        force: args.force,
        now: connection.now(),
    };
    let key = release.release_key();
    let applied = set_images(&connection, &key, &tags, &options).await?;
    let value = serde_json::json!({ "items": [applied] });
    settings.out.print(&value, |paint| {
        apply::table(std::slice::from_ref(&applied), paint)
    })?;
    Ok(Exit::Done)
}

/// Writes new tags of declared images.
///
/// # Errors
/// When an image is not declared or the table refuses.
pub async fn set_images(
    connection: &Connection,
    key: &ReleaseKey,
    tags: &BTreeMap<String, NewTag>,
    options: &EditOptions,
) -> Result<AppliedObject, CliError> {
    let applied = connection.store.set_images(key, tags, options).await?;
    Ok(AppliedObject::release(key, applied))
}

/// A tag or a digest, as it is typed.
///
/// # Errors
/// When it is neither.
pub fn parse_tag(text: &str) -> Result<NewTag, CliError> {
    if image_ref::is_digest(text) {
        Ok(NewTag::Digest(text.to_owned()))
    } else if image_ref::is_tag(text) {
        Ok(NewTag::Tag(text.to_owned()))
    } else {
        Err(
            CliError::new(format!("`{text}` is neither a tag nor a digest")).help(
                "a tag has letters, digits, `_`, `.` and `-`; a digest is sha256: and 64 digits",
            ),
        )
    }
}

/// What was asked for, before the release is known.
enum Given {
    Tags(BTreeMap<String, NewTag>),
    Uris(Vec<ImageDefinition>),
}

impl Given {
    fn tags(self, release: &Release) -> Result<BTreeMap<String, NewTag>, CliError> {
        match self {
            Given::Tags(tags) => {
                for name in tags.keys() {
                    declared(release, name)?;
                }
                Ok(tags)
            }
            Given::Uris(definitions) => definitions
                .into_iter()
                .map(|definition| {
                    let repository = declared(release, &definition.name)?;
                    let tag = tag_of(&definition, repository)?;
                    Ok((definition.name, tag))
                })
                .collect(),
        }
    }
}

/// The repository of a declared image.
fn declared<'a>(release: &'a Release, name: &str) -> Result<&'a str, CliError> {
    let images = &release.spec.images;
    images
        .get(name)
        .map(|image| image.repository.as_str())
        .ok_or_else(|| {
            let known: Vec<&str> = images.keys().map(String::as_str).collect();
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            CliError::new(format!(
                "release {} declares no image `{name}`",
                release.release_key()
            ))
            .help(format!("its images are: {known}"))
        })
}

fn tag_of(definition: &ImageDefinition, repository: &str) -> Result<NewTag, CliError> {
    let ImageDefinition { name, image_uri } = definition;
    let rest = image_uri.strip_prefix(repository).unwrap_or_default();
    let tag = rest.strip_prefix('@').or_else(|| rest.strip_prefix(':'));
    match tag {
        // What follows `@` must be a digest, what follows `:` a tag.
        Some(tag) if rest.starts_with('@') == image_ref::is_digest(tag) => parse_tag(tag),
        _ => Err(CliError::new(format!(
            "imageUri `{image_uri}` of `{name}` is not of the declared repository {repository} with a tag or digest"
        ))
        .help("`set image` changes tags only; change the repository in the manifest and apply it")),
    }
}

fn pairs(images: &[String]) -> Result<BTreeMap<String, NewTag>, CliError> {
    let mut tags = BTreeMap::new();
    for text in images {
        let (name, tag) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| {
                CliError::new(format!("`{text}` does not say which image gets which tag"))
                    .help("write IMAGE=TAG, for example app=9d3c2f1")
            })?;
        if tags.insert(name.to_owned(), parse_tag(tag)?).is_some() {
            return Err(
                CliError::new(format!("image `{name}` is given twice")).help("keep one of them")
            );
        }
    }
    Ok(tags)
}

fn read(path: &PathBuf) -> Result<Vec<ImageDefinition>, CliError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::new(format!("{shown} cannot be read: {error}")))?;
    let definitions: Vec<ImageDefinition> = serde_json::from_str(&text).map_err(|error| {
        CliError::new(format!("{shown} is no imagedefinitions.json: {error}"))
            .help(r#"it is a list of {"name": ..., "imageUri": ...}"#)
    })?;
    if definitions.is_empty() {
        return Err(CliError::new(format!("{shown} names no image")));
    }
    let mut names: Vec<&str> = definitions.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CliError::new(format!(
            "{shown} names image `{}` twice",
            pair[0]
        ))),
        None => Ok(definitions),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app";

    fn definition(uri: &str) -> ImageDefinition {
        ImageDefinition {
            name: "app".to_owned(),
            image_uri: uri.to_owned(),
        }
    }

    #[test]
    fn a_uri_must_be_of_the_declared_repository() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let of = |uri: String| tag_of(&definition(&uri), REPOSITORY);
        assert_eq!(
            of(format!("{REPOSITORY}:c0ffee")).unwrap(),
            NewTag::Tag("c0ffee".to_owned())
        );
        assert_eq!(
            of(format!("{REPOSITORY}@{digest}")).unwrap(),
            NewTag::Digest(digest.clone())
        );
        for wrong in [
            REPOSITORY.to_owned(),
            format!("{REPOSITORY}2:c0ffee"),
            format!("{REPOSITORY}/web:c0ffee"),
            format!("{REPOSITORY}@c0ffee"),
            format!("{REPOSITORY}:{digest}"),
            "docker.io/app:c0ffee".to_owned(),
        ] {
            let error = of(wrong.clone()).expect_err(&wrong);
            assert!(error.render().contains(&wrong), "{}", error.render());
        }
    }

    #[test]
    fn pairs_say_each_image_once() {
        let tags = pairs(&["app=1".to_owned(), "web=2".to_owned()]).unwrap();
        assert_eq!(tags["web"], NewTag::Tag("2".to_owned()));
        for wrong in [
            vec!["app"],
            vec!["=1"],
            vec!["app="],
            vec!["app=a b"],
            vec!["app=1", "app=2"],
        ] {
            let given: Vec<String> = wrong.iter().map(|text| (*text).to_owned()).collect();
            assert!(pairs(&given).is_err(), "{wrong:?}");
        }
    }
}
