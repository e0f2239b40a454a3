//! What is refused before it reaches the table.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ObjectRef, StoreError};
use crate::aws::dynamodb::normalize;
use crate::resource::environment::EnvironmentSpec;
use crate::resource::meta::{API_VERSION, Kind, Object, ObjectMeta};
use crate::resource::release::ReleaseSpec;
use crate::resource::validate::{self, FieldError};

/// Room for `applied#<name>#<applier>` in a sort key of 1,024 bytes.
const MAX_APPLIER_BYTES: usize = 512;

/// Names that would make keys of somebody else's.
pub(super) fn names(object: &ObjectRef) -> Result<(), StoreError> {
    let fields = [
        ("name", Some(&object.name)),
        ("namespace", object.namespace.as_ref()),
    ];
    for (field, name) in fields {
        let Some(name) = name else { continue };
        if name.is_empty() || name.contains(['#', '/']) {
            return Err(StoreError::Refused(format!(
                "{object}: metadata.{field} must not be empty nor contain `#` or `/`"
            )));
        }
    }
    Ok(())
}

/// An applier that fits into a key.
pub(super) fn applier(applier: &str) -> Result<(), StoreError> {
    if applier.is_empty() || applier.len() > MAX_APPLIER_BYTES {
        return Err(StoreError::Refused(format!(
            "the applier must have 1 to {MAX_APPLIER_BYTES} bytes: name another with --applier"
        )));
    }
    Ok(())
}

/// What is wrong with a Release's spec.
pub(super) fn release(metadata: &ObjectMeta, spec: &ReleaseSpec) -> Vec<FieldError> {
    validate::release(&whole(Kind::Release, metadata, spec))
}

/// What is wrong with an Environment's spec.
pub(super) fn environment(metadata: &ObjectMeta, spec: &EnvironmentSpec) -> Vec<FieldError> {
    validate::environment(&whole(Kind::Environment, metadata, spec))
}

fn whole<Spec: Clone, Status>(
    kind: Kind,
    metadata: &ObjectMeta,
    spec: &Spec,
) -> Object<Spec, Status> {
    Object {
        api_version: API_VERSION.to_owned(),
        kind,
        metadata: metadata.clone(),
        spec: spec.clone(),
        status: None,
    }
}

/// Refuses what is not valid.
pub(super) fn valid(object: &ObjectRef, errors: &[FieldError]) -> Result<(), StoreError> {
    if errors.is_empty() {
        return Ok(());
    }
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    Err(StoreError::Refused(format!(
        "{object} would not be valid: {}",
        errors.join("; ")
    )))
}

/// A spec as its type.
pub(super) fn typed<Spec: DeserializeOwned>(
    object: &ObjectRef,
    spec: Value,
) -> Result<Spec, StoreError> {
    serde_json::from_value(spec).map_err(|error| {
        StoreError::Refused(format!(
            "{object}: what the file says and what others set since do not go together ({error}): \
             look at the object with `get {} -o yaml`, or apply with --force to write the file as \
             it is",
            object.name
        ))
    })
}

/// A spec as the wire types write it, with numbers as the table gives them back: two specs that
/// mean the same are then equal.
pub(super) fn canonical<Spec: Serialize + DeserializeOwned>(
    object: &ObjectRef,
    spec: Value,
) -> Result<Value, StoreError> {
    written(object, &typed::<Spec>(object, spec)?)
}

/// See [`canonical`].
pub(super) fn written(object: &ObjectRef, spec: &impl Serialize) -> Result<Value, StoreError> {
    let spec = serde_json::to_value(spec).map_err(|error| {
        StoreError::Refused(format!("{object} cannot be written down: {error}"))
    })?;
    Ok(normalize(spec))
}
