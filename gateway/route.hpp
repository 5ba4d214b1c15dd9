#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors/refusals.hpp"
#include "gateway/auth.hpp"
#include "gateway/http/exchange.hpp"
#include "gateway/node.hpp"
#include "gateway/once.hpp"
#include "gateway/schema.hpp"
#include "protocol/messages.hpp"

namespace kgents::gateway {

enum class access : uint8_t {
  open,       ///< no credential; neither counted nor limited
  key,        ///< a key in a header
  query_key,  ///< or as ?api_key=, for browsers' event sources and sockets
  platform,   ///< the operator's key in X-API-Key; to all others the route does not exist
};

enum class scope : uint8_t { none, read, write, admin, billing };

/// One line of the one table: router, scope check, validation, OpenAPI and metric labels come from
/// it.
struct route {
  std::string_view method;
  /// `{name}` stands for one segment, `{name*}` for one or more; ids are checked to be uuids (400).
  std::string_view path;
  std::string_view tag;
  std::string_view summary;
  access who = access::key;
  scope needs = scope::none;
  std::string_view refusal_text{};  ///< the 403's detail when the scope is missing
  bool metered = false;             ///< counts against the operations of the day
  const schema* body = nullptr;
  bool body_optional = false;  ///< none is one without members
  size_t most_body_bytes = 0;  ///< 0: the server's bound
  bool free_body = false;      ///< any JSON object, which the handler reads; may be missing
  /// With an `Idempotency-Key` it is done once and answered the same again (once.hpp). For answers
  /// that are one document; routes with a record of their own in PostgreSQL need none.
  bool once = false;
  std::span<const field> query{};
  std::string_view answer_type = "application/json";
  const schema* answer = nullptr;
  uint16_t success = 200;
  void (*handle)(const call_ptr&) = nullptr;
};

/// One request on its way through a route. On its connection's I/O thread.
struct call : std::enable_shared_from_this<call> {
  node& at;
  std::shared_ptr<http::exchange> x;
  const route* to = nullptr;  ///< null: unmatched
  runtime::route_probe* probe = nullptr;
  credential_ptr who;
  /// What stood for the `{…}` of the path, decoded; the segments of a `{…*}` joined by dots.
  std::vector<std::string> segments;
  boost::json::object body;
  boost::json::object query;
  std::string request_id;
  std::unique_ptr<once> kept;  ///< of the first request with an `Idempotency-Key`
  runtime::fair_share::place place;  ///< among the requests under way, until it is answered
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();

  call(node& n, std::shared_ptr<http::exchange> e) : at{n}, x{std::move(e)} {}

  [[nodiscard]] runtime::port& port() { return at.ports[x->thread().index()]; }
  [[nodiscard]] runtime::hub& hub() { return at.hubs[x->thread().index()]; }
  [[nodiscard]] tenant_id tenant() const { return who->key.tenant; }

  void reply(unsigned status, std::string body, std::string_view type = "application/json",
             std::string_view more_lines = {});
  void reply_json(unsigned status, const boost::json::value& body,
                  std::string_view more_lines = {});
  void refuse(const refusal& why);
  void refuse(uint16_t status, std::string_view detail);
  void refuse_unprocessable(violations wrong);

  /// Header lines that every answer carries, ready to be extended.
  [[nodiscard]] std::string header_lines() const;

  /// Asks an entity and refuses the call when it refuses.
  template <class T, class Message, class F>
  void ask(const entity_id& to, Message message, F done) {
    port().template ask<T>(to, std::move(message),
                           [self = shared_from_this(), done = std::move(done)](answer<T> out) {
                             if (out.ok())
                               done(std::move(out.value));
                             else
                               self->refuse(out.wrong);
                           });
  }

  /// Runs a query on the pool and continues on this thread; refuses the call with 503 when it
  /// fails.
  template <class T, class F>
  void query_database(sql::query<T> what, F done);

  [[nodiscard]] std::string_view text_of(
      std::string_view member) const;  ///< "" when null or absent

  /// Whether so many tokens more fit into the month; refuses the call when they don't.
  [[nodiscard]] bool fits(uint64_t tokens);
};

/// The 429 of a month that has no room for so many tokens more, or nothing.
[[nodiscard]] std::optional<refusal> over_quota(const credential& who, uint64_t tokens);

/// The id in segment `i`; refuses the call with 400 when it is none.
[[nodiscard]] std::optional<uuid> id_segment(const call_ptr& c, size_t i, std::string_view what);

/// All routes of the server.
[[nodiscard]] std::span<const route> all_routes();

// gateway/routes/*.cpp, one table a file
[[nodiscard]] std::span<const route> system_routes();
[[nodiscard]] std::span<const route> cluster_routes();
[[nodiscard]] std::span<const route> cdc_routes();
[[nodiscard]] std::span<const route> silo_routes();
[[nodiscard]] std::span<const route> session_routes();
[[nodiscard]] std::span<const route> turn_routes();
[[nodiscard]] std::span<const route> soul_routes();
[[nodiscard]] std::span<const route> agentese_routes();
[[nodiscard]] std::span<const route> agentese_alias_routes();
[[nodiscard]] std::span<const route> agentese_capability_routes();
[[nodiscard]] std::span<const route> universal_routes();
[[nodiscard]] std::span<const route> subscription_routes();
[[nodiscard]] std::span<const route> agentese_gateway_routes();
[[nodiscard]] std::span<const route> usage_routes();
[[nodiscard]] std::span<const route> billing_routes();
[[nodiscard]] std::span<const route> billing_record_routes();
[[nodiscard]] std::span<const route> stripe_webhook_routes();

}  // namespace kgents::gateway

#include <boost/asio/post.hpp>

#include "runtime/limits.hpp"

namespace kgents::gateway {

template <class T, class F>
void call::query_database(sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(at.pool, std::move(what),
           [self = shared_from_this(), done = std::move(done)](sql::answer<T> out) {
             auto& context = self->x->thread().context();
             boost::asio::post(context, [self, done, out = std::move(out)]() mutable {
               if (auto* value = std::get_if<0>(&out))
                 done(std::move(*value));
               else
                 self->refuse(actors::refused_by_database(std::get<1>(out)));
             });
           });
}

}  // namespace kgents::gateway
