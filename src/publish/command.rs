//! Feeds with clients of their own (`NuGet`, npm, apt, a snap store): commands of the config upload and prove.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// The exit code by which `validate` says that the version is there and is something else.
pub const SOMETHING_ELSE: i32 = 3;

/// A feed that commands of the server's config speak with.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Uploads what `{files}` holds; no shell reads its words.
    pub upload: Vec<String>,
    /// Ends with 0 when everybody gets the same, with [`SOMETHING_ELSE`] when they get something else.
    pub validate: Vec<String>,
    /// What both find in their environment.
    pub environment: BTreeMap<String, String>,
    /// The same, out of sight.
    pub secrets: BTreeMap<String, Secret>,
}

/// The words of a command with `{files}`, `{artifacts}` and `{version}` filled in; what is filled in is not looked at
/// again.
pub fn words(argv: &[String], values: &[(&str, String)]) -> Vec<String> {
    argv.iter().map(|word| filled(word, values)).collect()
}

fn filled(word: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let known = values
            .iter()
            .find_map(|(name, value)| Some((value, after.strip_prefix(name)?.strip_prefix('}')?)));
        rest = if let Some((value, behind)) = known {
            out.push_str(value);
            behind
        } else {
            out.push('{');
            after
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t20_words_stay_words_and_values_are_not_read_again() {
        let argv = ["twine", "--out={version}", "{files}/{x}", "a{b", "{version"].map(str::to_owned);
        let values = [("version", "v1 {files}".to_owned()), ("files", "/f; rm".to_owned())];
        assert_eq!(words(&argv, &values), ["twine", "--out=v1 {files}", "/f; rm/{x}", "a{b", "{version"]);
    }
}
