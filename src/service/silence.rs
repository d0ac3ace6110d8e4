//! What one process was told by a host's limits, and the others then keep to (STORAGE §4).

use tokio_util::sync::CancellationToken;

use crate::domain::time::Span;
use crate::forge::Forge;
use crate::service::Service;
use crate::store::Store;
use crate::trouble::Outcome;

/// Between two looks: what another process does in it, the host refuses as it refused us, and each look is two small
/// reads for each installation.
const EVERY: Span = Span::seconds(5);
/// Silences that differ by less are the same one, read at two moments.
const ALIKE: Span = Span::seconds(1);

/// What there is to do about two silences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The others do not know of ours.
    Tell,
    /// We did not know of theirs.
    Keep,
    /// Nothing.
    Nothing,
}

fn step(ours: Span, theirs: Span) -> Step {
    let longer = |one: Span, than: Span| one.as_millis() > than.as_millis().saturating_add(ALIKE.as_millis());
    if longer(ours, theirs) {
        Step::Tell
    } else if longer(theirs, ours) {
        Step::Keep
    } else {
        Step::Nothing
    }
}

impl Service {
    /// Every few seconds until `stop`, so that nothing that is asked of a host waits for the database.
    pub(super) async fn share_silences(&self, stop: &CancellationToken) {
        loop {
            for (word, host) in self.hosts() {
                if let Err(trouble) = share(self.store(), word, &**host).await {
                    tracing::debug!(
                        host = word,
                        error = trouble.chain(),
                        "cannot share what it asked silence for"
                    );
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY.as_std()) => {}
            }
        }
    }
}

/// Tells the other processes of the silence that a host asked of this one, and keeps what they were asked.
pub async fn share(store: &Store, word: &str, host: &dyn Forge) -> Outcome<()> {
    for (scope, ours) in host.silences() {
        let name = format!("{word}:{scope}");
        let theirs = store.silence(&name).await?;
        match step(ours, theirs) {
            Step::Tell => store.set_silence(&name, ours).await?,
            Step::Keep => {
                tracing::info!(host = word, scope, "another process was asked for silence: {theirs}");
                host.keep_silent(&scope, theirs);
            }
            Step::Nothing => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_silence_is_everybodys() {
        let (long, short) = (Span::seconds(60), Span::seconds(58));
        assert_eq!(step(long, Span::ZERO), Step::Tell);
        assert_eq!(step(Span::ZERO, long), Step::Keep);
        assert_eq!((step(long, short), step(short, long)), (Step::Tell, Step::Keep));
        assert_eq!(step(Span::ZERO, Span::ZERO), Step::Nothing);
        assert_eq!(step(long, Span::millis(59_500)), Step::Nothing, "the same, read a moment later");
    }
}
