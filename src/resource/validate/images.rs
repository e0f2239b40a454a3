//! `spec.images`.

use super::names;
use crate::resource::image_ref::{ecr_host, is_digest, is_tag};
use crate::resource::path::FieldPath;
use crate::resource::patterns;
use crate::resource::problem::FieldError;
use crate::resource::release::{Image, Pin, ReleaseSpec};

pub(super) fn images(spec: &ReleaseSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (name, image) in &spec.images {
        let here = path.key("images").key(name.as_str());
        // Build pipelines name images as the container is named, so the container's rule is theirs.
        names::ecs_name(name, "an image", here.clone(), errors);
        one_image(image, &here, errors);
    }
}

fn one_image(image: &Image, path: &FieldPath, errors: &mut Vec<FieldError>) {
    repository(&image.repository, &path.key("repository"), errors);
    one_of(image, path, errors);
    if let Some(tag) = image.tag.as_deref().filter(|tag| !is_tag(tag)) {
        let mut error = FieldError::new(path.key("tag"), format!("`{tag}` is not a tag"));
        error.help = Some(if is_digest(tag) {
            "write it as `digest`".to_owned()
        } else {
            "use 1 to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`"
                .to_owned()
        });
        errors.push(error);
    }
    if let Some(digest) = image.digest.as_deref().filter(|digest| !is_digest(digest)) {
        errors.push(
            FieldError::new(path.key("digest"), format!("`{digest}` is not a digest"))
                .help("write `sha256:` and 64 hexadecimal digits in small letters"),
        );
    }
    follow(image, path, errors);
    pattern(image, path, errors);
    pin(image, path, errors);
}

/// Exactly one of `tag`, `digest` and `tagPattern`.
fn one_of(image: &Image, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let given = [
        (image.tag.is_some(), "`tag`"),
        (image.digest.is_some(), "`digest`"),
        (image.tag_pattern.is_some(), "`tagPattern`"),
    ];
    let given: Vec<&str> = given.iter().filter(|it| it.0).map(|it| it.1).collect();
    let (message, help) = match given.as_slice() {
        [] => (
            "needs a `tag`, a `digest` or a `tagPattern`".to_owned(),
            "write for example `tag: 9d3c2f1`",
        ),
        [_] => return,
        [one, other] => (format!("has both {one} and {other}"), "keep one of them"),
        all => (format!("has all of {}", all.join(", ")), "keep one of them"),
    };
    errors.push(FieldError::new(path.clone(), message).help(help));
}

/// What is followed is looked up again and again, and run by its digest.
fn follow(image: &Image, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let mut refuse = |message: &str, help: &str| {
        errors.push(FieldError::new(path.key("follow"), message).help(help));
    };
    if image.follow.is_some() && image.tag_pattern.is_some() {
        refuse("a `tagPattern` is followed anyway", "leave `follow` out");
    } else if image.follow == Some(true) {
        if image.digest.is_some() {
            refuse(
                "a digest does not move",
                "give the `tag` instead, or leave `follow` out",
            );
        }
        if ecr_host(&image.repository).is_none() {
            refuse(
                "a tag can be followed in Amazon ECR only",
                "leave `follow` out, or have ECR's pull-through cache fetch the image",
            );
        }
        if image.pin == Some(Pin::Tag) {
            refuse(
                "what is run by its tag would be the same definition again",
                "leave `pin` out, so that the digest is run",
            );
        }
    }
}

fn pattern(image: &Image, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let Some(pattern) = &image.tag_pattern else {
        if image.order.is_some() {
            errors.push(
                FieldError::new(
                    path.key("order"),
                    "is for a `tagPattern`, and there is none",
                )
                .help("give a `tagPattern`, or leave `order` out"),
            );
        }
        return;
    };
    let here = path.key("tagPattern");
    if ecr_host(&image.repository).is_none() {
        errors.push(
            FieldError::new(here.clone(), "tags can be listed in Amazon ECR only")
                .help("give the `tag` or the `digest`"),
        );
    }
    expression(pattern, r"v1\.[0-9]+\.[0-9]+", here, errors);
}

/// A regular expression over a whole name, such as `example`.
pub(super) fn expression(
    pattern: &str,
    example: &str,
    path: FieldPath,
    errors: &mut Vec<FieldError>,
) {
    if pattern.is_empty() {
        errors.push(FieldError::new(path, "is empty").help("`.*` matches everything"));
    } else if let Err(error) = patterns::whole(pattern) {
        let message = format!("`{pattern}` is not a regular expression: {error}");
        let help = format!("write one for the whole name, for example `{example}`");
        errors.push(FieldError::new(path, message).help(help));
    }
}

fn pin(image: &Image, path: &FieldPath, errors: &mut Vec<FieldError>) {
    match image.pin {
        Some(Pin::Digest) if image.tag.is_some() && ecr_host(&image.repository).is_none() => {
            errors.push(
                FieldError::new(
                    path.key("pin"),
                    "a tag can be turned into its digest in Amazon ECR only",
                )
                .help("give the `digest`, or leave `pin` out to release the tag"),
            );
        }
        Some(Pin::Tag) if image.tag.is_none() && image.digest.is_some() => errors.push(
            FieldError::new(path.key("pin"), "there is no tag to pin").help("leave `pin` out"),
        ),
        _ => {}
    }
}

/// A repository with its host and nothing behind it.
fn repository(repository: &str, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let example = "write for example `123456789012.dkr.ecr.eu-central-1.amazonaws.com/app`";
    let mut refuse = |message: String, help: &str| {
        errors.push(FieldError::new(path.clone(), message).help(help));
    };
    if repository.is_empty() {
        return refuse("is empty".to_owned(), example);
    }
    if repository.contains("://") {
        return refuse(
            format!("`{repository}` has a scheme"),
            "take `https://` out",
        );
    }
    if repository.contains('@') {
        return refuse(
            format!("`{repository}` holds a digest"),
            "put what stands behind the `@` into `digest`",
        );
    }
    let last = repository.rsplit('/').next().unwrap_or_default();
    if repository.contains('/') && last.contains(':') {
        return refuse(
            format!("`{repository}` holds a tag"),
            "put what stands behind the last `:` into `tag`",
        );
    }
    let Some((host, name)) = repository.split_once('/') else {
        return refuse(
            format!("`{repository}` has no registry host"),
            &with_host(repository),
        );
    };
    if !host.contains(['.', ':']) && host != "localhost" {
        return refuse(
            format!("`{repository}` has no registry host"),
            &with_host(repository),
        );
    }
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
            })
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    if !name.split('/').all(part) {
        return refuse(
            format!("`{name}` is not a repository's name"),
            "use small letters, digits, `.`, `_`, `-`, and `/` between the parts",
        );
    }
    if host
        .bytes()
        .any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':')))
    {
        refuse(format!("`{host}` is not a registry's host"), example);
    }
}

fn with_host(repository: &str) -> String {
    let name = match repository.split_once(':') {
        Some((name, _)) => name,
        None => repository,
    };
    let library = if name.contains('/') { "" } else { "library/" };
    format!("write the host too, for example `docker.io/{library}{name}`")
}
