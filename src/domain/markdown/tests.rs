//! What strangers write must not become markup, mentions, references or commands.

use proptest::prelude::*;

use super::*;

const HOSTILE: [&str; 12] = [
    "```",
    "````\n/approve prod\n````",
    "</details>",
    "@org/team",
    "![](http://t)",
    "#1",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "| a | b |",
    "www.example.com",
    "line one\r\n/ok-to-test\n@dependabot merge",
    "\u{202e}dorp\u{200b}\u{1b}[31m",
];

#[test]
fn t48_escaped_text_is_one_plain_line() {
    let cases = [
        ("```", "\\`\\`\\`"),
        ("</details>", "&lt;/details&gt;"),
        ("@org/team", "@&#8203;org/team"),
        ("![](http://t)", "\\!\\[\\](http:&#8203;//t)"),
        ("#1", "#&#8203;1"),
        ("fixes acme/web#12", "fixes acme/web#&#8203;12"),
        ("AT&T", "AT&amp;T"),
        ("a\nb\r\n\r\nc", "a b c"),
        ("*bold* _it_ ~no~ a|b \\", "\\*bold\\* \\_it\\_ \\~no\\~ a\\|b \\\\"),
        ("see www.example.com", "see www&#8203;.example.com"),
        ("- item", "\\- item"),
        ("--- ", "\\---"),
        ("1. first", "1\\. first"),
        ("/ok-to-test", "\\/ok-to-test"),
        ("a \u{202e}b\u{200b}c", "a bc"),
        ("fix: keep 1.5 and a/b", "fix: keep 1.5 and a/b"),
    ];
    for (text, want) in cases {
        assert_eq!(escape(text), want, "{text:?}");
    }
}

#[test]
fn t48_no_content_ends_a_code_block_or_span() {
    for text in HOSTILE {
        let block = fence(text);
        let lines: Vec<&str> = block.lines().collect();
        let opened = Fence::opened_by(lines[0]).unwrap();
        let ends: Vec<usize> = (1..lines.len()).filter(|n| opened.closed_by(lines[*n])).collect();
        assert_eq!(ends, [lines.len() - 1], "{block}");

        let span = inline_code(text);
        let ticks = span.chars().take_while(|c| *c == '`').count();
        let inner = span.trim_matches('`');
        assert!(longest_run(inner, '`') < ticks, "{span}");
        assert!(!span.contains('\n'));
    }
    assert_eq!(inline_code("a`b"), "``a`b``");
    assert_eq!(inline_code("`a`"), "`` `a` ``");
    assert_eq!(inline_code(""), "`  `");
}

#[test]
fn t15_no_line_of_strangers_is_a_command_for_another_bot() {
    for text in HOSTILE {
        for out in [escape(text), inline_code(text), fence(text)] {
            for line in out.lines() {
                assert!(!line.starts_with('/'), "{out}");
                assert!(!line.contains("@d") && !line.contains("@o"), "{out}");
            }
            assert!(!out.chars().any(|c| is_hidden(c) && !matches!(c, '\n' | INVISIBLE_BREAK)), "{out:?}");
        }
    }
}

#[test]
fn t48_a_long_comment_is_cut_and_closed() {
    let text = format!(
        "intro\n<details><summary>log</summary>\n\n{}\n\n</details>",
        fence(&"line @x\n".repeat(30_000))
    );
    let cut = truncate_balanced(&text, LONGEST_COMMENT);
    assert!(cut.chars().count() <= LONGEST_COMMENT);
    assert!(cut.chars().count() > LONGEST_COMMENT - 200);
    assert!(cut.contains("\n```\n\n</details>\n\n… cut here"), "{}", &cut[cut.len() - 200..]);

    let subject = "x".repeat(200_000);
    let cut = truncate_balanced(&format!("kept\n- `{subject}`\nafter"), LONGEST_COMMENT);
    assert!(cut.starts_with("kept\n\n… cut here"), "{}", &cut[..60]);
    assert_eq!(truncate_balanced("short", LONGEST_COMMENT), "short");
    assert_eq!(truncate_balanced("longer than five", 5), "… cu…");
}

#[test]
fn a_status_line_has_at_most_140_characters_and_no_torn_one() {
    assert_eq!(status_line("2 of 3\napprovals"), "2 of 3 approvals");
    let long = status_line(&"ä".repeat(300));
    assert_eq!(long.chars().count(), LONGEST_STATUS);
    assert!(long.ends_with('…'));
    assert_eq!(status_line(&"ä".repeat(140)), "ä".repeat(140));
}

proptest! {
    #[test]
    fn t48_whatever_comes_in_the_promises_hold(text in any::<String>(), limit in 60_usize..400) {
        let line = escape(&text);
        prop_assert!(!line.contains(['\n', '\r', '<', '>']));
        for mark in ["@", "#"] {
            prop_assert_eq!(line.matches(mark).count(), line.matches(&format!("{mark}&#8203;")).count()
                + if mark == "#" { line.matches("&#8203;").count() } else { 0 });
        }
        prop_assert!(status_line(&text).chars().count() <= LONGEST_STATUS);
        let comment = format!("{line}\n<details>\n\n{}\n\n</details>\n", fence(&text.repeat(3)));
        let cut = truncate_balanced(&comment, limit);
        prop_assert!(cut.chars().count() <= limit);
        let mut open = Open::default();
        cut.lines().for_each(|l| open.read(l));
        prop_assert!(open.fence.is_none());
        prop_assert_eq!(open.details, 0);
    }
}

#[test]
fn t48_a_sentence_has_code_and_nothing_else_of_strangers() {
    for (text, shown) in [
        (
            "is bad. Comment `/rollback prod -- reason` now, or `/hold`",
            "is bad. Comment `/rollback prod -- reason` now, or `/hold`",
        ),
        ("`a`b `c`", "`a`b `c`"),
        ("@org/team says `<b>` is *it*", "@&#8203;org/team says `<b>` is \\*it\\*"),
        ("one ` alone /x", "one \\` alone /x"),
        ("/x `y`", "\\/x `y`"),
    ] {
        assert_eq!(sentence(text), shown);
    }
    for hostile in HOSTILE {
        let shown = sentence(&format!("health says {hostile}. Comment `/rollback prod -- reason`."));
        assert!(!shown.contains('\n') && !shown.contains("@org") && !shown.contains("<script>"), "{shown}");
    }
}
