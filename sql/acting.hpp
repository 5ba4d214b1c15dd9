#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/ids.hpp"
#include "sql/keys.hpp"
#include "sql/pool.hpp"

/// Acts of administration (migration 34): functions that check who acts, do it and write its entry
/// of the audit log, all in one transaction.
namespace kgents::sql {

/// Who acts, and on which request. The database reads key and role again: `scopes` can only narrow
/// what they give.
struct acting {
  tenant_id tenant{};
  api_key_id key{};
  key_scopes scopes{};
  std::string request{};  ///< X-Request-ID
  std::string address{};  ///< of the client, as the server saw it
};

/// What an act came to: `done`, or why not, with what the answer has to name.
struct act_result {
  std::string word;
  std::string detail;
  [[nodiscard]] bool done() const noexcept { return word == "done"; }
};

/// And the row as it is after the act, when it was done and there still is one.
template <class T>
struct acted {
  act_result result;
  std::optional<T> row;
};

[[nodiscard]] param who_param(const acting& who);
/// The operator's: without a key and a tenant.
[[nodiscard]] param operator_param(const acting& who);
[[nodiscard]] act_result act_result_at(const rows& x);

/// `{read,write}`, in that order.
[[nodiscard]] std::string scopes_literal(const key_scopes& x);
/// From a comma list; unknown words are dropped.
[[nodiscard]] key_scopes parse_scopes(std::string_view list);

}  // namespace kgents::sql
