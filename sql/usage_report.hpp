#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"
#include "sql/usage.hpp"

/// What a tenant is shown of its usage (http-api.md section 10). All for kg_app.
namespace kgents::sql {

/// A stretch of time, by months as they are billed or by days within them. Days and months are UTC.
struct usage_span {
  std::vector<std::string> months;  ///< YYYY-MM, those it lies in
  std::string from;                 ///< YYYY-MM-DD, inclusive
  std::string to;                   ///< exclusive
};

/// Of one kind of event.
struct usage_sum {
  std::string type;
  std::string source;
  uint64_t events = 0;
  uint64_t tokens_in = 0;
  uint64_t tokens_out = 0;
  uint64_t storage_bytes = 0;
  uint64_t compute_ms = 0;
};

struct usage_threshold {
  std::string period;
  uint32_t percent = 0;
  std::string crossed_at;
};

struct usage_report {
  std::vector<usage_sum> sums;      ///< mere requests are `api_call` of source `api`
  uint64_t tokens_limit_month = 0;  ///< 0: unlimited
  uint64_t tokens_used_month = 0;   ///< of the current month, whatever was asked for
  std::vector<usage_threshold> thresholds;  ///< of the months asked for
};

/// What one user did today and this month, over all keys of that user (http-api.md 4.1).
struct user_usage {
  uint64_t requests_today = 0;  ///< of any kind
  uint64_t operations_today = 0;
  uint64_t tokens_today = 0;
  uint64_t tokens_month = 0;
  std::optional<std::string> first_request_today{};
  std::optional<std::string> last_request{};
  std::vector<std::pair<std::string, uint64_t>> endpoints{};  ///< route template, requests today
};

struct usage_filter {
  std::string type{};    ///< empty: any, as all of these
  std::string source{};
  std::string period{};  ///< YYYY-MM
  std::optional<session_id> session{};
  std::optional<api_key_id> key{};
  std::optional<usage_id> after{};  ///< only older events than this one
  uint32_t limit = 20;
  uint64_t offset = 0;
};

struct usage_row {
  usage_event event;
  uint32_t quantity = 1;
  std::string period;
  std::string created_at;
};

struct usage_page {
  bool cursor_exists = true;  ///< false: `after` is no event of this tenant
  std::vector<usage_row> events;  ///< newest first
  bool more = false;
  std::optional<uint64_t> total{};  ///< that fit the filter; none behind a cursor
};

namespace usage {

[[nodiscard]] query<usage_report> report(tenant_id tenant, const usage_span& span);
[[nodiscard]] query<user_usage> of_user(tenant_id tenant, api_key_id key);
[[nodiscard]] query<usage_page> page(tenant_id tenant, const usage_filter& filter);

}  // namespace usage

}  // namespace kgents::sql
