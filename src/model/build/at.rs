//! What is wanted while a recorded revision is gone back to.

use super::{hooks, image, migration, schedule, service};
use crate::model::desired::{Desired, Image, Pick, Settings, Wanted};
use crate::model::ledger::{ResolvedImage, Revision};
use crate::resource::hooks::Hooks;
use crate::resource::release::ReleaseSpec;

impl Desired {
    /// The same Release with what a recorded revision declared: its parts, its images at the
    /// digests that it ran, and nothing that follows a tag. Who owns it, where it goes and what may
    /// be touched there stay as they are now.
    #[must_use]
    pub fn at_revision(&self, revision: &Revision) -> Desired {
        match &revision.spec {
            Some(spec) => self.with(spec, revision),
            None => self.as_before(revision),
        }
    }

    fn with(&self, spec: &ReleaseSpec, revision: &Revision) -> Desired {
        let place = &self.environment;
        let migrations = spec.migrations.iter();
        let schedules = spec.schedules.iter();
        let images = spec.images.iter().map(|(name, declared)| {
            let found = revision.images.get(name);
            (name.clone(), standing(image(declared, false), found))
        });
        Desired {
            spec: ReleaseSpec {
                images: spec.images.clone(),
                image_timeout: spec.image_timeout.clone(),
                hooks: spec.hooks.clone(),
                migrations: spec.migrations.clone(),
                services: spec.services.clone(),
                schedules: spec.schedules.clone(),
                ..self.spec.clone()
            },
            images: images.collect(),
            hooks: hooks::all(&spec.hooks, &place.tasks),
            migrations: migrations
                .map(|found| migration(found, &place.tasks))
                .collect(),
            services: spec.services.iter().map(service).collect(),
            schedules: schedules
                .map(|found| schedule(&self.key, found, place))
                .collect(),
            ..self.clone()
        }
    }

    /// What ran before evenkeel was no manifest: the parts that are declared now and ran something
    /// then. Of a rule only that something is known, so the rest of it is left, and no rule goes.
    fn as_before(&self, revision: &Revision) -> Desired {
        let ran = |kind: &str, name: &str| revision.parts.contains_key(&format!("{kind}/{name}"));
        let mut back = self.clone();
        back.spec.images.clear();
        back.images.clear();
        back.spec.hooks = Hooks::default();
        back.hooks.clear();
        back.spec.migrations.clear();
        back.migrations.clear();
        back.spec
            .services
            .retain(|service| ran("service", &service.name));
        back.services
            .retain(|service| ran("service", &service.name));
        for service in &mut back.services {
            let declared = &revision.parts;
            let known = |name: &String| declared.contains_key(&format!("service/{name}"));
            service.depends_on.retain(known);
            service.settings = Settings::default();
        }
        back.spec
            .schedules
            .retain(|schedule| ran("schedule", &schedule.name));
        back.schedules
            .retain(|schedule| ran("schedule", &schedule.name));
        for schedule in &mut back.schedules {
            schedule.only_definition = true;
        }
        back.prune = false;
        back
    }
}

/// An image that stands still at what it was resolved to.
fn standing(image: Image, found: Option<&ResolvedImage>) -> Image {
    let digest = found.and_then(|found| found.digest.clone());
    Image {
        follow: false,
        pick: digest.map_or(image.pick, |digest| Pick::One(Wanted::Digest(digest))),
        ..image
    }
}
