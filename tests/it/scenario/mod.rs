//! Scenario transcripts: each file is both input (`> …`) and the expected answers; `UPDATE=1` rewrites the answers.
//!
//! A release manager reads them top to bottom. Two seconds pass before every command, except after `at once`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, shows a few of many effects, and rewrites its own transcripts"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) mod invariants;
mod notation;
mod print;
pub(crate) mod speak;
mod world;

pub(crate) use world::World;

/// Declares one test per transcript, so that the rows they show stand in the names of tests.
macro_rules! scenarios {
    ($($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            run($file);
        })*

        #[test]
        fn every_transcript_is_run() {
            let mut files: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(Result::unwrap)
                .filter(|entry| entry.path().is_file())
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut named: Vec<String> = vec![$($file.to_owned()),*];
            named.sort();
            assert_eq!(files, named);
        }
    };
}

scenarios! {
    a01_c05_c09_c34_e08_e13_the_same_bytes_go_from_stage_to_stage "main-job.txt"
    e08_e10_t30_t44_what_was_built_already_is_taken_over "reused-builds.txt"
    d04_e08_a_good_answer_holds_for_the_same_bytes_for_a_time "answers-kept.txt"
    e08_e10_t29_t44_what_a_pull_request_built_is_what_its_merge_releases "reused-pull-requests.txt"
    t44_t45_what_became_true_is_signed_once "evidence.txt"
    d28_what_waits_for_people_is_a_list_with_the_comment_to_write "inbox.txt"
    d02_d07_d25_d38_t30_t31_t45_a_release_keeps_its_contract_in_every_ring "contract.txt"
    c27_c36_d04_a_failed_test_stops_the_release "failure.txt"
    e01_e02_one_of_several_stages_is_enough_and_a_stage_takes_its_branches_alone "needs-any.txt"
    e02_a_batch_collects_and_its_newest_goes "batch.txt"
    d04_e24_what_may_still_be_needed_is_kept "retention.txt"
    a31_t20_what_is_settable_is_set_for_one_release "settable.txt"
    b37_a_build_is_taken_out_of_the_queue "cancel-builds.txt"
    c14_cancel_what_waits_and_what_runs "cancel.txt"
    e13_a_rejection_ends_the_attempt "reject.txt"
    c28_nobody_approves_in_time "approval-timeout.txt"
    t25_t27_n_of_m_with_groups_and_exclusions "approvals.txt"
    t27_who_wrote_what_a_stage_has_not_had_does_not_approve_it "authors.txt"
    t27_who_pushed_what_a_stage_has_not_had_does_not_approve_it "pushers.txt"
    t18_a_late_yes_is_of_the_attempt_before "late-yes.txt"
    t7_t17_t28_c28_e13_an_approval_waits_and_falls_away "approval-waits.txt"
    d04_e12_newer_releases_supersede "supersede.txt"
    c14_e02_queues_all_and_manual "queues.txt"
    t31_e26_soak_and_overrides "soak.txt"
    t31_d11_overrides_on_the_record "overrides.txt"
    e21_windows_open_and_close "windows.txt"
    e21_nothing_but_rollbacks_passes_a_freeze "freeze.txt"
    c08_hold_and_unhold "hold.txt"
    e06_who_is_told_of_what "notices.txt"
    b09_b10_b11_e20_each_build_makes_a_release_of_all_last_builds "builds-any.txt"
    b11_b12_d04_all_builds_of_a_commit_make_one_release "builds-all.txt"
    b24_a_button_starts_a_release_with_what_it_is_given "button.txt"
    b14_releases_of_two_services_have_nothing_to_do_with_one_another "tracks.txt"
    b14_nobody_guesses_which_of_two_services_is_meant "tracks-meant.txt"
    e28_releases_of_a_time_and_trains "trains.txt"
    e28_what_a_train_takes_along_is_settled_at_its_cut_off "train-cut-off.txt"
    e28_e04_what_is_found_faulty_before_its_train_leaves_stays_behind "train-faulty.txt"
    e28_a_train_takes_one_version_of_every_component "components.txt"
    b11_builds_join_anew_since_the_release_before "builds-anew.txt"
    b09_b12_d03_builds_of_other_repositories_join "builds-elsewhere.txt"
    b11_b12_d03_all_builds_of_a_push_to_another_repository_join "builds-elsewhere-all.txt"
    d13_releases_and_stages_have_channels "channels.txt"
    d24_a_stage_stops_to_ask_people "pauses.txt"
    t24_e24_rollback "rollback.txt"
    e05_e24_going_back_by_itself "auto-rollback.txt"
    e05_e24_asking_before_going_back "auto-rollback-asks.txt"
    e15_environments_share_a_lock "environments.txt"
    e23_t57_targets_one_after_another "targets.txt"
    e23_e24_a_canary_is_watched_before_it_goes_on "canary.txt"
    e23_e24_t57_one_of_two_slots_is_live "slots.txt"
    t24_an_older_release_never_starts_over_a_newer_one "older-than-live.txt"
    t16_t18_t21_offers_are_never_guessed "offers.txt"
    d04_approvals_in_advance "advance-approval.txt"
    t14_t22_strangers_and_loops_run_dry "strangers.txt"
    b04_c09_late_and_double_pushes "late-push.txt"
    t35_e12_tags "tags.txt"
    t56_a_lost_worker_is_never_repeated "lost-worker.txt"
    t56_c14_two_workers_and_one_environment "two-workers.txt"
    c27_retries_with_backoff "retries.txt"
    t36_t37_a_commit_off_its_branch_does_not_start "off-branch.txt"
    t44_changed_bytes_never_start "tampered.txt"
    t29_t30_what_the_server_asks_no_manifest_takes_away "server-policy.txt"
    t29_t30_c30_policy_raised_and_lowered "policy.txt"
    b04_a_pull_request_is_checked_once "pull-request.txt"
    a_bare_approve_is_told_the_lines_that_work "misread.txt"
    where_everybody_may_read_a_preview_takes_write "public.txt"
    a13_a31_variables_are_there_before_a_stage_is_admitted "variables.txt"
    a11_names_and_numbers_count_what_they_name "names.txt"
    a15_c08_d12_e02_stages_of_every_shape "stages.txt"
    a29_what_cannot_start_has_not_happened "cannot-start.txt"
    a21_a23_t57_what_a_lost_run_stopped_is_not_forgotten "hooks.txt"
    d04_d07_d10_d11_d12_d14_d15_d16_d17_d18_d19_d20_d21_d25_d38_e03_legs "legs.txt"
    d04_d23_d27_e21_t46_gates "gates.txt"
    e04_monitoring "monitoring.txt"
    d09_d24_d29_d40_teams_of_the_manifest "teams.txt"
    d09_d26_d28_d29_d32_e03_e21_t27_t28_sign_off_after_the_deploy "post-approval.txt"
    d19_d23_d26_d29_t28_legs_then_gates_then_sign_offs "signoff-checks.txt"
    d28_t16_t27_t33_a_sign_off_names_its_team "signoff.txt"
    t25_t27_t28_t29_t30_t33_d28_signoffs_are_judged_like_approvals "signoff-trust.txt"
    d04_t24_t28_approvals_of_earlier_stages_are_taken_over "reuse.txt"
    e16_b36_runbooks_are_asked_for_agreed_to_and_never_repeated "runbooks.txt"
    e16_e21_runbooks_wait_for_freezes_and_windows "runbook-freezes.txt"
    e16_runbooks_start_at_their_times "runbook-times.txt"
    e01_e02_an_optional_stage_lets_nothing_through_that_failed_before_it "optional-stages.txt"
    e12_e24_releases_of_other_branches_take_nobodys_place "two-branches.txt"
    d23_e21_a_gate_that_was_green_is_red_for_long_before_it_rejects "flapping-gates.txt"
    e02_e24_what_cannot_start_keeps_no_queue_waiting "queue-goes-on.txt"
    d04_d23_nobody_can_tell_is_no_failure "nobody-can-tell.txt"
    c08_e24_holds_of_people_and_of_rollbacks "two-holds.txt"
    e26_a_soak_that_is_over_stays_over "soak-kept.txt"
    c08_e13_a_stage_that_was_renamed_still_hears "renamed-stage.txt"
    e24_a_rollback_that_never_was_changes_nothing "rollback-not-done.txt"
    e28_a_train_that_leaves_again_keeps_its_approvals "train-again.txt"
    c28_e02_the_time_to_answer_begins_when_people_can "waits-begin.txt"
    e24_a_rollback_that_failed_is_not_what_was_left "failed-rollback.txt"
    e24_a_stage_goes_back_to_what_last_succeeded_there "rollback-of-branches.txt"
    e24_c08_a_rollback_by_itself_starts_in_time_or_not_at_all "late-rollback.txt"
    c08_e24_a_rollback_holds_beside_somebodys_hold "held-twice.txt"
    e26_the_guard_of_a_soak_is_about_its_environment "guarded-environment.txt"
    e26_c28_who_a_guard_kept_out_is_asked_from_its_end "guard-ends.txt"
    e24_e28_c28_what_comes_after_a_stage_knows_nothing_of_a_lapsed_rollback "lapsed-before.txt"
    e26_e24_who_has_soaked_and_is_put_back_has_soaked "soak-put-back.txt"
    e02_c27_nothing_passes_what_is_tried_again "queue-retry.txt"
    e12_one_commit_on_two_branches_has_one_status "twice-released.txt"
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios")
}

/// Plays a transcript and compares, or rewrites it when asked to.
fn run(file: &str) {
    let path = folder().join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut world = World::new();
    let mut played = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "{line}").unwrap();
            let answer = speak::play(&mut world, command);
            if !answer.is_empty() {
                writeln!(played, "{}", print::indent(&answer, "  ")).unwrap();
            }
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(played, "{line}").unwrap();
        }
    }
    invariants::replays(&world.log, &world.state, world.now);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &played).unwrap();
    } else if expected != played {
        let first = expected.lines().zip(played.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let at = |text: &str| text.lines().nth(first).unwrap_or("(the end)").to_owned();
        panic!(
            "{file}, line {}:\n  expected {}\n  played   {}\n\n{played}\nUPDATE=1 rewrites the answers.",
            first + 1,
            at(&expected),
            at(&played)
        );
    }
}
