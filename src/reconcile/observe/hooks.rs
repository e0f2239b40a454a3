//! Invalidations that hooks asked for.

use super::{Look, LookError};
use crate::model::known::Known;
use crate::plan;

impl Look<'_> {
    /// How the invalidations stand that are not known to be complete.
    pub(super) async fn invalidations(&mut self) -> Result<(), LookError> {
        for asked in plan::open_invalidations(&self.observed.ledger) {
            let known = match self.view.invalidation(&asked).await {
                Ok(known) => known,
                Err(error) => Known::Unknown(self.failed(error)?),
            };
            self.observed.invalidations.insert(asked, known);
        }
        Ok(())
    }
}
