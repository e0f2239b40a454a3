//! What was registered, as it was written down.

use std::collections::BTreeSet;

use super::{Look, LookError};
use crate::model::ledger::Registration;

impl Look<'_> {
    /// Reads what was registered in the families of the parts. Where a sweep finds nothing to do,
    /// only what kept revisions name and what stands in families that are listed matters: all of it
    /// is read for what could be let go of, which need not be found at once.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn registrations(&mut self, account: &str) -> Result<(), LookError> {
        let content = self.view.is_content() && self.desired.deleting.is_none();
        if content && !self.view.takes_stock(&self.desired.key) {
            self.registrations_named(account).await?;
            return self
                .registrations_in(account, self.families_to_list())
                .await;
        }
        self.registrations_in(account, self.part_families()).await?;
        self.view.took_stock(&self.desired.key);
        Ok(())
    }

    async fn registrations_in(
        &mut self,
        account: &str,
        families: BTreeSet<String>,
    ) -> Result<(), LookError> {
        let region = &self.desired.environment.region;
        for family in families {
            let found = self.store.registrations(account, region, &family).await?;
            self.registered(found);
        }
        Ok(())
    }

    /// Those that kept revisions name.
    async fn registrations_named(&mut self, account: &str) -> Result<(), LookError> {
        let region = &self.desired.environment.region;
        let revisions = self.observed.ledger.revisions.values();
        let parts = revisions.flat_map(|revision| revision.parts.values());
        let names: Vec<(String, String)> = parts
            .chain(self.back().into_iter().map(|(_, part)| part))
            .map(|part| (part.family.clone(), part.definition.clone()))
            .collect();
        let found = self.store.registrations_of(account, region, &names).await?;
        self.registered(found);
        Ok(())
    }

    fn registered(&mut self, found: Vec<Registration>) {
        let named = |it: Registration| ((it.family.clone(), it.definition.clone()), it);
        let registrations = &mut self.observed.ledger.registrations;
        registrations.extend(found.into_iter().map(named));
    }
}
