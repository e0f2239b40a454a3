//! What the handler of a call is given besides its service's own state.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::rules::Rules;
use super::settings::Settings;

/// The surroundings of one call.
pub(crate) struct Cx<'a> {
    /// The time of the call.
    pub now: Timestamp,
    /// The account's number.
    pub account: &'a str,
    /// The Region called.
    pub region: &'a str,
    /// ARN of the caller.
    pub principal: String,
    /// What tasks do.
    pub rules: &'a Rules,
    /// How strictly AWS is played.
    pub settings: &'a Settings,
    /// Where new names come from.
    pub ids: &'a mut Ids,
    /// The registries.
    pub images: &'a dyn Images,
}

/// What a registry says of an image reference.
pub(crate) trait Images {
    /// Looks an image up as a container runtime would.
    fn lookup(&self, image: &str) -> ImageLookup;
}

/// The answer of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageLookup {
    /// It is there.
    Found {
        /// `sha256:..`
        digest: String,
        /// Its names, as `repository:tag`.
        tags: Vec<String>,
    },
    /// The repository is one of the sandbox's, and has no such image.
    Missing,
    /// Not a registry of this account, or a repository that was never made: pulls succeed.
    Foreign,
}

/// Names that look random and are the same in every run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    drawn: u64,
}

impl Ids {
    /// `digits` lower-case hexadecimal digits, at most 64.
    pub fn hex(&mut self, digits: usize) -> String {
        self.drawn += 1;
        let hash = Sha256::digest(self.drawn.to_be_bytes());
        let mut text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        text.truncate(digits);
        text
    }

    /// Chance, the same in every run: between 0 and 1.
    pub fn chance(&mut self) -> f64 {
        let drawn = u32::from_str_radix(&self.hex(8), 16).unwrap_or_default();
        f64::from(drawn) / f64::from(u32::MAX)
    }

    /// Whether something happens that does so in `share` of all cases.
    pub fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.chance() <= share
    }

    /// A version 4 UUID by its looks.
    pub fn uuid(&mut self) -> String {
        let hex = self.hex(32);
        format!(
            "{}-{}-4{}-8{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[13..16],
            &hex[17..20],
            &hex[20..]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_new_each_time_and_the_same_in_every_run() {
        let draw = || {
            let mut ids = Ids::default();
            (ids.uuid(), ids.uuid(), ids.hex(17))
        };
        let (first, second, hex) = draw();
        assert_ne!(first, second);
        assert_eq!(hex.len(), 17);
        assert_eq!(
            uuid::Uuid::parse_str(&first).unwrap().get_version_num(),
            4,
            "{first}"
        );
        assert_eq!(draw(), (first, second, hex));
    }
}
