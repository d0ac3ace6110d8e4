//! Read models and logs: written with the step, found by every name people use, and rebuilt.

use liftlock::store::model::{PipelineRow, ReleaseRow, RepositoryRow, Row, StageRow};
use liftlock::store::step::Step;

use super::{NOW, Place, on_both};

on_both! {
    releases_are_found_by_every_name
    a_row_is_written_over_the_one_before
    read_models_are_emptied_and_facts_stay
    a_log_reads_back_line_by_line
}

fn release(stream: &str, no: u32) -> ReleaseRow {
    ReleaseRow {
        stream: stream.to_owned(),
        no,
        seq: i64::from(no),
        version: format!("1.{no}.0"),
        commit: format!("{no:040x}"),
        digest: (no > 1).then(|| format!("sha256:ab{no:062x}")),
        state: "open".to_owned(),
        title: "Release".to_owned(),
        created_at: super::Timestamp(NOW.0 + i64::from(no)),
        updated_at: NOW,
        summary: "{}".to_owned(),
    }
}

fn stage(no: u32, name: &str, position: u32) -> StageRow {
    StageRow {
        stream: "s".to_owned(),
        no,
        stage: name.to_owned(),
        position,
        attempt: 1,
        state: "waiting".to_owned(),
        digest: None,
        line: "waits for an approval".to_owned(),
        next_at: Some(NOW),
        updated_at: NOW,
    }
}

fn pipeline() -> PipelineRow {
    PipelineRow {
        stream: "s".to_owned(),
        repo_id: "7".to_owned(),
        repo_name: "acme/app".to_owned(),
        name: "main".to_owned(),
        settings: "{}".to_owned(),
    }
}

fn repository() -> RepositoryRow {
    RepositoryRow {
        repo_id: "7".to_owned(),
        host: "github".to_owned(),
        name: "acme/app".to_owned(),
        default_branch: "main".to_owned(),
        settings: "{}".to_owned(),
    }
}

async fn write(place: &Place, rows: Vec<Row>) {
    place.store.commit(Step { rows, ..Step::default() }).await.unwrap();
}

async fn releases_are_found_by_every_name(place: &Place) {
    let store = &place.store;
    let mut rows: Vec<Row> = (1..=5).map(|no| Row::Release(release("s", no))).collect();
    rows.push(Row::Release(release("t", 2)));
    for no in 1..=5 {
        rows.push(Row::Stage(stage(no, "prod", 2)));
        rows.push(Row::Stage(stage(no, "beta", 1)));
    }
    write(place, rows).await;

    assert_eq!(store.release("s", 3).await.unwrap(), Some(release("s", 3)));
    assert_eq!(store.release("s", 9).await.unwrap(), None);
    assert_eq!(store.release_by_version("s", "1.4.0").await.unwrap(), Some(release("s", 4)));
    assert_eq!(store.release_by_version("t", "1.4.0").await.unwrap(), None);
    let same = store.releases_by_commit(&release("s", 2).commit, 10).await.unwrap();
    assert_eq!(same, [release("s", 2), release("t", 2)]);
    assert_eq!(store.releases_by_commit("0000", 3).await.unwrap().len(), 3);
    assert_eq!(store.releases_by_digest("sha256:ab", 10).await.unwrap().len(), 5);
    let exact = release("s", 5).digest.unwrap();
    assert_eq!(store.releases_by_digest(&exact, 10).await.unwrap(), [release("s", 5)]);
    assert_eq!(store.releases_by_digest("sha256:f", 10).await.unwrap(), []);

    let page = store.latest_releases("s", 2, Some(4)).await.unwrap();
    assert_eq!(page, [release("s", 3), release("s", 2)]);
    let grid = store.grid("s", 2).await.unwrap();
    assert_eq!(grid.len(), 2);
    assert_eq!(grid[0], (release("s", 5), vec![stage(5, "beta", 1), stage(5, "prod", 2)]));
    assert_eq!(grid[1].0.no, 4);
    assert_eq!(store.grid("none", 2).await.unwrap(), []);
}

async fn a_row_is_written_over_the_one_before(place: &Place) {
    let store = &place.store;
    let rows = vec![
        Row::Repository(repository()),
        Row::Pipeline(pipeline()),
        Row::Release(release("s", 1)),
        Row::Stage(stage(1, "prod", 1)),
    ];
    write(place, rows).await;
    let renamed = RepositoryRow { name: "acme/boat".to_owned(), ..repository() };
    let moved = PipelineRow { repo_name: "acme/boat".to_owned(), ..pipeline() };
    let sealed =
        ReleaseRow { digest: Some("sha256:1".to_owned()), state: "sealed".to_owned(), ..release("s", 1) };
    let reached = StageRow {
        attempt: 2,
        state: "done".to_owned(),
        digest: sealed.digest.clone(),
        next_at: None,
        ..stage(1, "prod", 1)
    };
    let rows = vec![
        Row::Repository(renamed.clone()),
        Row::Pipeline(moved.clone()),
        Row::Release(sealed.clone()),
        Row::Stage(reached.clone()),
    ];
    write(place, rows).await;
    assert_eq!(store.repositories().await.unwrap(), std::slice::from_ref(&renamed));
    assert_eq!(store.repository("7").await.unwrap(), Some(renamed));
    assert_eq!(store.pipelines().await.unwrap(), std::slice::from_ref(&moved));
    assert_eq!(store.pipeline("s").await.unwrap(), Some(moved));
    assert_eq!(store.grid("s", 10).await.unwrap(), [(sealed, vec![reached])]);
}

async fn read_models_are_emptied_and_facts_stay(place: &Place) {
    let store = &place.store;
    store.commit(super::appending("s", 0, &["opened"])).await.unwrap();
    let rows = vec![
        Row::Repository(repository()),
        Row::Pipeline(pipeline()),
        Row::Release(release("s", 1)),
        Row::Stage(stage(1, "prod", 1)),
    ];
    write(place, rows).await;
    store.clear_read_models().await.unwrap();
    assert_eq!(store.pipelines().await.unwrap(), []);
    assert_eq!(store.latest_releases("s", 10, None).await.unwrap(), []);
    assert_eq!(store.stages("s", 0, 9).await.unwrap(), []);
    assert_eq!(store.repositories().await.unwrap().len(), 1, "where to look is no read model");
    assert_eq!(store.read("s", 0, 10).await.unwrap().events.len(), 1);
}

async fn a_log_reads_back_line_by_line(place: &Place) {
    let store = &place.store;
    let log = "release/acme/app/main/1/prod/1";
    let line = |no: i64| if no % 7 == 0 { format!("line {no}\nwith \0 more") } else { format!("line {no}") };
    for first in (1..=1000).step_by(10) {
        let lines: Vec<String> = (first..first + 10).map(line).collect();
        store.append_log(log, first, &lines).await.unwrap();
        store.append_log(log, first, &lines).await.unwrap();
    }
    store.append_log("another", 1, &["x".to_owned()]).await.unwrap();
    store.append_log(log, 1001, &[]).await.unwrap();

    let all = store.read_log(log, 1, 5000).await.unwrap();
    assert_eq!(all.len(), 1000);
    assert!(all.iter().zip(1..).all(|(got, no)| got.no == no && got.text == line(no)));
    let some = store.read_log(log, 995, 3).await.unwrap();
    assert_eq!(some.iter().map(|got| got.no).collect::<Vec<_>>(), [995, 996, 997]);
    assert_eq!(store.read_log(log, 1001, 10).await.unwrap(), []);
    assert_eq!(store.read_log("none", 1, 10).await.unwrap(), []);
}
