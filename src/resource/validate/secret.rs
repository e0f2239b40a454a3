//! References to secrets. What was written is not repeated: it may be the secret itself.

use super::names;
use crate::resource::path::FieldPath;
use crate::resource::problem::FieldError;
use crate::resource::secret::SecretRef;

/// A reference names one place, and reads as a place.
pub(super) fn reference(secret: &SecretRef, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let SecretRef {
        ssm_parameter,
        secrets_manager_secret,
        json_key,
    } = secret;
    match (ssm_parameter, secrets_manager_secret) {
        (None, None) => errors.push(
            FieldError::new(path.clone(), "names no secret")
                .help("write one of `ssmParameter` and `secretsManagerSecret`"),
        ),
        (Some(_), Some(_)) => errors.push(
            FieldError::new(path.clone(), "names two secrets, and one is read")
                .help("keep one of `ssmParameter` and `secretsManagerSecret`"),
        ),
        _ => {}
    }
    if let Some(name) = ssm_parameter
        && !is_parameter(name)
    {
        errors.push(
            FieldError::new(
                path.key("ssmParameter"),
                "is not the name or ARN of an SSM parameter",
            )
            .help("write where it lies, for example `/shop/slack-webhook`, and never what it is"),
        );
    }
    if let Some(name) = secrets_manager_secret
        && !is_secret(name)
    {
        errors.push(
            FieldError::new(
                path.key("secretsManagerSecret"),
                "is not the name or ARN of a secret in Secrets Manager",
            )
            .help("write where it lies, for example `shop/slack-webhook`, and never what it is"),
        );
    }
    if json_key.as_ref().is_some_and(String::is_empty) {
        errors.push(
            FieldError::new(path.key("jsonKey"), "is empty")
                .help("write the name of a member, or leave it out"),
        );
    }
}

/// `/shop/slack`, also with `:VERSION` or `:LABEL` behind it, or an ARN.
fn is_parameter(text: &str) -> bool {
    let name = match text.starts_with("arn:") {
        true => resource_of(text, "ssm", "parameter/"),
        false => Some(text),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
    name.is_some_and(|name| {
        (1..=1011).contains(&name.len()) && name.chars().all(allowed) && !name.contains("//")
    })
}

/// `shop/slack`, or an ARN.
fn is_secret(text: &str) -> bool {
    let name = match text.starts_with("arn:") {
        true => resource_of(text, "secretsmanager", "secret:"),
        false => Some(text),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    name.is_some_and(|name| {
        (1..=512).contains(&name.len()) && name.chars().all(allowed) && !name.contains("//")
    })
}

fn resource_of<'a>(text: &'a str, service: &str, kind: &str) -> Option<&'a str> {
    let (of, region, account, resource) = names::arn(text)?;
    let right = of == service && names::is_region(region) && names::is_account(account);
    resource.strip_prefix(kind).filter(|_| right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(secret: serde_json::Value) -> Vec<String> {
        let secret: SecretRef = serde_json::from_value(secret).unwrap();
        let mut errors = Vec::new();
        reference(&secret, &FieldPath::root().key("secret"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_and_arns_are_taken() {
        for right in [
            json!({"ssmParameter": "/shop/slack-webhook"}),
            json!({"ssmParameter": "slack:3"}),
            json!({"ssmParameter": "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/slack"}),
            json!({"secretsManagerSecret": "shop/slack", "jsonKey": "url"}),
            json!({"secretsManagerSecret":
                "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:shop-AbCdEf"}),
        ] {
            assert_eq!(errors(right.clone()), [] as [String; 0], "{right}");
        }
    }

    #[test]
    fn exactly_one_place_is_named() {
        assert_eq!(errors(json!({})).len(), 1);
        let two = json!({"ssmParameter": "a", "secretsManagerSecret": "b"});
        assert_eq!(errors(two).len(), 1);
        let all = json!({"ssmParameter": "", "secretsManagerSecret": "", "jsonKey": ""});
        assert_eq!(errors(all).len(), 4);
        let other = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop";
        assert_eq!(errors(json!({"ssmParameter": other})).len(), 1);
    }

    #[test]
    fn a_secret_that_was_written_in_place_of_its_name_is_not_repeated() {
        let url = "https://hooks.slack.com/services/T0/B0/s3cr3t";
        for place in ["ssmParameter", "secretsManagerSecret"] {
            let told = errors(json!({ place: url })).join("\n");
            assert!(!told.is_empty() && !told.contains("s3cr3t"), "{told}");
        }
    }
}
