//! Invalidations that hooks asked for.

use super::{Look, LookError};
use crate::model::known::Known;
use crate::plan;

impl Look<'_> {
    /// How the invalidations stand that are not known to be complete.
    pub(super) async fn invalidations(&mut self) -> Result<(), LookError> {
        let current = self.current().map(|found| found.number);
        for (asked, revision) in plan::open_invalidations(&self.observed.ledger) {
            let known = match self.view.invalidation(&asked).await {
                Ok(known) => known,
                Err(error) => {
                    let problems = self.observed.problems.len();
                    let why = self.failed(error)?;
                    // What only an earlier revision needs keeps no newer one from coming.
                    if current != Some(revision) {
                        self.observed.problems.truncate(problems);
                    }
                    Known::Unknown(why)
                }
            };
            self.observed.invalidations.insert(asked, known);
        }
        Ok(())
    }
}
