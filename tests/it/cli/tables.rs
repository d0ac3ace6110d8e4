//! Tables for auditors: read as CSV by its rules, they are field by field what the same rows are as JSON.

use serde_json::Value;

use super::{MANIFEST, Server, code, err, out, run};

/// Reads CSV as RFC 4180 has it: the first record are the names of the columns.
fn read(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match (quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => field.extend(chars.next()),
            (true, '"') => {
                quoted = false;
                let next = chars.peek();
                assert!(
                    next.is_none_or(|c| [',', '\n'].contains(c)),
                    "{next:?} behind a quoted field: {text}"
                );
            }
            (true, c) => field.push(c),
            (false, '"') => {
                assert_eq!(field, "", "a quote in the middle of a field: {text}");
                quoted = true;
            }
            (false, ',') => record.push(std::mem::take(&mut field)),
            (false, '\n') => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (false, c) => field.push(c),
        }
    }
    assert!(!quoted && field.is_empty() && record.is_empty(), "it breaks off: {text}");
    records
}

#[test]
fn e17_the_tables_of_deployments_and_overrides_are_read_field_by_field() {
    let server = Server::start();
    let manifest =
        MANIFEST.replace("approval: 1,", "approval: 1, soak: 24h, override: {from: [maintain], min: 1},");
    let commit = server.push(&[(".github/liftlock.yml", &manifest), ("page", "hello\n")], "feat: a page");
    server.until("prod soaks", |s| out(&s.ask(&["why", "latest", "prod"])).contains("soaks for 1d"));
    let reason = r#"=HYPERLINK("http://a.example","it is well"), said 'they'; see #12"#;
    for text in ["/approve prod v0.1.0-rc.1".to_owned(), format!("/override prod soak -- {reason}")] {
        let said = server.ask(&["comment", "shop", &commit, &text, "--as", "ana"]);
        assert_eq!(code(&said), 0, "{}", err(&said));
    }
    server.until("prod is live", |s| code(&s.ask(&["why", "latest", "prod"])) == 0);
    let root = server.stop();
    for (what, count) in [("deployments", 2), ("overrides", 1)] {
        let json = out(&run(root.path(), &["audit", what, "--json"]));
        let json: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut table = read(&out(&run(root.path(), &["audit", what])));
        let columns = table.remove(0);
        assert_eq!((json.len(), table.len()), (count, count), "{table:?}");
        for (row, object) in table.iter().zip(&json) {
            assert_eq!(row.len(), object.as_object().unwrap().len());
            for (field, column) in row.iter().zip(&columns) {
                let wanted = object[column].as_str().unwrap_or_else(|| panic!("{column} of {object}"));
                // A spreadsheet is told that this is text.
                let told = if wanted.starts_with('=') { format!("'{wanted}") } else { wanted.to_owned() };
                assert_eq!(*field, told, "{column}");
            }
        }
        let last = json.last().unwrap();
        if what == "overrides" {
            assert_eq!((&last["reason"], &last["by"]), (&reason.into(), &"ana".into()));
            continue;
        }
        assert!(last["approved_by"].as_str().unwrap().starts_with("ana at 20"), "{last}");
        let told = ["version", "commit", "stage", "attempt", "kind", "outcome"].map(|key| last[key].clone());
        let wanted = ["v0.1.0-rc.1", commit.as_str(), "prod", "1", "deploy", "live"].map(Value::from);
        assert_eq!(told, wanted);
        assert!(last["digest"].as_str().unwrap().starts_with("sha256:"), "{last}");
        let times = ["started_at", "ended_at"].map(|key| last[key].as_str().unwrap().to_owned());
        assert!(times[0].starts_with("20") && times[0] <= times[1], "{times:?}");
    }
}
