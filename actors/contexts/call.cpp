#include "actors/contexts/call.hpp"

#include <boost/json/serialize.hpp>
#include <ctime>

#include "actors/contexts/context.hpp"
#include "sql/agentese_events.hpp"

namespace kgents::actors {

namespace json = boost::json;

aspect_call::aspect_call(context& where, uint64_t ticket, agentese::invoke_aspect ask,
                         const node_entry& node, const aspect_entry& aspect,
                         std::string_view subpath, json::object args)
    : where_{where},
      ticket_{ticket},
      ask_{std::move(ask)},
      entry_{&node},
      aspect_{&aspect},
      subpath_{subpath},
      args_{std::move(args)} {}

tenant_id aspect_call::tenant() const noexcept { return where_.id_.tenant; }

std::string_view aspect_call::name() const noexcept {
  return agentese::split_last(ask_.node).second;
}

uint64_t aspect_call::seed() const noexcept {
  return std::hash<std::string>{}(ask_.span_id) ^ ticket_;
}

std::string aspect_call::now_text() const {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[40];
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now - seconds).count();
  const auto n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%06d+00:00", static_cast<int>(micros));
  return text;
}

const json::value* aspect_call::find(std::string_view name) const noexcept {
  const auto* x = args_.if_contains(name);
  return x == nullptr || x->is_null() ? nullptr : x;
}

bool aspect_call::has(std::string_view name) const noexcept { return find(name) != nullptr; }

std::string aspect_call::text(std::string_view name) const {
  const auto* x = find(name);
  return x != nullptr && x->is_string() ? std::string{x->get_string()} : std::string{};
}

double aspect_call::number(std::string_view name) const {
  const auto* x = find(name);
  return x != nullptr && x->is_number() ? x->to_number<double>() : 0.0;
}

int64_t aspect_call::integer(std::string_view name) const {
  const auto* x = find(name);
  return x != nullptr && x->is_number() ? x->to_number<int64_t>() : 0;
}

bool aspect_call::flag(std::string_view name) const {
  const auto* x = find(name);
  return x != nullptr && x->is_bool() && x->get_bool();
}

outcome aspect_call::missing(std::string_view what) const {
  if (ask_.origin == "v1")
    return json::object{{"error", what}};
  return agentese::errors::invalid_argument(full_path(), "kwargs", std::string{what});
}

std::vector<std::string> aspect_call::similar() const {
  return where_.services_->nodes->similar(ask_.node);
}

const registry& aspect_call::nodes() const noexcept { return *where_.services_->nodes; }

sql::fence aspect_call::lease() const noexcept { return {shard_of(where_.id_), where_.lease_}; }

bool aspect_call::has_model() const noexcept { return where_.services_->has_model; }

aspect_call::waiting<llm::collect_result> aspect_call::model(llm::prompt ask, size_t max_bytes) {
  return {*this, [ask = std::move(ask), max_bytes](aspect_call& self, auto done) mutable {
            self.where_.ask_model(self.ticket_, std::move(ask), max_bytes, std::move(done));
          }};
}

aspect_call::waiting<outcome> aspect_call::invoke(std::string path, json::object kwargs,
                                                  bool internal) {
  context_services::nested x;
  x.tenant = tenant();
  x.path = std::move(path);
  x.kwargs = json::serialize(kwargs);
  x.who = ask_.who;
  x.by = ask_.by;
  x.trace_id = ask_.trace_id;
  x.parent_span = ask_.span_id;
  x.caller_path = full_path();
  x.strict = ask_.strict;
  x.depth = static_cast<uint8_t>(ask_.depth + 1);
  x.internal = internal;
  return {*this, [x = std::move(x)](aspect_call& self, auto done) mutable {
            self.where_.invoke(self.ticket_, std::move(x), std::move(done));
          }};
}

aspect_call::waiting<outcome> aspect_call::invoke_as(agentese::observer who, agentese::caller by,
                                                     std::string path, std::string kwargs,
                                                     std::string origin, bool strict) {
  context_services::nested x;
  x.tenant = tenant();
  x.path = std::move(path);
  x.kwargs = std::move(kwargs);
  x.who = std::move(who);
  x.by = std::move(by);
  x.trace_id = ask_.trace_id;
  x.parent_span = ask_.span_id;
  x.caller_path = full_path();
  x.origin = std::move(origin);
  x.strict = strict;
  x.billed = true;
  x.depth = static_cast<uint8_t>(ask_.depth + 1);
  return {*this, [x = std::move(x)](aspect_call& self, auto done) mutable {
            self.where_.invoke(self.ticket_, std::move(x), std::move(done));
          }};
}

aspect_call::waiting<answer<accepted>> aspect_call::send_message_to(session_id to,
                                                                    send_message what) {
  return {*this, [to, what = std::move(what)](aspect_call& self, auto done) mutable {
            self.where_.send_message_to(self.ticket_, to, std::move(what), std::move(done));
          }};
}

const context_services& aspect_call::services() const noexcept { return *where_.services_; }

aspect_call::waiting<aspect_call::guard> aspect_call::lock(std::string key) {
  return {*this, [key = std::move(key)](aspect_call& self, auto done) mutable {
            self.where_.lock(self.ticket_, std::move(key), std::move(done));
          }};
}

void aspect_call::submit(sql::transaction work,
                         std::function<void(std::vector<sql::rows>&)> done) {
  where_.submit(ticket_, std::move(work), std::move(done));
}

/// Last in the transaction: it takes the tenant's clock, which all its writers share.
void aspect_call::tell_change(sql::transaction& work, json::object change,
                              std::string_view node) const {
  change.insert_or_assign("aspect", ask_.aspect);
  work.statements.push_back(sql::agentese_events::change_statement(
      node.empty() ? ask_.node : node, json::serialize(change), ask_.trace_id));
}

void aspect_call::end_with(agentese::error why) {
  where_.fail(ticket_, std::move(why));
}

std::shared_ptr<void>& aspect_call::live_slot(std::type_index type) { return where_.live_[type]; }

}  // namespace kgents::actors
