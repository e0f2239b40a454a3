//! Tags to resolve or to follow, and recorded digests to find again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, LookError};
use crate::model::desired::{Image, Pick, Wanted};
use crate::model::known::Known;
use crate::model::ledger::{ResolvedImage, Revision, RevisionOutcome};
use crate::plan;
use crate::resource::image_ref::EcrRepository;

/// What is asked of one repository.
#[derive(Default)]
struct Asked {
    /// Image name, what is looked up for it, and whether that is the recorded digest.
    ids: Vec<(String, Wanted, bool)>,
    /// Names of images that follow the newest of its tags.
    newest: BTreeSet<String>,
}

impl Look<'_> {
    pub(super) async fn images(&mut self) -> Result<(), LookError> {
        let current = self.standing().cloned();
        let recorded = current.as_ref().map(|it| &it.images);
        let nothing = BTreeMap::new();
        for (ecr, asked) in self.asked(current.as_ref()) {
            let recorded = recorded.unwrap_or(&nothing);
            self.repository(&ecr, asked, recorded).await?;
        }
        let current = current.as_ref();
        self.moved = current.is_some_and(|current| {
            plan::moved_images(self.desired, &self.observed, current).is_some()
        });
        Ok(())
    }

    /// What is to be looked up, by repository.
    fn asked(&self, current: Option<&Revision>) -> BTreeMap<EcrRepository, Asked> {
        // Between resolving and Ready nothing depends on where a tag points that is not followed.
        let settled = current.is_none_or(|it| it.outcome == RevisionOutcome::Ready);
        let pinned = current.is_some_and(|it| it.pinned.is_some());
        let is_asked = |image: &Image| settled || (image.is_followed() && !pinned);
        let mut repositories: BTreeMap<EcrRepository, Asked> = BTreeMap::new();
        for (name, image) in &self.desired.images {
            let Some(ecr) = image.ecr.as_ref().filter(|_| is_asked(image)) else {
                continue;
            };
            let asked = repositories.entry(ecr.clone()).or_default();
            match &image.pick {
                Pick::One(wanted) => asked.ids.push((name.clone(), wanted.clone(), false)),
                Pick::Newest(_) => drop(asked.newest.insert(name.clone())),
            }
            let recorded = current.and_then(|it| it.images.get(name)?.digest.clone());
            if let Some(digest) = recorded.filter(|_| settled) {
                asked.ids.push((name.clone(), Wanted::Digest(digest), true));
            }
        }
        repositories
    }

    async fn repository(
        &mut self,
        ecr: &EcrRepository,
        mut asked: Asked,
        recorded: &BTreeMap<String, ResolvedImage>,
    ) -> Result<(), LookError> {
        if !asked.newest.is_empty() {
            self.tags(ecr, &asked.newest).await?;
            // What is among its tags need not be looked for.
            asked
                .ids
                .retain(|(name, _, _)| !self.is_listed(name, recorded));
        }
        if asked.ids.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<Wanted> = asked.ids.iter().map(|(_, id, _)| id.clone()).collect();
        self.interest.images.insert(ecr.clone(), ids.clone());
        let (found, why) = match self.view.images(ecr, ids).await {
            Ok(found) => (found, String::new()),
            Err(error) => (BTreeMap::new(), self.failed(error)?),
        };
        for (name, id, pinned) in asked.ids {
            let map = if pinned {
                &mut self.observed.pinned
            } else {
                &mut self.observed.images
            };
            let digest = found.get(&id).cloned();
            map.insert(name, digest.unwrap_or_else(|| Known::Unknown(why.clone())));
        }
        Ok(())
    }

    /// Lists the tags of a repository for the images that follow the newest of them.
    async fn tags(
        &mut self,
        ecr: &EcrRepository,
        names: &BTreeSet<String>,
    ) -> Result<(), LookError> {
        self.interest.repositories.insert(ecr.clone());
        let known = match self.view.tagged(ecr).await {
            Ok(found) => Known::Present(found),
            Err(error) => Known::Unknown(self.failed(error)?),
        };
        for name in names {
            self.observed.tags.insert(name.clone(), known.clone());
        }
        Ok(())
    }

    /// Whether the recorded digest of an image is behind one of the tags that were listed.
    fn is_listed(&self, name: &str, recorded: &BTreeMap<String, ResolvedImage>) -> bool {
        let digest = recorded.get(name).and_then(|image| image.digest.as_ref());
        let listed = self.observed.tags.get(name).and_then(Known::present);
        let is_it =
            |digest: &String| listed.is_some_and(|all| all.iter().any(|it| it.digest == *digest));
        digest.is_some_and(is_it)
    }
}
