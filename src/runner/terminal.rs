//! Bytes of a process become text for a log: valid UTF-8, without control characters and terminal sequences.

/// Turns output into printable text, piece by piece; tab and line break stay, a lone carriage return is a line break.
#[derive(Debug, Default)]
pub struct Printable {
    /// The start of a character whose rest has not come yet; at most three bytes.
    undecoded: Vec<u8>,
    place: Place,
}

/// Where in the terminal's language the last character left us (ECMA-48 §5.3, §5.4, §5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Text,
    /// After a carriage return, which was written as a line break.
    Return,
    /// After ESC.
    Escape,
    /// In a control sequence, up to its final letter.
    Control,
    /// In a title, a link or a device string, up to its terminator. A line break ends it too, or a stray start would
    /// swallow the rest of the log.
    String,
}

impl Printable {
    /// Takes the next bytes and appends their text to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let mut all = std::mem::take(&mut self.undecoded);
        all.extend_from_slice(bytes);
        let mut rest = all.as_slice();
        while !rest.is_empty() {
            let (valid, broken) = match std::str::from_utf8(rest) {
                Ok(text) => (text.len(), Some(0)),
                Err(e) => (e.valid_up_to(), e.error_len()),
            };
            let (text, after) = rest.split_at_checked(valid).unwrap_or_default();
            for c in std::str::from_utf8(text).unwrap_or_default().chars() {
                self.take(c, out);
            }
            let Some(broken) = broken else {
                self.undecoded = after.to_vec();
                break;
            };
            if broken > 0 {
                self.take(char::REPLACEMENT_CHARACTER, out);
            }
            rest = after.get(broken..).unwrap_or_default();
        }
    }

    /// Says that nothing follows, and is ready for the next process.
    pub fn finish(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.undecoded).is_empty() {
            self.take(char::REPLACEMENT_CHARACTER, out);
        }
        self.place = Place::Text;
    }

    fn take(&mut self, c: char, out: &mut String) {
        let before = std::mem::take(&mut self.place);
        match (before, c) {
            (Place::Return, '\n') => {}
            (_, '\n') => out.push('\n'),
            (_, '\u{1b}') => self.place = Place::Escape,
            (Place::Escape, '[') => self.place = Place::Control,
            (Place::Escape, ']' | 'P' | 'X' | '^' | '_') => self.place = Place::String,
            (Place::Escape, ' '..='/') => self.place = Place::Escape,
            (Place::Escape, '0'..='~') | (Place::Control, '@'..='~') => {}
            (Place::Control, ' '..='?') => self.place = Place::Control,
            (Place::String, '\u{7}' | '\u{9c}') => {}
            (Place::String, _) => self.place = Place::String,
            (Place::Text | Place::Return | Place::Escape | Place::Control, _) => self.plain(c, out),
        }
    }

    fn plain(&mut self, c: char, out: &mut String) {
        match c {
            '\r' => {
                self.place = Place::Return;
                out.push('\n');
            }
            '\t' => out.push('\t'),
            '\u{9b}' => self.place = Place::Control,
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.place = Place::String,
            other if other.is_control() => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printable(pieces: &[&[u8]]) -> String {
        let mut out = String::new();
        let mut stream = Printable::default();
        for piece in pieces {
            stream.push(piece, &mut out);
        }
        stream.finish(&mut out);
        out
    }

    #[test]
    fn t50_escapes_and_controls_are_stripped_wherever_they_are_cut() {
        let cases = [
            ("a\u{1b}[31;1mred\u{1b}[0m b", "ared b"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "xlink"),
            ("\u{1b}(Bx\u{1b}7y\u{1b}Pq#0\u{1b}\\z", "xyz"),
            ("\u{9b}31mred\u{9d}title\u{9c}!", "red!"),
            ("bell\u{7} back\u{8}space nul\0 del\u{7f} nel\u{85}.", "bell backspace nul del nel."),
            ("\u{1b}]never ends\nnext\tline", "\nnext\tline"),
            ("10%\r20%\r\ndone\r", "10%\n20%\ndone\n"),
            ("\u{1b}\u{1b}[1mx\u{1b}[\u{e9}", "x\u{e9}"),
            ("gr\u{fc}n \u{1f6a2}", "gr\u{fc}n \u{1f6a2}"),
        ];
        for (text, expected) in cases {
            let bytes = text.as_bytes();
            assert_eq!(printable(&[bytes]), expected, "{text:?}");
            for cut in 0..bytes.len() {
                assert_eq!(printable(&[&bytes[..cut], &bytes[cut..]]), expected, "{text:?} at {cut}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(printable(&single), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        assert_eq!(printable(&[b"a\xff\xfeb\xc3"]), "a\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(printable(&[b"\xf0\x9f", b"\x9a\xa2"]), "\u{1f6a2}");
        assert_eq!(printable(&[b"\xf0\x9f", b"x"]), "\u{fffd}x");
    }
}
