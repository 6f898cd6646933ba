//! Recall: what the store remembers that decides about a letter, looked up before the desk sees it.

use super::group::Group;
use super::{EngineError, Runner};
use crate::desk::Ingest;
use crate::time::Timestamp;

impl Runner {
    /// Gives a letter the record that its report is about, and takes away its acknowledgement if
    /// its author has had one or is not written to.
    pub(super) fn recall(
        &self,
        now: Timestamp,
        letter: &mut Ingest,
        group: &Group<'_>,
    ) -> Result<(), EngineError> {
        if let Some(report) = &mut letter.report
            && self.desk.spool().get(report.message).is_none()
        {
            report.settled = group.outbound(report.message)?.map(Box::new);
        }
        if let Some(acknowledgement) = &letter.acknowledgement {
            let address = acknowledgement.to.address.normalised();
            let told = group.acknowledged(&acknowledgement.queue, &address)?;
            let suppressed = group.suppressed(&address)?;
            if told.is_some_and(|told| told.until > now)
                || suppressed.is_some_and(|suppressed| suppressed.until > now)
            {
                letter.acknowledgement = None;
            }
        }
        Ok(())
    }
}
