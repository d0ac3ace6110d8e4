//! The one place where names become parts of a path (GITHUB.md A4), and where they are taken out again to count.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one segment of a path or one value of a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A branch or tag name as the tail of a path: its slashes stay, everything else is encoded.
pub(super) fn segments(text: &str) -> String {
    text.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The words of GitHub's own paths that we ask for; everything else in a path is somebody's name or number.
const WORDS: &[&str] = &[
    "access_tokens",
    "actions",
    "app",
    "artifacts",
    "assets",
    "attempts",
    "check-runs",
    "collaborators",
    "comments",
    "commits",
    "deliveries",
    "git",
    "hook",
    "hooks",
    "installation",
    "installations",
    "issues",
    "memberships",
    "orgs",
    "permission",
    "pulls",
    "reactions",
    "ref",
    "refs",
    "releases",
    "repos",
    "repositories",
    "runs",
    "search",
    "statuses",
    "tags",
    "teams",
    "token",
    "user",
    "users",
    "zip",
];
/// Most parts of a path that a template keeps: our longest path has seven, and a tag of many parts must not make
/// many templates.
const MAX_PARTS: usize = 8;

/// The path of a request with `{}` for names and numbers, for metrics: few, and nobody's.
pub(super) fn template(target: &str) -> String {
    let path =
        target.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(target, |(_, path)| path);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let mut out = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()).take(MAX_PARTS) {
        match WORDS.iter().find(|word| **word == part) {
            Some(word) => {
                out.push('/');
                out.push_str(word);
            }
            None if !out.ends_with("{}") => out.push_str("/{}"),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::name::RefName;

    #[test]
    fn nothing_in_a_name_ends_its_segment() {
        assert_eq!(segment("a#b?c&d=/e%"), "a%23b%3Fc%26d%3D%2Fe%25");
        assert_eq!(segments("release/1.x+2"), "release/1.x%2B2");
        assert_eq!(segment("dependabot[bot]"), "dependabot%5Bbot%5D");
    }

    #[test]
    fn a_template_has_no_name_of_anybody() {
        for (target, expected) in [
            ("/repositories/4711/statuses/0f1e", "/repositories/{}/statuses/{}"),
            ("/repos/acme/web", "/repos/{}"),
            (
                "/repositories/4711/commits/0f1e/check-runs?check_name=a%2Fb&page=2",
                "/repositories/{}/commits/{}/check-runs",
            ),
            (
                "https://uploads.github.com/repositories/7/releases/9/assets?name=x",
                "/repositories/{}/releases/{}/assets",
            ),
            ("/repositories/7/git/ref/tags/a/b/c/d/e/f/g", "/repositories/{}/git/ref/tags/{}"),
            ("/app", "/app"),
        ] {
            assert_eq!(template(target), expected);
        }
        let many = format!("/repositories/7/releases/tags/{}", "user/".repeat(90));
        assert_eq!(template(&many).matches("user").count(), 4);
    }

    proptest! {
        #[test]
        fn any_legal_git_ref_round_trips(text in r#"[a-z0-9!"\#$%&'()+,;<=>@_|}åéü][a-zA-Z!"\#$%&'()+,;<=>{}|@_åéü-]{0,20}(/[a-z0-9#%&+_-]{1,12}){0,2}"#) {
            prop_assume!(text.parse::<RefName>().is_ok());
            let path = format!("/git/ref/tags/{}", segments(&text));
            let uri: hyper::Uri = path.parse().unwrap();
            prop_assert_eq!(uri.query(), None);
            let tail = uri.path().strip_prefix("/git/ref/tags/").unwrap();
            prop_assert_eq!(percent_decode_str(tail).decode_utf8().unwrap(), text);
        }
    }
}
