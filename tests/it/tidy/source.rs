//! Just enough reading of Rust for the rules: what is code, what is a comment, a text or a test.

/// One source file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path in the tree.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// Without comments and without the inside of texts; every line is where it was.
    pub(crate) code: String,
}

impl Source {
    /// Reads one file.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: strip(text, Texts::Drop) }
    }

    /// True when all of it is compiled for tests only.
    pub(crate) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"))
    }

    /// The code without its tests; every line is where it was.
    pub(crate) fn production(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let mut code = String::with_capacity(self.code.len());
        let mut rest = self.code.as_str();
        while let Some(at) = rest.find("#[cfg(test)]") {
            code.push_str(&rest[..at]);
            let len = item_len(&rest[at..]);
            code.extend(rest[at..at + len].chars().filter(|c| *c == '\n'));
            rest = &rest[at + len..];
        }
        code.push_str(rest);
        code
    }
}

/// How long the item at the start of the code is: up to its `;` or the end of its braces.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            ';' if depth == 0 => return at + 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// What becomes of texts between quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Texts {
    Keep,
    Drop,
}

/// The text without its comments; every line is where it was.
pub(crate) fn without_comments(text: &str) -> String {
    strip(text, Texts::Keep)
}

fn strip(text: &str, texts: Texts) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (len, keep) = token(&chars, at);
        let inside = &chars[at..at + len];
        match keep {
            Token::Code => out.extend(inside),
            Token::Text if texts == Texts::Keep => out.extend(inside),
            Token::Text => {
                out.push('"');
                out.extend(inside.iter().filter(|c| **c == '\n'));
                out.push('"');
            }
            Token::Comment => out.extend(inside.iter().filter(|c| **c == '\n')),
        }
        at += len;
    }
    out
}

enum Token {
    Code,
    Text,
    Comment,
}

/// How long the piece that starts here is, and what it is.
fn token(chars: &[char], at: usize) -> (usize, Token) {
    let rest = &chars[at..];
    let in_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => (until(rest, |i| rest[i] == '\n'), Token::Comment),
        ['/', '*', ..] => (block_len(rest), Token::Comment),
        ['"', ..] => (quoted_len(rest), Token::Text),
        ['r', '"' | '#', ..] if !in_word || chars[at - 1] == 'b' => match raw_len(rest) {
            Some(len) => (len, Token::Text),
            None => (1, Token::Code),
        },
        ['\'', '\\', _, tail @ ..] => (3 + until(tail, |i| tail[i] == '\'') + 1, Token::Text),
        ['\'', _, '\'', ..] => (3, Token::Text),
        _ => (1, Token::Code),
    }
}

fn until(chars: &[char], ends: impl Fn(usize) -> bool) -> usize {
    (0..chars.len()).find(|i| ends(*i)).unwrap_or(chars.len())
}

fn block_len(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_len(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_len(rest: &[char]) -> Option<usize> {
    let marks = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + marks) != Some(&'"') {
        return None;
    }
    let ends = |i: usize| {
        i > 1 + marks && rest[i] == '"' && rest[i + 1..].iter().take_while(|c| **c == '#').count() >= marks
    };
    Some((until(rest, ends) + 1 + marks).min(rest.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The lines on which a text stands.
pub(crate) fn lines_with(code: &str, needle: &str) -> Vec<usize> {
    code.match_indices(needle).map(|(at, _)| line_of(code, at)).collect()
}

/// The lines on which a whole word stands.
pub(crate) fn find_word(code: &str, word: &str) -> Vec<usize> {
    let whole = |at: usize| {
        !code[..at].chars().next_back().is_some_and(is_word)
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    };
    code.match_indices(word).filter(|(at, _)| whole(*at)).map(|(at, _)| line_of(code, at)).collect()
}

/// What is named right after `root::`, also in `root::{a, b::c}`, with its line.
pub(crate) fn after_path(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(&format!("{root}::")) {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let start = at + root.len() + 2;
        let Some(group) = code[start..].strip_prefix('{') else {
            found.push((line_of(code, at), word_at(&code[start..])));
            continue;
        };
        for item in group_items(group) {
            let item = start + 1 + item;
            found.push((line_of(code, item), word_at(&code[item..])));
        }
    }
    found
}

fn word_at(code: &str) -> String {
    code.chars().take_while(|c| is_word(*c)).collect()
}

/// Where each item of a `{…}` group begins.
fn group_items(group: &str) -> Vec<usize> {
    let mut items = Vec::new();
    let mut depth = 0_usize;
    let mut begins = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && is_word(c) => {
                items.push(at);
                begins = false;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn code_comments_and_texts_are_told_apart() {
    let text = "a // b\n\"c // d\" /* e /* f */\n*/ 'g' '\\'' &'h i r#\"j\"k\"# br\"l\" \"\\\"m\" n";
    assert_eq!(strip(text, Texts::Drop), "a \n\"\" \n \"\" \"\" &'h i \"\" b\"\" \"\" n");
    assert_eq!(without_comments("a // b\n\"c // d\""), "a \n\"c // d\"");
}

#[test]
fn production_ends_where_tests_begin() {
    let text = "//! X.\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\nfn c() {}\n#[cfg(test)]\nmod testing;\n";
    assert_eq!(Source::new("src/x.rs", text).production(), "\nfn a() {}\n\n\n\n\nfn c() {}\n\n\n");
    assert_eq!(Source::new("src/x/tests.rs", text).production(), "");
}

#[test]
fn paths_are_found_alone_and_in_groups() {
    let code = "use crate::a::b;\nuse crate::{\n    c, d::{e, f},\n    g as h,\n};\nmycrate::i\n";
    let expected = [(1, "a"), (3, "c"), (3, "d"), (4, "g")].map(|(line, name)| (line, name.to_owned()));
    assert_eq!(after_path(code, "crate"), expected);
    assert_eq!(find_word("test tests\n(test)", "test"), [1, 2]);
}
