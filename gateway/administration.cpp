#include "gateway/administration.hpp"

#include <algorithm>

#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Bytes that begin a code point.
size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
}

std::string in_quotes(std::string_view text) { return "'" + std::string{text} + "'"; }

std::string beyond_role(std::string_view role_and_scope) {
  const auto blank = std::min(role_and_scope.find(' '), role_and_scope.size());
  return "A key of a person with the role " + in_quotes(role_and_scope.substr(0, blank)) +
         " cannot have the scope " +
         in_quotes(role_and_scope.substr(std::min(blank + 1, role_and_scope.size())));
}

refusal refusal_of(const sql::act_result& x, const act_texts& texts) {
  const auto& word = x.word;
  if (word == "unauthorized")
    return {401, "Invalid API key. Please check your credentials.", 0, ""};
  if (word == "forbidden")
    return {403, "API key requires 'admin' scope", 0, ""};
  if (word == "not_found")
    return {404, std::string{texts.object} + " not found", 0, ""};
  if (word == "user_not_found")
    return {404, "User not found", 0, ""};
  if (word == "duplicate")
    return {409, texts.duplicate, 0, ""};
  if (word == "max_members")
    return {403,
            "The plan allows " + x.detail + (x.detail == "1" ? " member" : " members") +
                " (max_members). Upgrade it or remove a user first.",
            0, "max_members"};
  if (word == "exceeds_role")
    return {403, "The role " + in_quotes(x.detail) + " is above your own", 0, ""};
  if (word == "owner_by_transfer")
    return {409,
            "An owner is made by handing the ownership over: POST "
            "/v1/users/{id}/transfer-ownership",
            0, ""};
  if (word == "last_owner")
    return {409, "The last owner cannot be demoted, deactivated or removed", 0, ""};
  if (word == "not_owner")
    return {403, "Only an owner can hand the ownership over", 0, ""};
  if (word == "inactive")
    return {409, "User is not active", 0, ""};
  if (word == "exceeds_scopes")
    return {403, "You cannot grant the scope " + in_quotes(x.detail) + ", which you do not have", 0,
            ""};
  if (word == "beyond_role")
    return {403, beyond_role(x.detail), 0, ""};
  if (word == "exceeds_rate")
    return {400, "rate_limit_rpm may be at most " + x.detail + ", as the tenant's own", 0, ""};
  if (word == "revoked")
    return {409, "API key is revoked", 0, ""};
  if (word == "expired")
    return {409, "API key has expired", 0, ""};
  if (word == "settings_too_large")
    return {400, "settings may have at most 65536 bytes", 0, ""};
  log::error("an act was refused for a reason that nobody knows", {{"word", word}});
  return {500, "Internal Server Error", 0, ""};
}

}  // namespace

const field page_query[2] = {
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "20",
     .meaning = "How many at most; 1 to 100.",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "offset",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "How many to skip.",
     .least = 0},
};

uint32_t limit_of(const call& c) {
  return static_cast<uint32_t>(c.query.at("limit").as_int64());
}

uint64_t offset_of(const call& c) {
  return static_cast<uint64_t>(c.query.at("offset").as_int64());
}

std::string query_text(const call& c, std::string_view name) {
  const auto* x = c.query.if_contains(name);
  return x != nullptr && x->is_string() ? std::string{x->get_string()} : std::string{};
}

bool query_id(const call_ptr& c, std::string_view name, std::optional<uuid>& out) {
  const auto text = query_text(*c, name);
  if (text.empty())
    return true;
  out = uuid::parse(text);
  if (!out)
    c->refuse(400, "Invalid " + std::string{name} + " format");
  return out.has_value();
}

sql::acting who_acts(const call& c) {
  sql::acting out;
  out.request = c.request_id;
  out.address = c.x->in().peer;
  if (c.who != nullptr) {
    out.tenant = c.tenant();
    out.key = c.who->key.key;
    out.scopes = c.who->key.scopes;
  }
  return out;
}

bool was_done(const call_ptr& c, const sql::act_result& x, std::string_view act,
              const uuid& object, const act_texts& texts) {
  if (!x.done()) {
    c->refuse(refusal_of(x, texts));
    return false;
  }
  const bool operators = c->who == nullptr;
  log::info("administration", {{"stream", "audit"},
                               {"act", act},
                               {"object", object.text()},
                               {"request_id", c->request_id},
                               {"tenant_id", operators ? "" : c->tenant().text()},
                               {"actor", operators ? "platform" : c->who->key.prefix}});
  return true;
}

bool good_name(const call_ptr& c, std::string_view member, std::string_view text) {
  const auto length = characters(text);
  if (length >= 1 && length <= 200 && !has_control(text))
    return true;
  c->refuse(400, std::string{member} + " must have 1 to 200 characters, none of them control "
                                       "characters");
  return false;
}

/// Plainly: what mail servers accept is their own affair.
bool good_email(const call_ptr& c, std::string_view member, std::string_view text) {
  const auto at = text.find('@');
  if (text.size() <= 320 && at != std::string_view::npos && at > 0 && at + 1 < text.size() &&
      text.find('@', at + 1) == std::string_view::npos &&
      text.find_first_of(" \t\r\n") == std::string_view::npos && !has_control(text))
    return true;
  c->refuse(400, std::string{member} + " must be an address of mail: name@host, at most 320 bytes");
  return false;
}

json::value text_or_null(const std::optional<std::string>& x) {
  return x ? json::value(*x) : json::value(nullptr);
}

}  // namespace kgents::gateway
