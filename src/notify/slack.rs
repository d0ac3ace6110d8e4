//! A letter as Slack's incoming webhooks take it (docs.slack.dev, "Sending messages using incoming webhooks").

use crate::notify::Letter;
use crate::trouble::{Outcome, Trouble};

/// Longest text of a section block, in characters (docs.slack.dev, "Section block").
const MAX_CHARS: usize = 3_000;

/// The JSON of a letter.
pub(super) fn body(letter: &Letter) -> Outcome<String> {
    let mut text = format!("*{}*", escaped(&letter.title));
    for line in &letter.lines {
        text.push_str("\n• ");
        text.push_str(&escaped(line));
    }
    let text = cut(&text);
    let link = format!("<{}|Look at it>", escaped(&letter.url));
    let body = serde_json::json!({
        // What a notification on a phone shows.
        "text": cut(&escaped(&letter.title)),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": link}]},
        ],
    });
    serde_json::to_string(&body).map_err(|e| Trouble::bug("write a message for Slack").because(e))
}

/// Slack's three characters of its own; with them nobody's text is a link, or calls a whole channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS - 1) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::letter;

    #[test]
    fn e06_no_text_of_a_release_calls_a_channel_or_makes_a_link() {
        let mut letter = letter();
        letter.title = "web v1 is live <!channel>".to_owned();
        letter.lines = vec!["feat: <https://evil.example|click> & more".to_owned(), "x".repeat(9_000)];
        let body: serde_json::Value = serde_json::from_str(&body(&letter).unwrap()).unwrap();
        let text = body["blocks"][0]["text"]["text"].as_str().unwrap();
        assert!(text.starts_with(
            "*web v1 is live &lt;!channel&gt;*\n• feat: &lt;https://evil.example|click&gt; &amp;"
        ));
        assert_eq!(text.chars().count(), MAX_CHARS);
        assert_eq!(body["text"], "web v1 is live &lt;!channel&gt;");
        let link = body["blocks"][1]["elements"][0]["text"].as_str().unwrap();
        assert_eq!(link, "<https://releases.example/releases/web/1|Look at it>");
    }
}
