#define CAF_SUITE silo_plan

#include "sql/silo_plan.hpp"

#include <vector>

#include <caf/test/dsl.hpp>

using namespace kgents::sql;

namespace {

std::vector<silo_step> way(silo_state at, silo_facts known) {
  std::vector<silo_step> out;
  for (auto what = next_step(at, known); what != silo_step::wait && out.size() < 20;
       what = next_step(at, known)) {
    out.push_back(what);
    at = after(what, at);
    known.copied = known.copied || what == silo_step::copy;
    known.purge_due = known.purge_due && what != silo_step::purge;
    known.outdated = known.outdated && what != silo_step::upgrade;
    if (what == silo_step::undo)
      break;
  }
  return out;
}

using steps = std::vector<silo_step>;

}  // namespace

CAF_TEST(a_silo_that_is_asked_for_comes_to_be_in_five_steps) {
  const steps all{silo_step::begin, silo_step::create, silo_step::migrate, silo_step::copy,
                  silo_step::cut_over};
  CAF_CHECK(way(silo_state::requested, {}) == all);
}

CAF_TEST(from_every_state_the_rest_of_the_way_is_taken) {
  const steps all{silo_step::begin, silo_step::create, silo_step::migrate, silo_step::copy,
                  silo_step::cut_over};
  for (size_t i = 0; i < all.size(); ++i) {
    const auto at = static_cast<silo_state>(i);
    CAF_CHECK(way(at, {.copied = at == silo_state::cutover}) == steps(all.begin() + i, all.end()));
  }
}

CAF_TEST(without_a_copy_nothing_is_cut_over) {
  CAF_CHECK(next_step(silo_state::cutover, {}) == silo_step::copy);
}

CAF_TEST(what_stayed_behind_goes_when_it_is_due_and_once) {
  CAF_CHECK(next_step(silo_state::active, {}) == silo_step::wait);
  CAF_CHECK(way(silo_state::active, {.purge_due = true}) == steps{silo_step::purge});
  for (auto at : {silo_state::copying, silo_state::cutover, silo_state::failed})
    CAF_CHECK(next_step(at, {.copied = true, .purge_due = true}) != silo_step::purge);
}

CAF_TEST(the_schema_comes_before_the_purge) {
  const steps both{silo_step::upgrade, silo_step::purge};
  CAF_CHECK(way(silo_state::active, {.outdated = true, .purge_due = true}) == both);
}

CAF_TEST(it_can_be_given_up_until_it_is_in_use) {
  for (auto at : {silo_state::requested, silo_state::creating, silo_state::migrating,
                  silo_state::copying, silo_state::cutover, silo_state::failed})
    CAF_CHECK(next_step(at, {.cancel = true, .copied = true}) == silo_step::undo);
  CAF_CHECK(next_step(silo_state::active, {.cancel = true}) == silo_step::wait);
}

CAF_TEST(a_failed_one_waits_to_be_asked_for_again) {
  CAF_CHECK(next_step(silo_state::failed, {}) == silo_step::wait);
}

CAF_TEST(a_copy_begins_anew_after_trouble) {
  CAF_CHECK(after_trouble(silo_state::cutover) == silo_state::copying);
  CAF_CHECK(after_trouble(silo_state::migrating) == silo_state::migrating);
}

CAF_TEST(states_are_written_as_they_are_read) {
  for (int i = 0; i < 7; ++i) {
    const auto x = static_cast<silo_state>(i);
    CAF_CHECK(parse_silo_state(to_string(x)) == x);
  }
  CAF_CHECK(!parse_silo_state("gone"));
}
