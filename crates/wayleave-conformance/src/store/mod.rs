//! What every [`SessionStore`] must do: each sentence of its documentation as a case, and the races that break it.

use std::sync::Arc;

use wayleave_core::ports::SessionStore;

use crate::bench::{Bench, Case, Fresh, Races, run_all};
use crate::macros::case_table;

mod ask;
mod census;
mod find;
mod insert;
mod limit;
mod list;
mod races;
mod revoke;
mod rotate;
mod sweep;
mod tickets;
mod touch;
mod update;

/// A store under test.
pub type Store = Arc<dyn SessionStore>;

#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            insert {
                adds_what_it_is_given,
                never_overwrites_an_id,
                never_overwrites_a_token,
                never_overwrites_what_it_replaces,
                ends_the_replaced_one,
                replaces_a_guest_of_another_slot,
                replaces_nothing_that_is_not_there,
                keeps_the_lineage_of_the_replaced_one,
                replaces_what_is_as_it_was,
                is_a_conflict_when_the_replaced_one_moved,
                refuses_what_is_too_long,
            }
            limit {
                evicts_the_oldest,
                evicts_the_least_recently_seen,
                refuses,
                ends_the_replaced_one_also_when_it_refuses,
                does_not_count_the_replaced_one,
                does_not_count_ended_ones,
                marks_what_it_does_not_count,
                what_was_opened_in_the_future_makes_room_first,
                what_was_opened_in_the_future_goes_on,
                counts_until_the_very_end,
                does_not_count_other_kinds,
                does_not_count_other_subjects,
                does_not_hold_for_guests,
                evicts_as_many_as_it_takes,
            }
            find {
                finds_by_token_id_and_refresh_token,
                finds_nothing_in_a_wrong_slot,
                finds_nothing_unknown,
                does_not_confuse_tokens,
                finds_expired_ones,
            }
            update {
                changes_every_field_that_may_change,
                leaves_alone_what_never_changes,
                is_refused_for_another_revision,
                goes_by_the_expected_revision_alone,
                never_creates,
                keeps_the_first_expiry,
                moves_the_end,
                holds_the_largest_record,
                refuses_what_is_too_long,
            }
            rotate {
                swaps_both_tokens,
                keeps_everything_else,
                counts_generations,
                counts_as_a_change,
                moves_activity_forward_only,
                never_passes_the_absolute_limit,
                renews_an_expired_token,
                finds_the_record_by_spent_tokens,
                repeats_the_identical_pair_within_the_window,
                closes_the_window_at_its_end,
                measures_the_window_in_both_directions,
                repeats_for_the_same_client_only,
                repeats_nothing_without_a_window,
                erases_pairs_by_their_age,
                erases_pairs_that_a_wrong_clock_dated,
                erases_so_many_pairs_at_a_time,
                ends_the_family_once_the_successor_was_used,
                ends_other_sessions_of_the_family,
                judges_reuse_before_expiry,
                changes_nothing_of_an_expired_session,
                knows_no_other_tokens,
                remembers_spent_tokens,
            }
            tickets {
                gives_what_was_deposited_once,
                gives_nothing_from_the_expiry_on,
                keeps_purposes_apart,
                never_overwrites,
                replaces_an_expired_one,
                an_expired_one_makes_room_for_its_successor,
                is_full_per_purpose,
                drops_expired_ones_before_it_is_full,
                carries_the_largest_payload,
                refuses_a_payload_that_is_too_large,
            }
            revoke {
                ends_one,
                ends_others,
                ends_all,
                ends_a_family,
                needs_the_right_slot,
                says_nothing_twice,
                leaves_nothing_to_find,
                lets_nothing_back,
                forgets_spent_tokens,
                ends_expired_ones_too,
            }
            list {
                gives_the_subjects_records_newest_first,
                gives_every_record_once_over_pages,
                gives_everybodys_records,
                goes_on_after_a_revoked_record,
                starts_over_at_an_unreadable_cursor,
                includes_ended_ones,
                gives_an_empty_page_of_nobody,
            }
            touch {
                moves_forward,
                never_moves_backward,
                without_an_idle_end_takes_it_away,
                is_no_revision,
                skips_what_is_gone,
                skips_what_was_found_expired,
                writes_many_at_once,
                moves_the_end,
            }
            sweep {
                removes_what_ended_before,
                removes_by_every_limit,
                removes_at_most_so_many,
                removes_expired_tickets,
                forgets_refresh_tokens,
            }
            census {
                counts_live_ones_by_kind_and_ended_ones,
                forgets_what_is_gone,
                answers_a_ping,
            }
            races {
                one_of_two_updates_wins,
                updates_and_rotations_do_not_undo_each_other,
                one_of_many_rotations_mints,
                rotations_without_a_window_end_the_family,
                a_rotation_does_not_outlive_a_revocation,
                an_update_does_not_outlive_a_revocation,
                a_cancelled_rotation_can_be_asked_again,
                a_ticket_is_taken_once,
                a_ticket_is_deposited_once,
                an_expired_ticket_is_replaced_once,
                tickets_stay_within_their_limit,
                inserts_at_the_limit_evict_exactly,
                inserts_at_the_limit_are_refused_exactly,
                revocation_and_inserts_agree,
                a_touched_session_is_not_swept,
                a_token_is_inserted_once,
                an_id_is_inserted_once,
                a_record_is_replaced_once,
                a_record_is_replaced_as_it_was_or_not_at_all,
                a_replacement_does_not_outlive_a_revocation,
                a_replacement_does_not_outlive_a_replay,
            }
        }
    };
}

const CASES: &[Case<Store>] = crate::__store_cases!([case_table]);

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Store>] {
    CASES
}

/// Runs every case, each on a fresh store.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn suite<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Store>>,
{
    run_all(CASES.iter(), Bench::new(make, Races::QUICK)).await;
}

/// Runs the races alone, as often as `races` says.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn race<M, F, R>(make: M, races: Races)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Store>>,
{
    run_all(CASES.iter().filter(|case| case.group == "races"), Bench::new(make, races)).await;
}
