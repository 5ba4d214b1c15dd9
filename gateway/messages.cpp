#include "gateway/messages.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "actors/persona/budget.hpp"
#include "actors/persona/modes.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr std::string_view modes[] = {"reflect", "advise", "challenge", "explore"};
constexpr std::string_view busy_options[] = {"queue", "reject", "interrupt"};
constexpr std::string_view disconnect_options[] = {"continue", "cancel"};

constexpr field fields[] = {
    {.name = "message", .type = value_type::string, .required = true, .meaning = "What you say."},
    {.name = "mode",
     .type = value_type::string,
     .nullable = true,
     .default_json = "null",
     .meaning = "Changes the session's mode; case does not matter.",
     .one_of = modes},
    {.name = "stream",
     .type = value_type::boolean,
     .default_json = "true",
     .meaning = "Server-sent events, or one JSON answer at the end."},
    {.name = "if_busy",
     .type = value_type::string,
     .nullable = true,
     .default_json = "\"queue\"",
     .meaning = "While another answer is being made: wait, be refused (409), or cancel that one.",
     .one_of = busy_options},
    {.name = "on_disconnect",
     .type = value_type::string,
     .nullable = true,
     .default_json = "\"continue\"",
     .meaning = "When you go away in mid-answer: it goes on, or is canceled.",
     .one_of = disconnect_options},
};

std::string_view text_of(const json::object& body, std::string_view member) {
  const auto* x = body.if_contains(member);
  return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
}

/// What must be the same when an idempotency key comes again.
std::string hash_of(const send_message& x) {
  std::string all = x.text + '\0' + x.mode + '\0' + std::to_string(static_cast<int>(x.if_busy));
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(), digest.data());
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (auto c : digest) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

refusal bad(std::string_view what, std::string_view value, std::string_view valid) {
  return {400,
          "Invalid " + std::string{what} + " '" + std::string{value.substr(0, 80)} + "'" +
              (valid.empty() ? "" : ". Valid: " + std::string{valid}),
          0, ""};
}

}  // namespace

const schema message_body{"MessageRequest", fields};

std::variant<send_message, refusal> make_message(const json::object& body, const credential& who,
                                                 std::string_view idempotency_key) {
  send_message out;
  out.turn = turn_id{uuid::time_ordered()};
  out.tier = who.key.tier;
  out.text = text_of(body, "message");
  if (const auto mode = text_of(body, "mode"); !mode.empty()) {
    const auto known = persona::parse_mode(mode);
    if (!known)
      return bad("mode", mode, "");
    out.mode = persona::name(*known);
  }
  const auto busy = text_of(body, "if_busy");
  if (busy == "reject")
    out.if_busy = when_busy::reject;
  else if (busy == "interrupt")
    out.if_busy = when_busy::interrupt;
  else if (!busy.empty() && busy != "queue")
    return bad("if_busy", busy, "queue, reject, interrupt");
  const auto disconnect = text_of(body, "on_disconnect");
  out.cancel_on_disconnect = disconnect == "cancel";
  if (!disconnect.empty() && disconnect != "continue" && disconnect != "cancel")
    return bad("on_disconnect", disconnect, "continue, cancel");
  if (idempotency_key.size() > 255 || !std::all_of(idempotency_key.begin(), idempotency_key.end(),
                                                   [](char c) { return c >= 0x20 && c < 0x7f; }))
    return bad("Idempotency-Key", "", "1 to 255 visible ASCII characters");
  const auto budget = persona::session_budget(who.key.tier);
  out.budget = persona::name(budget);
  if (auto no = over_quota(who, persona::dialogue_estimate(budget)))
    return *std::move(no);
  out.key = who.key.key;
  out.idempotency_key = idempotency_key;
  if (!idempotency_key.empty())
    out.request_hash = hash_of(out);
  return out;
}

}  // namespace kgents::gateway
