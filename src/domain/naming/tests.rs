//! Templates: tokens, counters and what is refused.

use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-03-01T23:59:58Z").unwrap()
}

fn look_up(name: &str) -> Option<String> {
    match name.to_lowercase().as_str() {
        "prefix" => Some("acme".to_owned()),
        "build.buildnumber" => Some("20260301.4".to_owned()),
        "lines" => Some("a\nb".to_owned()),
        "long" => Some("x".repeat(300)),
        _ => None,
    }
}

/// The name with the first value of its counter, and its key.
fn render(template: &str) -> String {
    render_in("UTC", template)
}

fn render_in(zone: &str, template: &str) -> String {
    let zone = zone.parse().unwrap();
    let rendered = template.parse::<Template>().and_then(|t| t.render((now(), &zone), &look_up));
    match rendered.and_then(|r| Ok((r.with(7)?, r.key()))) {
        Ok((name, key)) => format!("{name} | {key}"),
        Err(error) => format!("! {error}"),
    }
}

#[test]
fn a11_a_name_of_tokens_and_a_counter_of_everything_else() {
    assert_eq!(
        render("$(prefix).Invictus.Framework $(Build.BuildNumber)_$(rev:r)"),
        "acme.Invictus.Framework 20260301.4_7 | acme.Invictus.Framework 20260301.4_"
    );
    assert_eq!(render(BUILD_NUMBER), "20260301.7 | 20260301.");
    assert_eq!(render(DEFAULT_NAME), "Release-7 | Release-");
    assert_eq!(render("$(REV:rrr)/$(date:yy.MM.dd-HHmmss)"), "007/26.03.01-235958 | /26.03.01-235958");
    assert_eq!(render("no counter"), "no counter | no counter");
}

#[test]
fn a11_the_day_of_a_name_is_the_one_of_its_zone() {
    assert_eq!(render_in("Europe/Oslo", BUILD_NUMBER), "20260302.7 | 20260302.");
    assert_eq!(
        render_in("America/Los_Angeles", "$(Date:yyyy-MM-dd_HHmm)"),
        "2026-03-01_1559 | 2026-03-01_1559"
    );
}

#[test]
fn what_is_no_name() {
    for (template, told) in [
        ("", "! it is empty"),
        ("$(Rev:r", "! a `$(` has no `)`"),
        ("$(Rev:r)$(Rev:r)", "! it counts twice: one `$(Rev:r)` is enough"),
        ("$(Rev:)", "! `$(Rev:)` is not `$(Rev:r)` with 1 to 9 `r`"),
        ("$(Rev:x)", "! `$(Rev:x)` is not `$(Rev:r)` with 1 to 9 `r`"),
        (
            "$(Date:yyyyQ)",
            "! `$(Date:yyyyQ)` is not made of `yyyy`, `yy`, `MM`, `dd`, `HH`, `mm`, `ss` and `.`, `-`, `_`",
        ),
        ("a\nb", "! it holds a control character"),
        ("$(lines)", "! it holds a control character"),
        ("$(long)", "! it has 300 characters, more than 255"),
        ("$(nothing)", "! `$(nothing)` names no variable of the release"),
    ] {
        assert_eq!(render(template), told);
    }
}

#[test]
fn a_stored_template_is_its_text() {
    let template: Template = "$(prefix)-$(Rev:rr)".parse().unwrap();
    let stored = serde_json::to_string(&template).unwrap();
    assert_eq!(stored, "\"$(prefix)-$(Rev:rr)\"");
    assert_eq!(serde_json::from_str::<Template>(&stored).unwrap(), template);
    assert!(serde_json::from_str::<Template>("\"$(\"").is_err());
}
