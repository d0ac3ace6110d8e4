//! Taking over what another build left: hashed again first, and built after all when it is not what was sealed.

use crate::artifact::store::Unusable;
use crate::domain::decide::{Command, Ended, Learned, Work};
use crate::domain::name::Digest;
use crate::domain::release::Release;
use crate::domain::reuse::{Left, left_for};
use crate::domain::state::{DIGEST_MISMATCH, State};
use crate::domain::view;
use crate::service::steps::KeptLog;
use crate::service::worker::Lease;
use crate::service::{Service, blocking};
use crate::trouble::Outcome;

impl Service {
    /// Ends the build of a release with what another build left, when there is something; answers whether it did.
    pub(super) async fn take_over(
        &self,
        lease: &Lease,
        (state, release): (&State, &Release),
        (work, executor): (&Work, Option<&Digest>),
    ) -> Outcome<bool> {
        let all = left_for(state, release, executor);
        if all.is_empty() {
            return Ok(false);
        }
        let id = lease.pipeline()?;
        let mut kept = KeptLog::open(self, view::log_id(&id, release.no(), "build", release.build_attempt));
        let mut over = false;
        for left in all {
            let from = &left.reused;
            if let Err(unusable) = self.hash_again(&left).await {
                let why = format!("the artifact {from} is not taken over: {unusable}");
                kept.log.note(&why).await;
                self.tell_of_mismatch(lease, &left, &unusable).await?;
                continue;
            }
            let ended = Ended::Reused(from.clone());
            let finish = Command::Finish { work: work.clone(), fence: lease.fence(), ended };
            // Refused is what has become unusable since it was hashed.
            if self.journal().report(&id, &finish, lease.done("ended")).await?.is_ok() {
                let digests: Vec<&str> = left.artifacts.iter().map(|one| one.digest.as_str()).collect();
                let what = digests.join(", ");
                kept.log.note(&format!("nothing is built: the artifact {from} is taken over, {what}")).await;
                over = true;
                break;
            }
        }
        kept.close().await?;
        Ok(over)
    }

    async fn hash_again(&self, left: &Left) -> Result<(), Unusable> {
        let store = self.artifacts().clone();
        let digests: Vec<Digest> = left.stored().cloned().collect();
        blocking(move || Ok(digests.iter().try_for_each(|digest| store.verify(digest).map(drop)))).await?
    }

    /// Stored bytes that changed are an alarm about the release that has them, whoever found them (THREATS T44).
    async fn tell_of_mismatch(&self, lease: &Lease, left: &Left, unusable: &Unusable) -> Outcome<()> {
        // What is not there was deleted or cannot be read just now: it is built, and nobody need be told.
        let Unusable::Mismatch { .. } = unusable else { return Ok(()) };
        let id = lease.pipeline()?;
        let (code, text) = (DIGEST_MISMATCH.to_owned(), unusable.to_string());
        let alarm = Command::Learn(Learned::Alarm { release: left.reused.by.release(), code, text });
        if let Err(refusal) = self.journal().decide(&id, &alarm, lease.around()).await? {
            tracing::warn!(code = refusal.code(), "changed bytes were not put on the record");
        }
        Ok(())
    }
}
