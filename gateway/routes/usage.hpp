#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "gateway/route.hpp"
#include "sql/usage_report.hpp"

namespace kgents::gateway {

/// `day`, `week` (from Monday), `month` or `current`, `previous`, `YYYY-MM`, all UTC; none for
/// anything else.
[[nodiscard]] std::optional<sql::usage_span> usage_span_of(
    std::string_view period, std::chrono::system_clock::time_point now);

/// `GET /v1/usage`: the tenant's usage of the query's `period`, and that of the key's user.
void answer_usage(const call_ptr& c);

}  // namespace kgents::gateway
