#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/access.hpp"
#include "gateway/route.hpp"
#include "sql/acting.hpp"
#include "sql/api_keys.hpp"
#include "sql/tenant_records.hpp"
#include "sql/users.hpp"

/// What the routes of administration share (http-api.md section 10): who acts, why an act was not
/// done, and what its objects look like.
namespace kgents::gateway {

/// Answers that hold a secret are kept by nobody on the way.
inline constexpr std::string_view no_store = "Cache-Control: no-store\r\n";

/// A list's `limit` (20, 1 to 100) and `offset`.
extern const field page_query[2];
[[nodiscard]] uint32_t limit_of(const call& c);
[[nodiscard]] uint64_t offset_of(const call& c);

/// A string of the query; empty when it is not there.
[[nodiscard]] std::string query_text(const call& c, std::string_view name);
/// A uuid in the query; refuses the call with 400 when it is none.
[[nodiscard]] bool query_id(const call_ptr& c, std::string_view name, std::optional<uuid>& out);

[[nodiscard]] sql::acting who_acts(const call& c);

/// What the refusals name: the kind of the object, and of a duplicate the whole text.
struct act_texts {
  std::string_view object;
  std::string duplicate{};
};
/// True when it was done, which is then told to the log; otherwise the call is refused.
[[nodiscard]] bool was_done(const call_ptr& c, const sql::act_result& x, std::string_view act,
                            const uuid& object, const act_texts& texts);

/// Answers once this node acts on the change of somebody's rights.
template <class F>
void when_heard(const call_ptr& c, F answer) {
  c->at.access.changed([c, answer = std::move(answer)] {
    boost::asio::post(c->x->thread().context(), answer);
  });
}

/// On the control role's pool: the operator's routes.
template <class T, class F>
void query_control(const call_ptr& c, sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(c->at.cdc.control, std::move(what), [c, done = std::move(done)](sql::answer<T> out) {
    boost::asio::post(c->x->thread().context(), [c, done, out = std::move(out)]() mutable {
      if (auto* value = std::get_if<0>(&out))
        done(std::move(*value));
      else
        c->refuse(actors::refused_by_database(std::get<1>(out)));
    });
  });
}

/// Values that are checked for their meaning: false when the call was refused (400).
[[nodiscard]] bool good_name(const call_ptr& c, std::string_view member, std::string_view text);
[[nodiscard]] bool good_email(const call_ptr& c, std::string_view member, std::string_view text);

/// A text, or null.
[[nodiscard]] boost::json::value text_or_null(const std::optional<std::string>& x);
[[nodiscard]] boost::json::object user_json(const sql::user_row& x);
[[nodiscard]] boost::json::object api_key_json(const sql::api_key_row& x);
[[nodiscard]] boost::json::object tenant_json(const sql::tenant_record& x);

extern const schema user_shape;
extern const schema user_list_shape;
extern const schema api_key_shape;
extern const schema api_key_list_shape;
extern const schema new_api_key_shape;
extern const schema tenant_shape;
extern const schema tenant_list_shape;
extern const schema new_tenant_shape;

// gateway/routes/*.cpp, one table a file
[[nodiscard]] std::span<const route> tenant_routes();
[[nodiscard]] std::span<const route> operators_tenant_routes();
[[nodiscard]] std::span<const route> user_routes();
[[nodiscard]] std::span<const route> api_key_routes();
[[nodiscard]] std::span<const route> audit_routes();
[[nodiscard]] std::span<const route> trace_routes();

}  // namespace kgents::gateway
