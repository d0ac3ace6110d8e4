//! The one place where names become parts of a path (GITHUB.md A4).

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
