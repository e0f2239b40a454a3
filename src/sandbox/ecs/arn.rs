//! ARNs of ECS.

use super::super::cx::Cx;

/// `arn:aws:ecs:REGION:ACCOUNT:` and the rest.
pub(super) fn arn(cx: &Cx<'_>, rest: &str) -> String {
    format!("arn:aws:ecs:{}:{}:{rest}", cx.region, cx.account)
}

/// The part after `arn:aws:ecs:REGION:ACCOUNT:KIND/` if it is such an ARN of this account and
/// Region.
pub(super) fn inner<'a>(cx: &Cx<'_>, text: &'a str, kind: &str) -> Option<&'a str> {
    let mut parts = text.splitn(6, ':');
    let head = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, rest) = (parts.next()?, parts.next()?, parts.next()?);
    if head.0 != "arn" || head.2 != "ecs" || region != cx.region || account != cx.account {
        return None;
    }
    rest.strip_prefix(kind)?.strip_prefix('/')
}

/// Whether the text claims to be an ARN.
pub(super) fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// The name in a reference to something of a cluster (`service`, `task`): a bare name, or an ARN of
/// the same cluster in the long form or the old short one.
pub(super) fn in_cluster<'a>(
    cx: &Cx<'_>,
    text: &'a str,
    kind: &str,
    cluster: &str,
) -> Option<&'a str> {
    if !is_arn(text) {
        return Some(text);
    }
    let rest = inner(cx, text, kind)?;
    match rest.split_once('/') {
        Some((of, name)) => (of == cluster).then_some(name),
        None => Some(rest),
    }
}

/// The three parts of `CLUSTER/SERVICE/ID` in the ARN of a service deployment or revision.
pub(super) fn record(cx: &Cx<'_>, text: &str, kind: &str) -> Option<(String, String, String)> {
    let mut parts = inner(cx, text, kind)?.splitn(3, '/').map(str::to_owned);
    Some((parts.next()?, parts.next()?, parts.next()?))
}
