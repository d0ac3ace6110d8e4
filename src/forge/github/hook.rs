//! Deliveries that GitHub made, and asking for them again (STORAGE §4).

use std::ops::ControlFlow;

use hyper::Method;
use hyper::header::{HeaderMap, LINK};

use crate::domain::time::Timestamp;
use crate::forge::Missed;
use crate::forge::github::app::{Identity, Work};
use crate::forge::github::client::{GitHub, PER_PAGE};
use crate::forge::github::dto;
use crate::forge::github::registry::Home;
use crate::forge::github::route::segment;
use crate::trouble::{Kind, Outcome, Trouble};

/// Pages of deliveries read at once: 5 000 deliveries, more than GitHub sends us in an hour.
const MAX_PAGES: usize = 50;

impl GitHub {
    /// The app's deliveries, or those of our webhook on every configured repository; newest first.
    pub(super) async fn list_deliveries(&self, since: Timestamp) -> Outcome<Vec<Missed>> {
        if self.stack.keys().is_app() {
            return self.deliveries_of(&Identity::App, "/app/hook/deliveries", since).await;
        }
        let mut all = Vec::new();
        for home in self.homes().await? {
            if let Some(hook) = self.our_hook(&home).await? {
                let path = format!("{hook}/deliveries");
                all.extend(self.deliveries_of(&home.to(Work::Look), &path, since).await?);
            }
        }
        all.sort_by(|a, b| b.at.cmp(&a.at).then(b.id.cmp(&a.id)));
        Ok(all)
    }

    async fn deliveries_of(&self, who: &Identity, list: &str, since: Timestamp) -> Outcome<Vec<Missed>> {
        let mut found = Vec::new();
        let mut target = format!("{list}?per_page={PER_PAGE}");
        for _ in 0..MAX_PAGES {
            let reply = self.send(who.read(), Method::GET, &target, None).await?;
            let page: Vec<dto::Delivery> = dto::read(list, &reply.body)?;
            for delivery in page {
                let at = Timestamp::parse(&delivery.delivered_at);
                let at = at.ok_or_else(|| Trouble::transient("GitHub gave a time that is none"))?;
                if at < since {
                    return Ok(found);
                }
                let answered = (200..300).contains(&delivery.status_code);
                found.push(Missed { id: delivery.id, guid: delivery.guid, at, answered });
            }
            match cursor(&reply.headers) {
                Some(cursor) => target = format!("{list}?per_page={PER_PAGE}&cursor={}", segment(&cursor)),
                None => return Ok(found),
            }
        }
        Ok(found)
    }

    /// Asks for one delivery again. A personal token has one webhook per repository, and the number of a delivery
    /// does not say whose it is: each is asked until one knows it.
    pub(super) async fn deliver_again(&self, id: u64) -> Outcome<()> {
        if self.stack.keys().is_app() {
            return self.attempt(&Identity::App, &format!("/app/hook/deliveries/{id}/attempts")).await;
        }
        for home in self.homes().await? {
            let Some(hook) = self.our_hook(&home).await? else { continue };
            match self.attempt(&home.to(Work::Look), &format!("{hook}/deliveries/{id}/attempts")).await {
                Err(trouble) if trouble.kind() == Kind::NotFound => {}
                outcome => return outcome,
            }
        }
        Err(Trouble::not_found(format!("no webhook of ours made delivery {id}")))
    }

    async fn attempt(&self, who: &Identity, path: &str) -> Outcome<()> {
        self.send(who.write(), Method::POST, path, None).await.map(|_| ())
    }

    /// The webhook of this repository that delivers to us.
    async fn our_hook(&self, home: &Home) -> Outcome<Option<String>> {
        let hooks = format!("/repositories/{}/hooks", home.id);
        let ours = format!("{}/", self.settings.public_url.trim_end_matches('/'));
        let identity = home.to(Work::Look);
        let found = self.pages(&identity, &hooks, |hook: dto::Hook| {
            if hook.config.url.starts_with(&ours) {
                ControlFlow::Break(hook.id)
            } else {
                ControlFlow::Continue(())
            }
        });
        Ok(found.await?.map(|id| format!("{hooks}/{id}")))
    }
}

/// The cursor of the next page. Only the cursor is taken from the `Link` header, never its address (T52).
fn cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (address, _) = next.trim().strip_prefix('<')?.split_once('>')?;
    let (_, query) = address.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("cursor="))?;
    percent_encoding::percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t52_of_a_link_only_the_cursor_is_used() {
        let mut headers = HeaderMap::new();
        let link = "<https://evil.example/x?per_page=100&cursor=v1_12%3D>; rel=\"next\", <https://a/>; rel=\"first\"";
        headers.insert(LINK, link.parse().unwrap());
        assert_eq!(cursor(&headers).as_deref(), Some("v1_12="));
        headers.insert(LINK, "<https://a/?cursor=x>; rel=\"prev\"".parse().unwrap());
        assert_eq!(cursor(&headers), None);
    }
}
