//! Where a task definition comes from, and which containers get which images.

use std::collections::BTreeMap;

use super::{Context, inline, names};
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::release::TaskDefinitionSource;
use crate::resource::suggest;

pub(super) fn source(
    source: &TaskDefinitionSource,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let given: Vec<&str> = [
        ("service", source.service.is_some()),
        ("family", source.family.is_some()),
        ("inline", source.inline.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_there)| is_there.then_some(name))
    .collect();
    if given.len() != 1 {
        let message = match given.as_slice() {
            [] => "needs one of `service`, `family` and `inline`".to_owned(),
            more => format!("has {}, and exactly one can be", more.join(" and ")),
        };
        errors.push(FieldError::new(path.clone(), message).help(
            "`family` takes the newest revision of a family, `service` what a service runs, \
             `inline` a whole definition",
        ));
    }
    if let Some(service) = &source.service {
        service_of_release(service, ctx, path.key("service"), errors);
    }
    if let Some(family) = &source.family {
        family_name(family, path.key("family"), errors);
    }
    if let Some(pattern) = &source.registered_by {
        if source.family.is_none() {
            errors.push(
                FieldError::new(path.key("registeredBy"), "goes together with `family` only")
                    .help("take it out"),
            );
        }
        names::glob(pattern, path.key("registeredBy"), errors);
    }
    if let Some(definition) = &source.inline {
        inline::definition(definition, &path.key("inline"), errors);
    }
}

fn service_of_release(
    service: &str,
    ctx: &Context<'_>,
    path: FieldPath,
    errors: &mut Vec<FieldError>,
) {
    if !ctx.services.contains(service) {
        let mut error = FieldError::new(
            path,
            format!("there is no service `{service}` in this release"),
        )
        .looked_in(ctx.services_path.clone());
        error.help = suggest::did_you_mean(service, ctx.services.iter().copied())
            .or_else(|| Some("declare it in `services`, or name a `family`".to_owned()));
        errors.push(error);
    }
}

fn family_name(family: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    if let Some((name, revision)) = family.split_once(':') {
        let is_revision = revision.bytes().all(|b| b.is_ascii_digit());
        if names::is_ecs_name(name) && is_revision {
            errors.push(
                FieldError::new(path, format!("`{family}` is one revision, not a family"))
                    .help(format!("write `{name}`; its newest revision is taken")),
            );
            return;
        }
    }
    names::ecs_name(family, "a task definition family", path, errors);
}

/// `images`: container name -> name of an image of the release.
pub(super) fn images(
    images: &BTreeMap<String, String>,
    source: Option<&TaskDefinitionSource>,
    ctx: &Context<'_>,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let path = path.key("images");
    for (container, image) in images {
        let here = path.key(container.as_str());
        names::ecs_name(container, "a container", here.clone(), errors);
        if !ctx.images.contains(image.as_str()) {
            let mut error = FieldError::new(here, format!("there is no image `{image}`"))
                .looked_in(ctx.images_path.clone());
            error.help = suggest::did_you_mean(image, ctx.images.iter().copied())
                .or_else(|| Some("declare it in `spec.images`".to_owned()));
            errors.push(error);
        }
    }
    if let Some(definition) = source.and_then(|source| source.inline.as_ref()) {
        let containers = inline::container_names(definition);
        for container in images
            .keys()
            .filter(|name| !containers.contains(&name.as_str()))
        {
            let message = format!("the inline definition has no container `{container}`");
            let mut error = FieldError::new(path.key(container.as_str()), message);
            error.help = suggest::did_you_mean(container, containers.iter().copied());
            errors.push(error);
        }
        inline::images(definition, images, &path, errors);
    }
}
