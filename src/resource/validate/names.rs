//! Names and formats.

use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;

/// The name of an object, migration or schedule: a DNS-1123 label.
pub(super) fn dns_label(name: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let right = (1..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !right {
        let error = FieldError::new(path, format!("`{name}` is not a name"));
        errors.push(error.help(
            "use 1 to 63 small letters, digits and `-`, beginning and ending with a letter or digit",
        ));
    }
}

/// The name of an ECS service, family, cluster, container or capacity provider.
pub(super) fn ecs_name(name: &str, what: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    if is_ecs_name(name) {
        return;
    }
    let mut error = FieldError::new(path, format!("`{name}` is not the name of {what}"));
    error.help = Some(if name.starts_with("arn:") {
        "write the name alone, not the ARN".to_owned()
    } else {
        "use 1 to 255 letters, digits, `_` and `-`".to_owned()
    });
    errors.push(error);
}

pub(super) fn is_ecs_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=255).contains(&name.len()) && name.bytes().all(allowed)
}

/// A label's or annotation's key: `team`, `acme.com/team`.
pub(super) fn label_key(key: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let right_prefix = prefix.is_none_or(|prefix| {
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        (1..=253).contains(&prefix.len()) && prefix.split('.').all(part)
    });
    if !right_prefix || name.is_empty() || !is_label_word(name) {
        errors.push(
            FieldError::new(path, format!("`{key}` is not a key for labels or annotations"))
                .help("write `name` or `domain/name`, the name of 1 to 63 letters, digits, `-`, `_` and `.`"),
        );
    }
}

/// A label's value.
pub(super) fn label_value(value: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    if !is_label_word(value) {
        errors.push(
            FieldError::new(path, format!("`{value}` is not a label's value"))
                .help("use at most 63 letters, digits, `-`, `_` and `.`, or make it an annotation"),
        );
    }
}

fn is_label_word(word: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    word.is_empty()
        || (word.len() <= 63
            && word.bytes().all(allowed)
            && word.starts_with(edge)
            && word.ends_with(edge))
}

/// An AWS Region: `eu-central-1`, `us-gov-west-1`.
pub(super) fn is_region(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let word = |part: &str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [words @ .., number] if words.len() >= 2 => {
            words.iter().all(|part| word(part))
                && (1..=2).contains(&number.len())
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

/// A twelve-digit account id.
pub(super) fn is_account(account: &str) -> bool {
    account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
}

/// An ARN in its parts: service, Region, account and the rest.
pub(super) fn arn(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = text.splitn(6, ':');
    let (head, partition) = (parts.next()?, parts.next()?);
    let (service, region) = (parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    (head == "arn" && partition.starts_with("aws") && !resource.is_empty())
        .then_some((service, region, account, resource))
}

/// The ARN of an IAM role.
pub(super) fn role_arn(text: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    let right = arn(text).is_some_and(|(service, region, account, resource)| {
        service == "iam"
            && region.is_empty()
            && is_account(account)
            && resource
                .strip_prefix("role/")
                .is_some_and(|name| !name.is_empty())
    });
    if !right {
        errors.push(
            FieldError::new(path, format!("`{text}` is not the ARN of an IAM role"))
                .help("write for example `arn:aws:iam::123456789012:role/name`"),
        );
    }
}

/// A glob that must be readable.
pub(super) fn glob(pattern: &str, path: FieldPath, errors: &mut Vec<FieldError>) {
    if pattern.is_empty() {
        errors.push(FieldError::new(path, "an empty pattern matches nothing").help("take it out"));
    } else if let Err(error) = globset::Glob::new(pattern) {
        let message = format!("`{pattern}` is not a pattern: {}", error.kind());
        errors.push(
            FieldError::new(path, message)
                .help("`*` stands for anything; write for example `shop-*`"),
        );
    }
}
