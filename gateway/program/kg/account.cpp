// Who one is: login, logout, whoami.

#include <boost/json/parse.hpp>
#include <cstdlib>

#include "gateway/program/kg/config.hpp"
#include "gateway/program/kg/connection.hpp"
#include "gateway/program/kg/program.hpp"
#include "gateway/program/kg/terminal.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

/// The generated form's prefix, by which a key is listed (http-api.md 2.2).
constexpr size_t key_prefix_bytes = 8;

std::string key_for_login(const arguments& args) {
  auto key = args.key;
  if (const char* x = std::getenv("KGENTS_API_KEY"); key.empty() && x != nullptr)
    key = x;
  if (key.empty())
    key = read_secret("Key: ").value_or("");
  if (key.empty())
    throw stopped{exit_usage, "no key: write it to standard input"};
  for (const unsigned char c : key)
    if (c <= 0x20 || c >= 0x7f)
      throw stopped{exit_usage, "a key has visible ASCII characters only"};
  return key;
}

bool names_scope(const http_answer& x) { return x.body.find("scope") != std::string::npos; }

/// What the API tells of the key in use; nothing when it does not list it.
std::optional<json::object> own_key(const program& p) {
  const auto out = p.http.call({.target = "/v1/api-keys?limit=100"}, usual_silence);
  const auto* answer = std::get_if<http_answer>(&out);
  json::error_code error;
  const auto body =
      answer != nullptr && answer->status == 200 ? json::parse(answer->body, error) : json::value{};
  const auto* object = body.if_object();
  const auto* items = object == nullptr ? nullptr : object->if_contains("items");
  if (items == nullptr || !items->is_array())
    return std::nullopt;
  const auto prefix = p.key.substr(0, key_prefix_bytes);
  for (const auto& item : items->get_array())
    if (const auto* x = item.if_object(); x != nullptr && text_member(*x, "key_prefix") == prefix &&
                                          shown_member(*x, "is_active") != "false")
      return *x;
  return std::nullopt;
}

}  // namespace

int login(const arguments& args, const output& out) {
  event_loop loop;
  auto where = find_connection(args);
  where.key = key_for_login(args);
  const http_client http{loop, where.url, where.key};
  const program p{args, out, http, where.server, where.key};
  const auto tried = http.call({.target = "/v1/kgent/sessions?limit=1"}, usual_silence);
  if (const auto* why = std::get_if<failure>(&tried))
    throw unreachable(p, *why);
  const auto& answer = std::get<http_answer>(tried);
  // A key that may do other things only is a good key.
  if (answer.status != 200 && !(answer.status == 403 && names_scope(answer)))
    throw refused_by(p, answer);
  if (const auto wrong = save_login({where.server, where.key}))
    throw stopped{exit_refused, *wrong};
  if (!where.url.tls && !is_local(where.server))
    note("without https the key travels in the clear to " + where.server);
  if (out.json())
    out.object({{"server", where.server}, {"config", config_path()->string()}});
  else
    out.text("Logged in to " + where.server + "; kept in " + config_path()->string() + "\n");
  return exit_good;
}

int logout(const output& out) {
  if (const auto wrong = forget_login())
    throw stopped{exit_refused, *wrong};
  if (out.json())
    out.object({{"status", "logged out"}});
  else
    out.text("Forgotten. The key itself is still good: kg keys revoke ends one.\n");
  return exit_good;
}

int whoami(const program& p) {
  const auto tenant = ask_object(p, {.target = "/v1/tenant"});
  const auto key = own_key(p);
  json::object all{{"server", p.server}, {"tenant", tenant}};
  all["key"] = key ? json::value(*key) : json::value(nullptr);
  if (p.out.json()) {
    p.out.object(all);
    return exit_good;
  }
  json::object shown{{"server", p.server},
                     {"tenant", text_member(tenant, "name")},
                     {"plan", text_member(tenant, "subscription_tier")},
                     {"status", text_member(tenant, "subscription_status")},
                     {"tokens used", shown_member(tenant, "tokens_used_month")},
                     {"tokens left", shown_member(tenant, "tokens_remaining")}};
  if (shown["tokens left"].get_string().empty())
    shown["tokens left"] = "unlimited";
  if (key) {
    shown["key"] = text_member(*key, "key_prefix") + "... " + text_member(*key, "name");
    shown["scopes"] = shown_member(*key, "scopes");
    if (const auto ends = text_member(*key, "expires_at"); !ends.empty())
      shown["expires"] = ends;
  }
  p.out.tree(shown);
  return exit_good;
}

}  // namespace kgents::kg
