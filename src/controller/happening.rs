//! What happens to Releases, for whoever narrates or counts it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::model::plan::{Action, Plan};
use crate::resource::meta::ReleaseKey;

/// Told of everything that happens.
pub type Observer = Arc<dyn Fn(&Happening) + Send + Sync>;

/// Something that happened to a Release.
#[derive(Clone, Debug)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// The Release.
    pub release: ReleaseKey,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A step was carried out.
    Acted(Box<Action>),
    /// A step was not carried out: which, and why.
    NotDone(String),
    /// A pass ended.
    Passed {
        /// The plan it followed, with the status it led to.
        plan: Box<Plan>,
        /// Whether a step was not carried out.
        failed: bool,
        /// Whether everything was looked at.
        observed: bool,
        /// The generation that it followed.
        generation: Option<u64>,
        /// When that generation's spec was written; none where it could not be read.
        applied_at: Option<Timestamp>,
    },
    /// Everything was looked at, and stands as it did when the last pass found nothing to do.
    Same,
    /// A pass could not be made.
    Failed(String),
    /// The Release is no more, or another replica looks after it now.
    Gone,
}
