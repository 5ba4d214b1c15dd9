#include "runtime/bus/streams.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::runtime::bus {

namespace json = boost::json;
using namespace std::chrono_literals;

namespace {

json::array texts(const std::vector<std::string>& xs) {
  json::array out;
  for (const auto& x : xs)
    out.emplace_back(x);
  return out;
}

int64_t number_of(const json::object& x, std::string_view name, int64_t otherwise) {
  const auto* value = x.if_contains(name);
  if (value == nullptr)
    return otherwise;
  if (const auto* number = value->if_int64())
    return *number;
  return otherwise;
}

std::string text_of(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->as_string()} : "";
}

/// JetStream says "no bound" with -1 or, for times, 0.
bool wider(int64_t a, int64_t b) { return b > 0 && (a <= 0 || a > b); }

/// Raises one limit, or says that it is left.
void raise(std::string_view name, int64_t wanted, json::object& config, bool& changed,
           std::vector<std::string>& left) {
  const auto has = number_of(config, name, 0);
  if (has == wanted || (has <= 0 && wanted <= 0))
    return;
  if (wider(wanted, has)) {
    config[name] = wanted;
    changed = true;
  } else {
    left.push_back(std::string{name} + " is " + std::to_string(has) + ", not " +
                   std::to_string(wanted));
  }
}

void expect_text(std::string_view name, std::string_view wanted, const json::object& config,
                 std::vector<std::string>& left) {
  if (const auto has = text_of(config, name); !has.empty() && has != wanted)
    left.push_back(std::string{name} + " is " + has + ", not " + std::string{wanted});
}

constexpr int bad_request = 400;

}  // namespace

std::vector<stream> all_streams(std::string_view events, uint32_t replicas) {
  stream sessions{.name = std::string{events}, .subjects = {"kgent.>"}, .max_age = 168h};
  sessions.max_msgs_per_subject = 10'000;
  stream agentese{.name = "AGENTESE", .subjects = {"agentese.>"}};
  agentese.max_msgs = 1'000'000;
  const stream system{.name = "EVENTS", .subjects = {"events.>"}, .max_age = 168h};
  const stream billing{.name = "BILLING", .subjects = {"billing.>"}, .max_age = 720h};
  std::vector<stream> out{sessions, agentese, system, billing};
  for (auto& x : out)
    x.replicas = replicas;
  return out;
}

std::string create_request(const stream& x) {
  return json::serialize(json::object{{"name", x.name},
                                      {"subjects", texts(x.subjects)},
                                      {"retention", "limits"},
                                      {"discard", "old"},
                                      {"storage", "file"},
                                      {"max_consumers", -1},
                                      {"max_bytes", -1},
                                      {"max_msgs", x.max_msgs},
                                      {"max_msgs_per_subject", x.max_msgs_per_subject},
                                      {"max_age", x.max_age.count()},
                                      {"duplicate_window", x.duplicate_window.count()},
                                      {"num_replicas", x.replicas}});
}

comparison compare(const stream& wanted, const json::object& has) {
  comparison out;
  auto config = has;
  bool changed = false;
  auto& slot = config["subjects"];
  if (!slot.is_array())
    slot = json::array{};
  auto& subjects = slot.as_array();
  for (const auto& subject : wanted.subjects)
    if (std::find(subjects.begin(), subjects.end(), json::value(subject)) == subjects.end()) {
      subjects.emplace_back(subject);
      changed = true;
    }
  raise("max_age", wanted.max_age.count(), config, changed, out.left);
  raise("max_msgs", wanted.max_msgs, config, changed, out.left);
  raise("max_msgs_per_subject", wanted.max_msgs_per_subject, config, changed, out.left);
  raise("duplicate_window", wanted.duplicate_window.count(), config, changed, out.left);
  raise("num_replicas", wanted.replicas, config, changed, out.left);
  expect_text("retention", "limits", has, out.left);
  expect_text("storage", "file", has, out.left);
  expect_text("discard", "old", has, out.left);
  if (changed)
    out.update = json::serialize(config);
  return out;
}

api_answer parse_api_answer(std::string_view text) {
  api_answer out;
  boost::system::error_code wrong;
  auto parsed = json::parse(text, wrong);
  if (wrong || !parsed.is_object()) {
    out.code = 500;
    out.error = "not a JSON object";
    return out;
  }
  out.body = std::move(parsed.as_object());
  if (const auto* error = out.body.if_contains("error"); error != nullptr && error->is_object()) {
    out.code = static_cast<int>(number_of(error->as_object(), "code", 500));
    out.error = text_of(error->as_object(), "description");
  }
  return out;
}

acknowledgement parse_acknowledgement(std::string_view text) {
  using kind = acknowledgement::kind;
  const auto answer = parse_api_answer(text);
  if (answer.code == bad_request)
    return {kind::rejected, false, answer.error};
  if (answer.code != 0)
    return {kind::refused, false, answer.error};
  if (!answer.body.contains("stream"))
    return {kind::refused, false, "not an acknowledgement"};
  const auto* duplicate = answer.body.if_contains("duplicate");
  return {kind::stored, duplicate != nullptr && duplicate->is_bool() && duplicate->as_bool(), ""};
}

}  // namespace kgents::runtime::bus
