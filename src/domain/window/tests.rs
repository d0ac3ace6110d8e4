//! The vectors, and what they leave open: several sources, long denies, no known end.

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("{}:00Z", text.trim_end_matches('Z'))).unwrap_or_else(|| panic!("{text}"))
}

fn weekly(days: &str, from: &str, to: &str) -> Weekly {
    let days = days.split(' ').map(|d| Weekday::of_word(d).unwrap()).collect();
    Weekly { name: None, days, from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn windows(tz: &str, allow: &[(&str, &str, &str)], deny: &[(&str, &str)]) -> Windows {
    let day = |text: &str| text.parse().unwrap();
    Windows {
        tz: tz.parse().unwrap(),
        allow: allow.iter().map(|(days, from, to)| weekly(days, from, to)).collect(),
        deny: deny
            .iter()
            .map(|(from, to)| Deny::Days { name: "year-end".to_owned(), from: day(from), to: day(to) })
            .collect(),
        must_finish: false,
        timeout: None,
    }
}

/// Opens or closes, when, and how that reads on the wall.
type Change = (bool, Timestamp, String);

/// Each block of `fixtures/windows.txt`: its name, and the changes it must show.
fn vectors() -> Vec<(String, Vec<Change>)> {
    let mut out: Vec<(String, Vec<_>)> = Vec::new();
    for line in include_str!("../../../fixtures/windows.txt").lines().filter(|l| !l.starts_with('#')) {
        let Some(change) = line.strip_prefix("    ") else {
            out.push((line.split(' ').next().unwrap().to_owned(), Vec::new()));
            continue;
        };
        let words: Vec<&str> = change.split_whitespace().collect();
        let local = words[2..].join(" ");
        out.last_mut().unwrap().1.push((words[0] == "open", at(words[1]), local));
    }
    out
}

/// Every change between two instants, as the scan finds them.
fn changes(all: &[Windows], from: &str, to: &str) -> Vec<(bool, Timestamp)> {
    let (mut now, end) = (at(from), at(to));
    let mut out = Vec::new();
    while let Some(next) = next_change(all, Half::Both, now).filter(|next| *next < end) {
        out.push((open(all, Half::Both, next), next));
        now = next;
    }
    out
}

#[test]
fn e21_every_vector_of_windows_opens_and_closes_as_it_says() {
    let oslo = "Europe/Oslo";
    let declared = [
        (
            "W1",
            windows(oslo, &[("mon tue wed thu fri", "09:00", "17:00")], &[]),
            "2026-03-27T00:00",
            "2026-03-30T22:00",
        ),
        ("W2", windows(oslo, &[("sun", "02:00", "03:00")], &[]), "2026-03-27T00:00", "2026-04-04T00:00"),
        ("W4", windows(oslo, &[("sun", "02:00", "03:00")], &[]), "2026-10-22T00:00", "2026-10-28T00:00"),
        (
            "W6",
            windows("America/New_York", &[("sat", "22:00", "02:30")], &[]),
            "2026-10-29T00:00",
            "2026-11-05T00:00",
        ),
        (
            "W8",
            windows("Australia/Lord_Howe", &[("sun", "01:45", "02:15")], &[]),
            "2026-04-02T00:00",
            "2026-04-08T00:00",
        ),
    ];
    let vectors = vectors();
    assert_eq!(
        vectors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        declared.each_ref().map(|d| d.0)
    );
    for ((name, expected), (_, windows, from, to)) in vectors.into_iter().zip(declared) {
        let found = changes(std::slice::from_ref(&windows), from, to);
        let plain: Vec<_> = expected.iter().map(|(open, at, _)| (*open, *at)).collect();
        assert_eq!(found, plain, "{name}");
        for (_, at, local) in expected {
            let zoned = instant(at).to_zoned(windows.tz.found());
            assert_eq!(zoned.strftime("%a %H:%M%z").to_string(), local, "{name}");
        }
        // The scan leaps; looking at every single minute must give the same.
        let mut now = at(from);
        let mut was = open(std::slice::from_ref(&windows), Half::Both, now);
        let mut seen = Vec::new();
        while now < at(to) {
            now = now.plus(Span::minutes(1));
            let is = open(std::slice::from_ref(&windows), Half::Both, now);
            if is != was {
                seen.push((is, now));
            }
            was = is;
        }
        assert_eq!(seen, plain, "{name}, minute by minute");
    }
}

#[test]
fn e21_the_other_examples_of_the_semantics_hold() {
    let gap = windows("Europe/Oslo", &[("sun", "01:30", "02:30")], &[]);
    let found = changes(std::slice::from_ref(&gap), "2026-03-28T00:00", "2026-03-30T00:00");
    assert_eq!(found, [(true, at("2026-03-29T00:30")), (false, at("2026-03-29T01:00"))]);
    let night = windows("America/New_York", &[("sat", "22:00", "02:30")], &[]);
    let found = changes(&[night], "2026-03-07T00:00", "2026-03-10T00:00");
    assert_eq!(found, [(true, at("2026-03-08T03:00")), (false, at("2026-03-08T07:00"))]);
    // A quarter of an hour in the fold opens twice.
    let twice = windows("Europe/Oslo", &[("sun", "02:15", "02:30")], &[]);
    assert_eq!(changes(&[twice], "2026-10-24T00:00", "2026-10-26T00:00").len(), 4);
    let whole = windows("UTC", &[("sat", "00:00", "24:00")], &[]);
    let found = changes(&[whole], "2026-03-06T00:00", "2026-03-09T00:00");
    assert_eq!(found, [(true, at("2026-03-07T00:00")), (false, at("2026-03-08T00:00"))]);
}

#[test]
fn e21_open_means_no_deny_and_no_allow_or_one_of_them() {
    let deny =
        windows("America/Los_Angeles", &[("tue wed thu", "09:00", "16:00")], &[("2026-12-18", "2027-01-04")]);
    let found = changes(std::slice::from_ref(&deny), "2026-12-17T12:00", "2027-01-06T00:00");
    let expected = [("2026-12-17T17:00", true), ("2026-12-18T00:00", false), ("2027-01-05T17:00", true)];
    assert_eq!(found, expected.map(|(text, open)| (open, at(text))));
    let (found, zone) = denied(std::slice::from_ref(&deny), at("2026-12-24T12:00")).unwrap();
    assert_eq!((found.called(), zone.to_string()), ("year-end".to_owned(), "America/Los_Angeles".to_owned()));
    let none = windows("UTC", &[], &[]);
    assert!(open(&[none], Half::Both, at("2026-12-24T12:00")));
}

#[test]
fn several_sources_are_open_together_or_not_at_all() {
    let oslo = windows("Europe/Oslo", &[("mon", "09:00", "17:00")], &[]);
    let york = windows("America/New_York", &[("mon", "09:00", "17:00")], &[]);
    let found = changes(&[oslo.clone(), york], "2026-03-01T00:00", "2026-03-08T00:00");
    assert_eq!(found, [(true, at("2026-03-02T14:00")), (false, at("2026-03-02T16:00"))]);
    let never = windows("Europe/Oslo", &[("tue", "09:00", "17:00")], &[]);
    assert_eq!(
        next_open(&[oslo, never], Half::Both, at("2026-03-01T00:00")),
        None,
        "they take turns for ever"
    );
}

#[test]
fn an_opening_long_enough_is_looked_for_and_may_not_exist() {
    let all = [windows("UTC", &[("mon", "09:00", "10:00"), ("wed", "09:00", "13:00")], &[])];
    let monday = at("2026-03-02T09:30");
    assert_eq!(next_open_for(&all, Half::Both, (Span::minutes(30), monday)), Some(monday));
    assert_eq!(next_open_for(&all, Half::Both, (Span::minutes(31), monday)), Some(at("2026-03-04T09:00")));
    assert_eq!(next_open_for(&all, Half::Both, (Span::hours(5), monday)), None);
    let closed = [windows("UTC", &[], &[("2026-03-01", "2028-01-01")])];
    assert_eq!(next_open(&closed, Half::Both, monday), None, "no end is known within a year");
    assert_eq!(denied_days_end(&closed, at("2026-06-01T00:00")), Some(at("2028-01-01T00:00")));
    assert_eq!(denied_days_end(&closed, at("2026-02-01T00:00")), None, "not begun");
}

#[test]
fn zones_days_and_times_are_checked() {
    assert_eq!("europe/oslo".parse::<Zone>().unwrap().to_string(), "Europe/Oslo");
    let error = |text: &str| text.parse::<Zone>().unwrap_err().to_string();
    assert_eq!(
        error("Oslo"),
        "`Oslo` is not a time zone of the IANA database, such as `Europe/Oslo` or `UTC`"
    );
    assert_eq!(
        error("Tokyo"),
        "`Tokyo` is not a time zone of the IANA database, such as `Asia/Tokyo` or `UTC`"
    );
    for text in ["+02:00", "", "Local", "Europe", "UTC+1"] {
        assert!(text.parse::<Zone>().is_err(), "{text}");
    }
    for text in ["9:00", "09:60", "24:01", "0900", "09:00:00", "-1:00", "25:00", ""] {
        assert!(text.parse::<Clock>().is_err(), "{text}");
    }
    for text in ["00:00", "09:05", "24:00"] {
        assert_eq!(text.parse::<Clock>().unwrap().to_string(), text);
    }
    for text in ["2026-02-30", "2026-2-3", "20260203", "2026-02-03T00:00", "tomorrow"] {
        assert!(text.parse::<Day>().is_err(), "{text}");
    }
    let day: Day = "2026-10-25".parse().unwrap();
    assert_eq!((day.weekday(), day.to_string()), (Weekday::Sun, "2026-10-25".to_owned()));
    assert_eq!(Zone::utc().start_of(day), Some(at("2026-10-25T00:00")));
    let oslo: Zone = "Europe/Oslo".parse().unwrap();
    assert_eq!(oslo.shown(at("2026-03-09T08:00")), "Mon 2026-03-09 09:00 Europe/Oslo");
    let gap = oslo.gaps().into_iter().next().unwrap();
    assert_eq!(gap, ("2026-03-29".parse().unwrap(), 120, 180));
    assert_eq!(Zone::utc().gaps(), []);
}

#[test]
fn stored_windows_read_back() {
    let all = windows("Europe/Oslo", &[("mon fri", "22:00", "02:00")], &[("2026-12-18", "2027-01-04")]);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        r#"{"tz":"Europe/Oslo","allow":[{"days":["mon","fri"],"from":"22:00","to":"02:00"}],"deny":[{"days":{"name":"year-end","from":"2026-12-18","to":"2027-01-04"}}],"must_finish":false}"#
    );
    assert_eq!(serde_json::from_str::<Windows>(&text).unwrap(), all);
}
