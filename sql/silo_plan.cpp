#include "sql/silo_plan.hpp"

#include <array>

namespace kgents::sql {

namespace {

constexpr std::array<std::string_view, 7> states{"requested", "creating", "migrating", "copying",
                                                 "cutover",   "active",   "failed"};
constexpr std::array<std::string_view, 9> steps{"wait",     "begin",   "create", "migrate", "copy",
                                                "cut_over", "upgrade", "purge",  "undo"};

}  // namespace

silo_step next_step(silo_state at, const silo_facts& known) noexcept {
  if (known.cancel && at != silo_state::active)
    return silo_step::undo;
  switch (at) {
    case silo_state::requested:
      return silo_step::begin;
    case silo_state::creating:
      return silo_step::create;
    case silo_state::migrating:
      return silo_step::migrate;
    case silo_state::copying:
      return silo_step::copy;
    case silo_state::cutover:
      return known.copied ? silo_step::cut_over : silo_step::copy;
    case silo_state::active:
      if (known.outdated)
        return silo_step::upgrade;
      return known.purge_due ? silo_step::purge : silo_step::wait;
    case silo_state::failed:
      break;
  }
  return silo_step::wait;
}

silo_state after(silo_step done, silo_state at) noexcept {
  switch (done) {
    case silo_step::begin:
      return silo_state::creating;
    case silo_step::create:
      return silo_state::migrating;
    case silo_step::migrate:
      return silo_state::copying;
    case silo_step::copy:
      return silo_state::cutover;
    case silo_step::cut_over:
      return silo_state::active;
    case silo_step::wait:
    case silo_step::upgrade:
    case silo_step::purge:
    case silo_step::undo:
      break;
  }
  return at;
}

silo_state after_trouble(silo_state at) noexcept {
  return at == silo_state::cutover ? silo_state::copying : at;
}

std::string_view to_string(silo_state x) noexcept { return states[static_cast<size_t>(x)]; }
std::string_view to_string(silo_step x) noexcept { return steps[static_cast<size_t>(x)]; }

std::optional<silo_state> parse_silo_state(std::string_view text) noexcept {
  for (size_t i = 0; i < states.size(); ++i)
    if (states[i] == text)
      return static_cast<silo_state>(i);
  return std::nullopt;
}

}  // namespace kgents::sql
